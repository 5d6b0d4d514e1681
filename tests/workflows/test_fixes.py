"""Lists of fixes: what the doctor writes, what a person may change in it, and what is said when it does not fit."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drawn_shapes import draw_folder
from warmstart.data.listing import read_listing
from warmstart.errors import DataError, UsageError
from warmstart.inspection.findings import Finding
from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify import compare as compare_module
from warmstart.tasks.classify.advice import advise as advise_module
from warmstart.tasks.classify.doctor.fixes import COLUMNS, apply_fixes, write_fix_list
from warmstart.workflows import lr_find as lr_find_module
from warmstart.workflows import train as train_module


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    return read_listing(str(draw_folder(tmp_path / "photos", 3)))


def fixes(tmp_path: Path, *rows: str, header: str = "path,action,new_label") -> Path:
    path = tmp_path / "fixes.csv"
    path.write_text("\n".join((header, *rows)) + "\n", "utf-8")
    return path


def test_keep_drop_and_relabel_change_the_listing_and_no_file(listing: Listing, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.*")}
    a, b, c, *_ = (example.path for example in listing.examples)
    fixed = apply_fixes(listing, fixes(tmp_path, f"{a},drop,", f"{b},relabel,square", f"{c},keep,square"))
    assert {e.path: e.class_name for e in fixed.examples} == {
        e.path: "square" if e.path == b else e.class_name for e in listing.examples if e.path != a
    }
    assert fixed.fixes == {"file": str(tmp_path / "fixes.csv"), "dropped": 1, "relabelled": 1}
    assert before == {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.*")}


def test_what_is_written_can_be_applied_and_only_drops_what_needs_no_eye(listing: Listing, tmp_path: Path) -> None:
    a, b, c, d, *_ = (example.path for example in listing.examples)
    found = (
        Finding(kind="copy", paths=(a, b), detail='the "same" bytes, twice', suggestion="drop one", drop=(b,)),
        Finding(kind="label", paths=(c,), detail="called circle", suggestion="look", new_label="square"),
        Finding(kind="class", paths=(), detail="small", suggestion="collect"),
        Finding(kind="outlier", paths=(d,), detail="strange", suggestion="look"),
    )
    target = tmp_path / "out.csv"
    assert write_fix_list(target, found, dict.fromkeys((a, b, c, d), ("circle", None))) == 4
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["path"], row["action"], row["new_label"]) for row in rows] == [
        (a, "keep", ""),
        (b, "drop", ""),
        (c, "keep", "square"),
        (d, "keep", ""),
    ]
    assert {e.path for e in listing.examples} - {e.path for e in apply_fixes(listing, target).examples} == {b}


def test_paths_may_count_from_here_or_from_the_data(listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = Path(listing.examples[0].path).relative_to(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    for written in (f"photos/{name}", str(name), f"./photos/../photos/{name}"):
        assert len(apply_fixes(listing, fixes(tmp_path, f"{written},drop,")).examples) == len(listing.examples) - 1


def test_a_file_that_is_left_out_anyway_may_be_named(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "photos", 3)
    (folder / "circle" / "broken.jpg").write_text("no picture", "utf-8")
    (folder / "circle" / "notes.txt").write_text("no picture", "utf-8")
    listing = read_listing(str(folder))
    named = [folder / "circle" / "broken.jpg", folder / "circle" / "notes.txt"]
    fixed = apply_fixes(listing, fixes(tmp_path, *(f"{path},drop," for path in named)))
    assert len(fixed.examples) == 9


def test_keep_gives_way_and_contradictions_are_named_with_both_lines(listing: Listing, tmp_path: Path) -> None:
    a = listing.examples[0].path
    assert len(apply_fixes(listing, fixes(tmp_path, f"{a},drop,", f"{a},keep,", f"{a},drop,")).examples) == 8
    with pytest.raises(DataError, match=r"lines 2 and 4 say drop and relabel as 'square'"):
        apply_fixes(listing, fixes(tmp_path, f"{a},drop,", f"{a},keep,", f"{a},relabel,square"))
    with pytest.raises(DataError, match="relabel as 'stripes' and relabel as 'square'"):
        apply_fixes(listing, fixes(tmp_path, f"{a},relabel,stripes", f"{a},relabel,square"))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("photos/circle/0.pgn,drop,", ["line 2", "'photos/circle/0.pgn'", "none of the 9 pictures", "circle/0.png"]),
        (",drop,", ["line 2", "''"]),
        ("{a},remove,", ["line 2", "unknown action 'remove'", "keep, drop or relabel"]),
        ("{a},dorp,", ["unknown action 'dorp'", "Did you mean 'drop'?"]),
        ("{a},,", ["unknown action ''"]),
        ("{a},relabel,sqare", ["line 2", "unknown new_label 'sqare'", "circle, square, stripes", "Did you mean 'square'?"]),
        ("{a},relabel,", ["relabel without a new_label", "circle, square, stripes"]),
        ("{a},drop", ["line 2 has 2 cells, its first line 3"]),
        ('"{a},drop,', ["not proper CSV"]),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_what_was_found_and_expected(
    listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, says: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        apply_fixes(listing, fixes(tmp_path, row.format(a=listing.examples[0].path)))
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("path,new_label", "no 'action'"),
        ("file,action", "no 'path'"),
        ("path,acton", "Did you mean 'acton'"),
        ("path,action,action", "2 columns 'action'"),
    ],
)
def test_columns_that_are_missing_or_doubled_are_named(listing: Listing, tmp_path: Path, header: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        apply_fixes(listing, fixes(tmp_path, header=header))


def test_an_empty_file_no_file_and_a_list_that_leaves_one_class(listing: Listing, tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_text("\n", "utf-8")
    with pytest.raises(DataError, match="is empty"):
        apply_fixes(listing, tmp_path / "empty.csv")
    with pytest.raises(DataError, match="cannot be read"):
        apply_fixes(listing, tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="leaves 1 class"):
        apply_fixes(listing, fixes(tmp_path, *(f"{e.path},drop," for e in listing.examples if e.class_name != "circle")))
    with pytest.raises(UsageError, match="cannot be written"):
        write_fix_list(tmp_path / "no" / "folder.csv", (), {})
    assert apply_fixes(listing, fixes(tmp_path)).examples == listing.examples


class Reached(Exception):  # noqa: N818 - no error
    """A verb has come as far as the test wants it to."""


@pytest.mark.parametrize(
    ("module", "begin", "verb"),
    [
        (compare_module, "_run", lambda data, of: compare_module.compare(data, ("frozen",), settings=replace(of, budget_s=60))),
        (lr_find_module, "probe", lambda data, of: lr_find_module.lr_find(data, Plan(cut="stage6"), of)),
        (advise_module, "prepare", lambda data, of: advise_module.advise(data, settings=of)),
        (train_module, "prepare", lambda data, of: train_module.train(data, settings=of)),
    ],
    ids=["compare", "lr-find", "advise", "train"],
)
def test_every_verb_that_learns_takes_the_list_before_anything_else(
    module: Any, begin: str, verb: Any, listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, *_ = (example.path for example in listing.examples)
    file = fixes(tmp_path, f"{a},drop,", f"{b},relabel,square")
    met: list[Listing] = []

    def met_with(*arguments: Any, **_more: Any) -> None:
        met.extend(each for each in arguments if isinstance(each, Listing))
        raise Reached

    monkeypatch.setattr(module, begin, met_with)
    with pytest.raises(Reached):
        verb(listing.source, TrainSettings(fixes=file, runs=tmp_path / "runs"))
    assert met == [apply_fixes(listing, file)]


def test_a_comparison_that_goes_on_takes_the_same_list(
    listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fixes(tmp_path, f"{listing.examples[0].path},drop,")
    met: list[Listing] = []

    def stop(_folder: Path, met_with: Listing, *_: Any) -> None:
        met.append(met_with)
        raise Reached

    monkeypatch.setattr(compare_module, "_run", stop)
    runs = tmp_path / "runs"
    with pytest.raises(Reached):
        compare_module.compare(listing.source, ("frozen",), settings=TrainSettings(fixes=file, runs=runs, budget_s=60))
    (folder,) = runs.iterdir()
    with pytest.raises(Reached):
        compare_module.resume(folder)
    assert met[0].examples == met[1].examples == listing.examples[1:]


def test_a_list_that_was_edited_is_not_overwritten_without_force(listing: Listing, tmp_path: Path) -> None:
    file, path = tmp_path / "fixes.csv", listing.examples[0].path
    findings = [Finding(kind="outlier", paths=(path,), detail="far", suggestion="look", score=1.0)]
    pictures = {path: (listing.examples[0].class_name, None)}
    write_fix_list(file, findings, pictures)
    write_fix_list(file, findings, pictures)  # unedited, so nothing is lost
    edited = file.read_text("utf-8").replace(",keep,", ",drop,")
    file.write_text(edited, "utf-8")
    with pytest.raises(DataError, match=r"fixes\.csv' is there already .* edited.* --force"):
        write_fix_list(file, findings, pictures)
    assert file.read_text("utf-8") == edited
    write_fix_list(file, findings, pictures, force=True)
    assert file.read_text("utf-8") != edited
