"""The verb doctor, and its list of fixes on the way to train."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drawn_shapes import draw_folder, set_back

Call = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = draw_folder(tmp_path / "photos", 8)
    shutil.copyfile(folder / "circle" / "1.jpg", folder / "circle" / "same.jpg")
    (folder / "square" / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    set_back(folder)
    return folder


def test_one_document_with_every_kind_and_the_table_says_the_same(warmstart: Call, photos: Path, warm_cache: Path) -> None:
    result = warmstart("doctor", photos, "--image-size", 64, "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["counts"]["broken"] == document["counts"]["copy"] == 1
    assert {"source", "images", "classes", "counts", "findings", "labels", "notes", "notices", "seconds", "seen"} == set(
        document
    )
    table = warmstart("doctor", photos, "--image-size", 64)
    assert (table.code, f"{document['images']} readable images" in table.out) == (0, True)
    for word in ("Broken files", "torn.jpg", "Exact copies", "= circle/same.jpg", "class 'square' has 8"):
        assert word in table.out


def test_the_list_of_fixes_is_edited_and_train_does_what_it_says(
    warmstart: Call, photos: Path, warm_cache: Path, tmp_path: Path
) -> None:
    made = warmstart("doctor", photos, "--image-size", 64, "--fix-list", "fixes.csv", "--page", "page.html", "--json")
    assert (made.code, (tmp_path / "page.html").stat().st_size > 1000) == (0, True)
    with (tmp_path / "fixes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {Path(row["path"]).name for row in rows if row["action"] == "drop"} == {"same.jpg", "torn.jpg"}
    rows.append(rows[0] | {"path": str(photos / "stripes" / "2.png"), "action": "relabel", "new_label": "square"})
    with (tmp_path / "fixes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    document = json.loads(warmstart("train", photos, "--image-size", 64, "--fixes", "fixes.csv", "--json").out)
    assert document["data"]["classes"] == {"circle": 8, "square": 9, "stripes": 7}
    assert document["data"]["fixes"] == {"file": "fixes.csv", "dropped": 2, "relabelled": 1}
    assert (photos / "circle" / "same.jpg").is_file()
    said = warmstart("train", photos, "--image-size", 64, "--fixes", "fixes.csv").said
    assert "2 dropped, 1 relabelled" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,action\nphotos/circle/9.png,drop\n", "line 2"),
        ("path,action,new_label\nphotos/circle/1.jpg,relabel,circel\n", "Did you mean 'circle'?"),
        ("", "is empty"),
    ],
)
def test_fixes_that_do_not_fit_are_the_users_error_without_a_traceback(
    warmstart: Call, photos: Path, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "fixes.csv").write_text(text, "utf-8")
    result = warmstart("train", photos, "--image-size", 64, "--fixes", "fixes.csv")
    assert (result.code, result.out) == (1, "")
    assert says in result.said
    assert "Traceback" not in result.err


def test_places_that_cannot_be_written_are_a_usage_error(warmstart: Call, photos: Path, warm_cache: Path) -> None:
    for option in ("--fix-list", "--page"):
        result = warmstart("doctor", photos, "--image-size", 64, option, "no/where.file")
        assert (result.code, f"{option} 'no/where.file' cannot be written" in result.said) == (2, True)


def test_no_data_is_an_error(warmstart: Call, tmp_path: Path) -> None:
    assert warmstart("doctor", tmp_path / "nowhere").code == 1
