"""What tables are taken for, and what is said of numbers that are none."""

from pathlib import Path

import pandas as pd
import pytest

from drawn_shapes import draw_folder, draw_shape
from warmstart.errors import DataError, UnknownNameError, UsageError
from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.session.listed import listed
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.task_protocol import Task


def _table(folder: Path, **columns: list[object]) -> Path:
    for i in range(len(next(iter(columns.values())))):
        if not (folder / f"{i}.png").exists():
            draw_shape("circle", i).save(folder / f"{i}.png")
    n = len(next(iter(columns.values())))
    pd.DataFrame({"path": [f"{i}.png" for i in range(n)], **columns}).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def _listed(data: object, heard: list[str] | None = None, **plan: object) -> tuple[Listing, Task]:
    class Listening(NullProgress):
        def say(self, line: str) -> None:
            (heard if heard is not None else []).append(line)

    return listed(str(data), TrainSettings(), Plan(cut="pooled", **plan), Listening())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        ([0.5 * i for i in range(24)], "regress"),
        (list(range(40)), "regress"),  # forty numbers, each once
        ([i % 10 for i in range(60)], "classify"),  # ten digits
        ([str(2000 + i % 25) for i in range(200)], "classify"),  # twenty-five years, eight pictures of each
        (["1.5", "x"] * 10, "classify"),
        (["cat", "dog"] * 10, "classify"),
    ],
)
def test_labels_are_taken_for_numbers_where_they_are_no_names(labels: list[object], task: str, tmp_path: Path) -> None:
    heard: list[str] = []
    found = _listed(_table(tmp_path, label=labels), heard)[1]
    assert found.name == task
    assert any("--task names another" in line for line in heard) == (task == "regress")
    overruled = "classify" if task == "regress" else "regress"
    if task == "regress" or labels[0] != "cat":
        assert (overruled == "regress" and labels[1] == "x") or _listed(_table(tmp_path, label=labels), task=overruled)[
            1
        ].name == overruled


def test_folders_are_classes_also_where_their_names_are_numbers(tmp_path: Path) -> None:
    draw_folder(tmp_path, 4)
    (tmp_path / "circle").rename(tmp_path / "0.5")
    (tmp_path / "square").rename(tmp_path / "1.5")
    assert _listed(tmp_path)[1].name == "classify"
    with pytest.raises(DataError, match="is a folder, whose pictures have no numbers"):
        _listed(tmp_path, task="regress")
    with pytest.raises(DataError, match=r"is a folder, and dots names columns of a table"):
        _listed(tmp_path, target=("dots",))


def test_what_is_no_number_is_left_out_by_name_and_nothing_is_learnt_of_too_many(tmp_path: Path) -> None:
    values: list[object] = [*range(17), "n/a", "inf", ""]
    listing, _ = _listed(_table(tmp_path, count=values), target=("count",))
    kinds = {problem.kind: problem for problem in listing.problems}
    assert len(listing.examples) == 17
    assert "has no count; left out" in kinds["no-target"].message
    assert "'inf', expected a finite number" in kinds["no-number"].message
    with pytest.raises(DataError, match=r"0 of 6 pictures have a number in count.*= 'many'.*give --task classify"):
        _listed(_table(tmp_path, count=["many"] * 6), target=("count",), task="regress")
    with pytest.raises(DataError, match=r"classes are learnt from the column label, and count was named with --target"):
        _listed(_table(tmp_path, count=["many", "few"] * 6), target=("count",))


def test_a_constant_number_is_refused(tmp_path: Path) -> None:
    from warmstart.workflows.train import train

    table = _table(tmp_path, count=[3] * 20)
    with pytest.raises(DataError, match=r"every train picture has count = 3, so there is nothing to learn"):
        train(str(table), Plan(cut="pooled", target=("count",)), TrainSettings(runs=tmp_path / "runs"))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"task": "regres"}, r"unknown task 'regres'.*regress"),
        ({"options": {"robus": True}}, r"option of the task regress 'robus'"),
        ({"options": {"coverage": 1.5}}, r"coverage 1.5"),
        (
            {"task": "classify", "target": (), "options": {"robust": True}},
            r"the task classify has no options, and robust was given",
        ),
    ],
)
def test_wrong_names_are_told_before_any_picture_is_opened(plan: dict[str, object], message: str, tmp_path: Path) -> None:
    table = _table(tmp_path, count=list(range(12)), label=["a", "b"] * 6)
    with pytest.raises((UnknownNameError, UsageError), match=message):
        _listed(table, **{"target": ("count",), **plan})


@pytest.mark.parametrize("given", [{"head": "svm"}, {"class_weight": "balanced"}, {"positive": "a"}])
def test_what_is_for_classes_is_refused(given: dict[str, object], tmp_path: Path) -> None:
    from warmstart.workflows.train import train

    table = _table(tmp_path, count=list(range(20)))
    with pytest.raises(UsageError, match=r"is for classes, and .* holds numbers"):
        train(str(table), Plan(cut="pooled", target=("count",), **given), TrainSettings(runs=tmp_path / "runs"))  # type: ignore[arg-type]


def test_a_column_that_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"has columns 'path', 'count' but no 'counts'; expected path,counts. 'count' looks like it"
    ):
        _listed(_table(tmp_path, count=list(range(12))), target=("counts",))
