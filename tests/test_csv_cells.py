"""What a spreadsheet would run is written so that it does not, and reads back as it was."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn_shapes import draw_shape
from warmstart.cli.tables import write_predictions_csv
from warmstart.csv_cells import cell_of, text_of
from warmstart.data.listing import read_listing
from warmstart.inspection.findings import Finding
from warmstart.predicting import ModelFacts
from warmstart.records import Prediction
from warmstart.serve import fixes as served_fixes
from warmstart.tasks.classify.doctor.fixes import _read, write_fix_list
from warmstart.workflows.predict import Predictions

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "＝1", "－1")
texts = st.one_of(
    st.text(),
    st.builds(lambda quotes, mark, rest: "'" * quotes + mark + rest, st.integers(0, 4), st.sampled_from(FORMULAS), st.text()),
)


@given(st.lists(texts, min_size=1, max_size=5))
def test_any_texts_read_back_exactly_and_none_begins_a_formula(row: list[str]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerow([cell_of(text) for text in row])
    (cells,) = csv.reader(io.StringIO(file.getvalue(), newline=""), strict=True)
    assert [text_of(cell) for cell in cells] == row
    assert not [cell for cell in cells if cell.lstrip(" ")[:1] in tuple("=+-@\t\r\n＝＋－＠")]


def test_what_is_no_formula_stands_as_it_is() -> None:
    for text in ("", "cat", "'tis", "''", "a=b", "3-4", "photos/-1.jpg", "'90s"):
        assert cell_of(text) == text_of(text) == text


NAMES = ("=cmd", "+plus", "-minus", "@at", "'=quoted", "''-twice", "'tis")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Class folders and pictures whose names a spreadsheet would take for formulas, or that look as if they were escaped."""
    folder = tmp_path / "odd"
    for i, name in enumerate(NAMES):
        (folder / name).mkdir(parents=True)
        for file in (f"{name}.png", f"{i} .png "):
            draw_shape("circle", i).save(folder / name / file, "PNG")
    return folder


def test_a_fix_list_of_odd_names_reads_back_exactly(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (odd, tmp_path):  # relative names begin with what a spreadsheet minds, absolute ones do not
        monkeypatch.chdir(place)
        listing = read_listing("." if place == odd else str(odd))
        pictures = {e.path: (e.class_name, None) for e in listing.examples}
        first = listing.examples[0].path
        finding = Finding(
            kind="label",
            paths=tuple(pictures),
            score=1.0,
            detail="=detail",
            suggestion="-look",
            new_label="''-twice",
            drop=(first,),
        )
        file = tmp_path / "fixes.csv"
        assert write_fix_list(file, [finding], pictures, force=True) == len(pictures)
        assert "\n=" not in file.read_text("utf-8")
        text = file.read_text("utf-8").replace(",keep,", ",relabel,")
        file.write_text(text, "utf-8")
        fixed = {fix.path: fix.new_label for fix in _read(file, listing) if fix.action == "relabel"}
        assert first not in fixed
        assert set(fixed.values()) == {"''-twice"}
        assert len(fixed) == len(pictures) - 1


def test_a_servers_list_of_fixes_reads_back_exactly(odd: Path, tmp_path: Path) -> None:
    listing = read_listing(odd)
    file = tmp_path / "fixes.csv"
    wanted = [{"n": n, "action": "relabel", "new_label": NAMES[n % len(NAMES)]} for n in range(len(listing.examples))]
    served_fixes.change(file, listing, wanted, whole=True)
    found = served_fixes.read(file, listing)
    assert [label for _, label in found.values()] == [fix["new_label"] for fix in wanted]
    assert list(found) == [example.path for example in listing.examples]


def test_a_manifest_with_such_cells_is_read_as_it_was_meant(tmp_path: Path) -> None:
    for name in ("=a.png", "-b.png", "'=c.png"):
        draw_shape("circle", 0).save(tmp_path / name)
    rows = [("=a.png", "=one"), ("-b.png", "@two"), ("'=c.png", "three")]
    with (tmp_path / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *(map(cell_of, row) for row in rows)])
    listing = read_listing(tmp_path / "list.csv")
    assert {(Path(e.path).name, e.class_name) for e in listing.examples} == set(rows)
    (tmp_path / "by-hand.csv").write_text("path,label\n=a.png,=one\n-b.png,@two\n", "utf-8")  # nobody escaped these
    assert listing.class_names != read_listing(tmp_path / "by-hand.csv").class_names == ("=one", "@two")


def test_predictions_name_classes_and_files_without_running_them() -> None:
    prediction = Prediction(
        source="-7.jpg", class_name="=cmd", probability=0.75, probabilities={"=cmd": 0.75, "dog": 0.25}, classes=("=cmd",)
    )
    file = io.StringIO(newline="")
    result = Predictions.__new__(Predictions)
    facts = ModelFacts(task="classify", size_px=64, backbone=None, says={"classes": ["=cmd", "dog"]}, about={})
    for name, value in {"coverage": 0.9, "facts": facts, "predictions": [prediction]}.items():
        object.__setattr__(result, name, value)
    write_predictions_csv(result, file)
    header, row = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert header == ["path", "class", "probability", "novelty", "classes", "'=cmd", "dog"]
    assert row == ["'-7.jpg", "'=cmd", "0.750000", "", "'=cmd", "0.750000", "0.250000"]
