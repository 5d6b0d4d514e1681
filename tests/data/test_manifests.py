"""Manifests as spreadsheets, scripts and other systems write them: each is read as it was meant, or refused by a sentence of its own."""

import csv
import datetime
import io
import os
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest

from warmstart.data import text_tables
from warmstart.data.class_names import class_name_of
from warmstart.data.listing import read_listing
from warmstart.errors import DataError
from warmstart.plan import Plan
from warmstart.tasks.classify.doctor.fixes import apply_fixes

ROWS = [("pics/0.jpg", "cat"), ("pics/1.jpg", "dog"), ("pics/a b.jpg", "cat"), ("pics/c, d.jpg", "dog")]


@pytest.fixture
def folder(draw, tmp_path):
    for path, _ in ROWS:
        draw(path)
    return tmp_path


def written(folder: Path, content: bytes | str, encoding: str = "utf-8") -> Path:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def as_csv(rows: Any, delimiter: str = ",", line_end: str = "\n") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerows([("path", "label"), *rows])
    return text.getvalue()


def read(path: Any) -> dict[str, str]:
    listing = read_listing(path)
    assert listing.problems == ()
    return {f"pics/{Path(example.path).name}": example.class_name for example in listing.examples}


def refusal(path: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_listing(path)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("before", ["", "sep={}\n", '"SEP={}"\r\n', "\n\r\n"])
def test_encoding_line_end_delimiter_and_what_stands_before_the_header(folder, encoding, line_end, delimiter, before) -> None:
    text = before.format(delimiter) + as_csv(ROWS, delimiter, line_end)
    assert read(written(folder, text, encoding)) == dict(ROWS)


def test_utf_16_with_a_big_endian_mark(folder) -> None:
    assert read(written(folder, b"\xfe\xff" + as_csv(ROWS).encode("utf-16-be"))) == dict(ROWS)


def test_empty_lines_spaces_and_delimiters_at_the_end(folder) -> None:
    lines = [
        "path , label,",
        "",
        " pics/0.jpg , cat ,",
        ",,",
        '"pics/1.jpg",dog,,',
        "pics/a b.jpg ,  cat",
        ' "pics/c, d.jpg" , dog,',
        "",
        "",
    ]
    text = "\n".join(lines)
    assert read(written(folder, text)) == dict(ROWS)
    assert "line 3 has 3 cells" in refusal(written(folder, "\npath,label\npics/0.jpg,cat,dog\n"))


def test_a_space_that_belongs_to_the_name_is_kept(draw, tmp_path) -> None:
    draw("pics/ x.jpg"), draw("pics/x.jpg"), draw(" y.jpg")
    listing = read_listing(written(tmp_path, "path,label\npics/ x.jpg,a\npics/x.jpg,b\n y.jpg,a\n"))
    assert {Path(e.path).name for e in listing.examples} == {" x.jpg", "x.jpg", " y.jpg"}


def test_backslashes_addresses_and_the_home_folder(folder, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    names = [
        r"pics\0.jpg",
        (folder / "pics/1.jpg").as_uri(),
        "FILE://localhost" + quote(str(folder / "pics/a b.jpg")),
        "~/pics/c, d.jpg",
    ]
    assert read(written(folder, as_csv(zip(names, "xyxy", strict=True)))) == dict(
        zip([p for p, _ in ROWS], "xyxy", strict=True)
    )
    assert read([(folder / "pics/0.jpg", "x"), ("~/pics/1.jpg", "y")]) == {"pics/0.jpg": "x", "pics/1.jpg": "y"}


@pytest.mark.skipif(os.name == "nt", reason="a file with a backslash in its name")
def test_a_file_that_is_named_so_comes_before_any_other_reading(draw, tmp_path) -> None:
    draw(r"a\b.jpg"), draw("a/b.jpg"), draw("~x.jpg")
    listing = read_listing(written(tmp_path, "path,label\na\\b.jpg,x\na/b.jpg,y\n~x.jpg,y\n"))
    assert {e.path.removeprefix(f"{tmp_path}/"): e.class_name for e in listing.examples} == {
        r"a\b.jpg": "x",
        "a/b.jpg": "y",
        "~x.jpg": "y",
    }


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("file://nas/pics/0.jpg", "lies on another machine, 'nas'"),
        ("https://example.org/0.jpg", "https:// is an address on the network"),
        ("s3://bucket/0.jpg", "s3:// is an address on the network"),
        (r"C:\pics\0.jpg", "a path of a Windows machine"),
        ("pics/9.jpg", "relative to the manifest's folder"),
        ("~nobody/9.jpg", "does not exist"),
    ],
)
def test_what_is_not_there_is_named_with_its_reason(folder, path, hint) -> None:
    (problem,) = read_listing(written(folder, as_csv([*ROWS, (path, "cat")]))).problems
    assert problem.kind == "missing"
    assert hint in problem.message
    assert "line 6" in problem.message


def test_a_relative_path_of_pairs_starts_at_the_working_folder(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    (problem,) = read_listing([*ROWS, ("gone.jpg", "cat")]).problems
    assert "working folder" in problem.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfep\0a\0t\0h\0,\0l\0a\0b\0e\0l\0\n\0\x00\xd8", "damaged"),
        ("path,label\nä,b\n".encode("latin-1"), "not UTF-8 (line 2)"),
        (b"sep=;\n\n", "is empty"),
        (b"path;label;path\na;b;c\n", "2 columns 'path'"),
        (b"Path,label,LABEL\na,b,c\n", "2 columns 'label'"),
        (b"\x7fELF\x02\x01\0\0\0\0\0\0\0\0\0\0", "a binary file"),
    ],
)
def test_what_cannot_be_read_has_a_sentence_of_its_own(folder, content, said) -> None:
    message = refusal(written(folder, content))
    assert said in message
    assert "list.csv" in message


def test_pipes_devices_and_gigabytes_are_refused_and_never_waited_for(folder, monkeypatch) -> None:
    pipe = folder / "pipe.csv"
    os.mkfifo(pipe)
    messages: list[str] = []
    listing = read_listing(written(folder, as_csv(ROWS)))

    def ask() -> None:
        messages.append(refusal(pipe))
        with pytest.raises(DataError) as caught:
            apply_fixes(listing, pipe)
        messages.append(str(caught.value))

    asked = threading.Thread(target=ask, daemon=True)
    asked.start()
    asked.join(60)
    assert [("pipe or device" in message) for message in messages] == [True, True]
    assert "pipe or device" in refusal("/dev/zero")
    monkeypatch.setattr(text_tables, "MAX_BYTES", 20)
    assert "at most 20" in refusal(folder / "list.csv")


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"path": [path for path, _ in ROWS], **columns})


NOTHINGS = [None, float("nan"), np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("nan"), "", "  "]


@pytest.mark.parametrize("nothing", NOTHINGS, ids=repr)
def test_nothing_in_label_split_or_group_is_nothing_whatever_a_frame_calls_it(folder, monkeypatch, nothing) -> None:
    monkeypatch.chdir(folder)
    given = frame(
        label=["a", "b", nothing, "a"], split=[nothing, "test", "train", None], group=["g", nothing, "g", "h"]
    ).astype(object)
    listing = read_listing(given)
    assert [problem.kind for problem in listing.problems] == ["no-label"]
    assert [(e.split, e.group) for e in listing.examples] == [(None, "g"), ("test", None), (None, "h")]
    pairs = read_listing([*ROWS[:3], (ROWS[3][0], nothing)])
    assert [problem.kind for problem in pairs.problems] == ["no-label"]


@pytest.mark.parametrize("dtype", ["Int64", "string", "category", "Float64", "float32"])
def test_missing_labels_of_every_column_type(folder, monkeypatch, dtype) -> None:
    monkeypatch.chdir(folder)
    values = ["1", "2", None, "1"] if dtype in ("string", "category") else [1, 2, None, 1]
    listing = read_listing(frame(label=pd.array(values, dtype=dtype), group=pd.array(values, dtype=dtype)))
    assert listing.class_names == ("1", "2")
    assert [example.group for example in listing.examples] == ["1", "2", "1"]
    assert [problem.kind for problem in listing.problems] == ["no-label"]


def test_whole_numbers_beside_nothing_stay_whole_and_others_stay_as_they_are(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    given = frame(label=[1, 2, None, 1], group=[10, None, 10, 7])
    assert given["label"].dtype == float
    from_frame = read_listing(given)
    given.to_csv("list.csv", index=False)
    assert "1.0" in Path("list.csv").read_text()
    for listing in (from_frame, read_listing("list.csv")):
        assert listing.class_names == ("1", "2")
        assert [example.group for example in listing.examples] == ["10", None, "7"]
    for labels in ([1.0, 1.5, 2.0, 1.5], ["1.0", "1", "1.0", "1"], ["v1.0", "1.0", "1.0", "v1.0"]):
        assert read_listing(frame(label=labels)).class_names == tuple(sorted(set(map(str, labels))))
    assert read_listing(frame(label=[True, False, True, False])).class_names == ("False", "True")
    days = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)] * 2
    assert read_listing(frame(label=days)).class_names == ("2024-01-01", "2024-01-02")


def test_a_frame_with_two_columns_of_one_name_is_refused(folder) -> None:
    twice = pd.DataFrame([[*row, "x"] for row in ROWS], columns=["path", "label", "Label "])
    assert "2 columns 'label'" in refusal(twice)
    assert "2 columns 'label'" in refusal(twice.set_axis(["path", "label", "label"], axis=1))


@pytest.mark.parametrize(
    "source", [5, {"pics/0.jpg": "cat"}, b"folder", Plan(), None, 1.5, [1, 2], [("a", "b", "c")]], ids=repr
)
def test_what_is_no_data_set_is_refused_by_a_sentence(source) -> None:
    assert "expected" in refusal(source)


@pytest.mark.parametrize("name", [" cat", "cat ", "\tcat\n", "cafe\u0301", "caf\u00e9", "two  words", "Cat", "cat\u200b"])
def test_folders_pairs_and_manifests_follow_one_rule_for_names(draw, tmp_path, name) -> None:
    draw(f"data/{name}/1.png"), draw("data/other/2.png")
    paths = [str(tmp_path / "data" / name / "1.png"), str(tmp_path / "data/other/2.png")]
    expected = tuple(sorted([class_name_of(name), "other"]))
    assert read_listing(tmp_path / "data").class_names == expected
    assert read_listing(list(zip(paths, (name, "other"), strict=True))).class_names == expected
    assert read_listing(written(tmp_path, as_csv(zip(paths, (name, "other"), strict=True)))).class_names == expected


def test_two_folders_of_one_class_are_one_and_that_is_said(draw, tmp_path) -> None:
    draw("cat/1.png"), draw("cat /2.png"), draw("dog/3.png"), draw("Dog/4.png")
    listing = read_listing(tmp_path)
    assert listing.class_names == ("Dog", "cat", "dog")
    (problem,) = listing.problems
    assert problem.kind == "merged-class"
    assert "'cat' and 'cat ' are one class" in problem.message
    assert read_listing(tmp_path, exclude=["cat"]).class_names == ("Dog", "dog")
