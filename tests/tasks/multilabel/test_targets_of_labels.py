"""What tables are taken for labels, and what is said of labels that cannot be learnt."""

from pathlib import Path

import numpy as np
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
from warmstart.tasks.multilabel.targets import LabelTargets, flag, names_in
from warmstart.workflows.train import train


def _table(folder: Path, **columns: list[object]) -> Path:
    n = len(next(iter(columns.values())))
    for i in range(n):
        if not (folder / f"{i}.png").exists():
            draw_shape("circle", i).save(folder / f"{i}.png")
    pd.DataFrame({"path": [f"{i}.png" for i in range(n)], **columns}).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def _listed(data: object, heard: list[str] | None = None, **plan: object) -> tuple[Listing, Task]:
    class Listening(NullProgress):
        def say(self, line: str) -> None:
            (heard if heard is not None else []).append(line)

    source = str(data) if isinstance(data, Path) else data
    return listed(source, TrainSettings(), Plan(cut="pooled", **plan), Listening())  # type: ignore[arg-type]


def _targets(listing: Listing, task: Task) -> LabelTargets:
    found: LabelTargets = task.targets(listing)
    return found


def test_a_table_with_a_column_labels_is_one_of_labels(tmp_path: Path) -> None:
    heard: list[str] = []
    cells = ["rust;dent", "rust", "-", "none", " dent | rust ", "dent;dent;"]
    listing, task = _listed(_table(tmp_path, labels=cells), heard)
    assert task.name == "multilabel"
    assert heard == ["the task is multilabel, for its column labels holds any number of them a picture; --task names another"]
    targets = _targets(listing, task)
    assert targets.names == ("dent", "rust")
    np.testing.assert_array_equal(targets.values, [[1, 1], [0, 1], [0, 0], [0, 0], [1, 1], [1, 0]])


def test_a_data_frame_may_hold_lists(tmp_path: Path) -> None:
    _table(tmp_path, labels=["a"] * 4)
    frame = pd.DataFrame({"path": [str(tmp_path / f"{i}.png") for i in range(4)], "labels": [["a", "b"], ("b",), {"-"}, []]})
    listing, task = _listed(frame)
    assert _targets(listing, task).names == ("a", "b")
    np.testing.assert_array_equal(_targets(listing, task).values, [[1, 1], [0, 1], [0, 0]])
    assert "which name none; write - for a picture that has none; left out" in listing.problems[-1].message


def test_an_empty_cell_of_labels_is_unknown_and_never_none_of_them(tmp_path: Path) -> None:
    listing, _ = _listed(_table(tmp_path, labels=["a", "b", "", "a;b"]))
    assert len(listing.examples) == 3
    (problem,) = listing.problems
    assert problem.kind == "no-target"
    assert "has no labels; left out: fill it in, or write - for a picture that has none of the labels" in problem.message
    listing, _ = _listed(_table(tmp_path, labels=["a", "b", "-;a", "a;b"]))
    assert [problem.kind for problem in listing.problems] == ["no-label"]
    assert "which say none of them and name some; left out: correct it" in listing.problems[0].message


def test_columns_of_0_and_1_are_labels_and_an_empty_cell_of_one_is_unknown(tmp_path: Path) -> None:
    table = _table(tmp_path, rust=[1, 0, None, 1], dent=[0, None, None, "true"])
    listing, task = _listed(table, task="multilabel", target=("rust", "dent"))
    np.testing.assert_array_equal(_targets(listing, task).values, [[1, 0], [0, np.nan], [1, 1]])
    assert [problem.kind for problem in listing.problems] == ["no-target"]
    assert "has no rust and no dent; left out" in listing.problems[0].message
    with pytest.raises(
        UsageError, match=r"is claimed by 2 tasks: multilabel \(the columns rust, dent hold nothing but 0 and 1\)"
    ):
        _listed(_table(tmp_path, rust=[1, 0, 1, 1], dent=[0, 1, 1, 0]), target=("rust", "dent"))


def test_text_in_a_column_of_0_and_1_is_left_out_by_name(tmp_path: Path) -> None:
    table = _table(tmp_path, rust=[1, 0, "maybe", 1, 2], dent=[0, 1, 1, 1, 0])
    listing, _ = _listed(table, task="multilabel", target=("rust", "dent"))
    assert len(listing.examples) == 3
    told = [problem.message for problem in listing.problems if problem.kind == "no-flag"]
    assert "rust = 'maybe', expected 1, 0, or nothing where it is unknown; left out: correct it" in told[0]
    assert "rust = '2'" in told[1]
    with pytest.raises(DataError, match=r"0 of 3 pictures have labels that can be read, expected nearly all.*'a;b'.*labels"):
        _listed(_table(tmp_path, tags=["a;b", "a", "b"]), task="multilabel", target=("tags",))


def test_all_entries_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no picture that can be used. Left out: 4 × no-target"):
        _listed(_table(tmp_path, rust=[None] * 4, dent=[None] * 4), task="multilabel", target=("rust", "dent"))
    with pytest.raises(DataError, match=r"has no picture that can be used. Left out: 4 × no-target.*write - for"):
        _listed(_table(tmp_path, labels=[None] * 4))


def test_labels_joined_by_commas_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"'a,b' in the column labels reads as several, joined by commas; expected them joined by ;"
    ):
        _listed(_table(tmp_path, labels=["a,b", "b", "a"]))
    listing, _ = _listed(_table(tmp_path, labels=["a,b;c", "c", "a,b"]))
    assert listing.class_names == ("a,b", "c")


def test_folders_and_single_labels_are_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"a folder, whose pictures have one class each: give a table, a CSV file with the columns path"
    ):
        _listed(draw_folder(tmp_path / "folder", 2), task="multilabel")
    with pytest.raises(DataError, match=r"a table without a column labels"):
        _listed(_table(tmp_path, label=["a", "b"] * 3), task="multilabel")
    with pytest.raises(DataError, match=r"multi-label data \(a;b\) call the column labels"):
        _listed(_table(tmp_path, label=["a;b", "b"] * 3))
    with pytest.raises(DataError, match=r"classes are learnt from the column label, and labels was named"):
        _listed(_table(tmp_path, labels=["a;b", "b"] * 3), task="classify")


def _trained(folder: Path, labels: list[object], **plan: object) -> dict[str, str]:
    table = _table(folder, labels=labels, split=["train"] * 16 + ["val"] * 4 + ["test"] * 4)
    run = train(str(table), Plan(cut="pooled", image_size_px=64, **plan), TrainSettings(runs=folder / "runs"))  # type: ignore[arg-type]
    return {problem.message.split(":")[0]: problem.message for problem in run.record.data.problems}


def test_labels_that_train_does_not_tell_apart_are_left_out_or_said(tmp_path: Path) -> None:
    labels: list[str] = ["all;a" if i % 2 else "all;b" for i in range(24)]
    labels[3] += ";once"
    labels[5] += ";twice"
    labels[6] += ";twice"
    labels[22] += ";only-test"
    told = _trained(tmp_path, list(labels))
    assert "no train picture has it (1 in val and test have it), so it is left out" in told["label 'only-test'"]
    assert "every train picture of which it is known has it (16), so there is nothing to tell apart" in told["label 'all'"]
    assert "only 1 train picture has it, expected at least 2, so it is left out" in told["label 'once'"]
    assert "2 of 16 train pictures have it, which tells little" in told["label 'twice'"]
    with pytest.raises(DataError, match=r"no label can be learnt from 16 train pictures. label 'all': every train picture"):
        _trained(tmp_path, ["all"] * 24)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"head": "svm"}, r"--head is for one class a picture, and .* holds labels \(a, b\): leave it out"),
        ({"class_weight": "balanced"}, r"--class-weight is for one class a picture"),
        (
            {"options": {"loss": "asymmetric"}},
            r"--loss asymmetric is for training right of a cut, and nothing is trained at cut pooled",
        ),
        ({"options": {"recall": 0.99}}, r"--recall 0.99 needs 99 pictures with a label that are held out, and .* has 24"),
        ({"options": {"recall": 1.5}}, r"recall 1.5 is outside 0 … 1"),
        ({"options": {"recal": 0.9}}, r"option of the task multilabel 'recal'"),
        ({"options": {"loss": "focal"}}, r"expected 'bce' or 'asymmetric'"),
    ],
)
def test_what_does_not_fit_labels_is_refused(given: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, UnknownNameError), match=message):
        _trained(tmp_path, ["a", "b", "a;b"] * 8, **given)


def test_targets_say_what_a_run_asks_of_them() -> None:
    nan = np.nan
    values = np.array([[1, 0, nan], [1, 1, 0], [0, 0, 0], [1, nan, 1]])
    targets = LabelTargets(names=("a", "b", "c"), columns=("a", "b", "c"), values=values)
    assert targets.kinds() == [0, 1, 3, 2]  # b and c are as rare; a picture without a label is of a kind of its own
    assert targets.marks() == [(0,), (0, 1), (), (0, 2)]
    assert targets.stamp(0) == "[('a', 1), ('b', 0)]"
    assert targets.keys()[0] != targets.keys()[1]
    assert targets.summary()["labels"]["b"] == {"pictures": 1, "unknown": 1}
    np.testing.assert_allclose(targets.shares, [3 / 4, 1 / 3, 1 / 3])


def test_cells_are_read_as_they_are_meant() -> None:
    assert [names_in(cell) for cell in ("a;b", " b ;; a|b", "-", "NONE", "", None)] == [
        ("a", "b"),
        ("b", "a"),
        ("-",),
        ("-",),
        (),
        (),
    ]
    assert [flag(cell) for cell in (1, 0, "1.0", True, "FALSE", np.float64(0), "yes", 2, "", 0.5)] == [
        1, 0, 1, 1, 0, 0, None, None, None, None,
    ]  # fmt: skip
