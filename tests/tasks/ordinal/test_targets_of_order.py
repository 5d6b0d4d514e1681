"""Which values are found, which order they stand in, and what is said of orders that do not fit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drawn_shapes import draw_shape
from warmstart.errors import DataError, UnknownNameError, UsageError
from warmstart.options import from_document
from warmstart.plan import Plan
from warmstart.records import Listing, Problem
from warmstart.session.listed import listed
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.task_protocol import Task
from warmstart.tasks.ordinal.options import OrderOptions
from warmstart.tasks.ordinal.targets import OrderTargets, ranking
from warmstart.tasks.ordinal.task import TASK


def _table(folder: Path, **columns: list[object]) -> Path:
    n = len(next(iter(columns.values())))
    for i in range(n):
        draw_shape("circle", i).save(folder / f"{i}.png")
    pd.DataFrame({"path": [f"{i}.png" for i in range(n)], **columns}).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def _listed(data: Path, heard: list[str] | None = None, **plan: object) -> tuple[Listing, Task]:
    class Listening(NullProgress):
        def say(self, line: str) -> None:
            (heard if heard is not None else []).append(line)

    return listed(str(data), TrainSettings(), Plan(cut="pooled", **plan), Listening())  # type: ignore[arg-type]


def test_numbers_stand_by_size_and_are_one_however_they_are_written(tmp_path: Path) -> None:
    table = _table(tmp_path, label=["0.33", "10", "0", "1.0", "1", "0.0", "0.330"])
    listing, task = _listed(table, task="ordinal")
    targets: OrderTargets = task.targets(listing)
    assert targets.names == ranking(targets.names, ()) == ("0", "0.33", "1", "10")
    np.testing.assert_array_equal(targets.ranks(("0", "0.33", "1", "10")), [1, 3, 0, 2, 2, 0, 1])
    np.testing.assert_array_equal(targets.ranks(ranking(targets.names, ("10", "1.00", "0.33", "0"))), [2, 0, 3, 1, 1, 3, 2])


def test_an_order_names_the_task_also_where_numbers_would_be_estimated(tmp_path: Path) -> None:
    heard: list[str] = []
    table = _table(tmp_path, label=["0", "0.5", "1", "1"])
    assert _listed(table)[1].name == "regress"
    listing, task = _listed(table, heard, options={"order": ["0", "0.5", "1"]})
    assert task.name == "ordinal"
    assert heard == ["the task is ordinal, for order was given; --task names another"]
    assert TASK.targets(listing).names == ("0", "0.5", "1")


def test_the_value_may_stand_in_a_column_of_its_own(tmp_path: Path) -> None:
    table = _table(tmp_path, grade=["low", "high", None, " low "], other=[1, 2, 3, 4])
    listing, task = _listed(table, task="ordinal", target=("Grade",))
    assert listing.class_names == ("high", "low")
    assert [problem.kind for problem in listing.problems] == ["no-target"]
    assert task.targets(listing).labels.tolist() == [1, 0, 1]
    with pytest.raises(UsageError, match="names 2 columns; expected the one that holds the values in order"):
        _listed(table, task="ordinal", target=("grade", "other"))


def test_tables_that_hold_no_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has a column 'labels', any number of them a picture; an order is of one value each"):
        _listed(_table(tmp_path, labels=["a;b", "a"]), task="ordinal")
    with pytest.raises(DataError, match=r"has only the value '3' \(2 pictures\), expected at least 2"):
        _listed(_table(tmp_path, label=["3", "3.0"]), task="ordinal")
    with pytest.raises(DataError, match=r"has 51 different values .*Numbers are estimated with --task regress"):
        _listed(_table(tmp_path, label=list(range(51))), task="ordinal")


NAMES = ("high", "low", "mid")


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        (
            (),
            UsageError,
            r"data has the values high, low, mid, and their names do not say which is lower: .* --order high,low,mid",
        ),
        (("low", "high"), UsageError, r"--order low,high lacks 'mid', which data has: name all values"),
        (
            ("low", "midd", "high"),
            UnknownNameError,
            r"unknown value in --order 'midd'; known: high, low, mid\. Did you mean 'mid'",
        ),
    ],
)
def test_an_order_that_does_not_fit_is_refused(order: tuple[str, ...], error: type[Exception], message: str) -> None:
    targets = OrderTargets(names=NAMES, labels=np.array([0, 1, 2]))
    with pytest.raises(error, match=message):
        TASK.check(Plan(cut="pooled", options={"order": order}), targets, "data")


def test_an_order_names_each_value_once_and_more_than_one() -> None:
    with pytest.raises(UsageError, match=r"the order low,mid,low names 'low' more than once"):
        OrderOptions(order=("low", "mid", "low"))
    with pytest.raises(UsageError, match=r"--order 1,2,1\.0 names '1' more than once"):
        ranking(("1", "2"), ("1", "2", "1.0"))
    with pytest.raises(UsageError, match=r"the order low has one value; expected two or more"):
        OrderOptions(order=("low",))
    with pytest.raises(UsageError, match=r"coverage 1 is outside"):
        OrderOptions(coverage=1)


def test_an_order_may_be_one_text_or_numbers() -> None:
    assert from_document(OrderOptions, {"order": "low, mid,high"}, "option").order == ("low", "mid", "high")
    assert OrderOptions(order=[0, 0.5, 1]).order == ("0", "0.5", "1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plan", "flag"),
    [({"head": "knn"}, "--head"), ({"class_weight": "balanced"}, "--class-weight"), ({"positive": "a"}, "--positive")],
)
def test_what_is_for_classes_is_refused(plan: dict[str, str], flag: str) -> None:
    targets = OrderTargets(names=("1", "2"), labels=np.array([0, 1]))
    with pytest.raises(UsageError, match=f"{flag} is for classes, and data is learnt as values in an order: leave it out"):
        TASK.check(Plan(cut="pooled", **plan), targets, "data")  # type: ignore[arg-type]


def test_a_value_without_train_pictures_is_left_out_and_may_still_be_named() -> None:
    targets = OrderTargets(names=NAMES, labels=np.array([0, 0, 1, 2, 1]))
    settled = targets.settled(["train", "train", "train", "test", "val"], source="data", known=())
    assert settled.targets.names == ("high", "low")
    np.testing.assert_array_equal(settled.kept, [0, 1, 2, 4])
    assert [problem.kind for problem in settled.problems] == ["value-without-train"]
    assert ranking(("high", "low"), ("low", "mid", "high"), left_out=settled.targets.left_out) == ("low", "high")
    again = settled.targets.settled(["train", "train", "train", "val"], source="data", known=())
    assert again.targets.left_out == ("mid",)
    with pytest.raises(DataError, match="data: 1 value with train pictures, expected at least two"):
        targets.settled(["train", "train", "test", "test", "val"], source="data", known=())


def test_a_value_whose_pictures_are_out_of_reach_stops_the_run() -> None:
    targets = OrderTargets(names=NAMES, labels=np.array([0, 1, 2]))
    lost = {2: Problem(path="c.png", kind="missing", message="c.png is gone")}
    with pytest.raises(DataError, match=r"no picture with the value mid can be read although they were listed a moment ago"):
        targets.require_still_there(targets.take(np.array([0, 1])), lost, source="data")
    targets.require_still_there(targets, {}, source="data")
