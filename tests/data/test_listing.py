import builtins
import os
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from warmstart.data.folders import SPLIT_FOLDERS
from warmstart.data.listing import find_pictures, read_listing, without_gaps
from warmstart.errors import DataError


def labels_of(listing, root):
    return {Path(example.path).relative_to(root).as_posix(): example.class_name for example in listing.examples}


def problems_of(listing, root):
    return {os.path.relpath(problem.path, root): problem.kind for problem in listing.problems}


def refusal(source, **options):
    with pytest.raises(DataError) as caught:
        read_listing(source, **options)
    return str(caught.value)


# ---- folders ----


def test_a_folder_of_class_folders_is_listed_in_the_order_of_path_bytes(draw, tmp_path):
    for name in ("dog/b.jpg", "dog/B.png", "cat/1.webp", "cat/old/deep/2.jpg", "cat/é.jpg"):
        draw(name)
    listing = read_listing(tmp_path)
    assert labels_of(listing, tmp_path) == {
        "dog/b.jpg": "dog",
        "dog/B.png": "dog",
        "cat/1.webp": "cat",
        "cat/old/deep/2.jpg": "cat",
        "cat/é.jpg": "cat",
    }
    assert listing.class_names == ("cat", "dog")
    assert listing.problems == ()
    assert listing.source == str(tmp_path)
    paths = [example.path for example in listing.examples]
    assert paths == sorted(paths, key=os.fsencode)
    assert {example.split for example in listing.examples} == {None}


def test_no_file_with_a_picture_extension_is_opened(draw, tmp_path, monkeypatch):
    for name in ("dog/b.jpg", "cat/1.WEBP", "cat/2.tiff"):
        draw(name)
    opened = []
    monkeypatch.setattr(builtins, "open", lambda *args, **_: opened.append(args))
    assert len(read_listing(tmp_path).examples) == 3
    assert opened == []


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Validation"])
def test_split_folders_are_used_as_they_are(val, draw, tmp_path):
    for name in ("train/cat/1.jpg", "train/dog/2.jpg", f"{val}/cat/3.jpg", "test/dog/deep/4.jpg"):
        draw(name)
    listing = read_listing(tmp_path)
    assert {Path(e.path).stem: (e.class_name, e.split) for e in listing.examples} == {
        "1": ("cat", "train"),
        "2": ("dog", "train"),
        "3": ("cat", "val"),
        "4": ("dog", "test"),
    }
    assert listing.problems == ()


def test_train_alone_is_a_split_folder(draw, tmp_path):
    draw("train/cat/1.jpg"), draw("train/dog/2.jpg")
    assert {e.split for e in read_listing(tmp_path).examples} == {"train"}


def test_a_class_that_is_called_train_stays_a_class(draw, tmp_path):
    for name in ("car/1.jpg", "plane/2.jpg", "train/3.jpg"):
        draw(name)
    assert read_listing(tmp_path).class_names == ("car", "plane", "train")


def test_a_folder_beside_the_splits_is_named(draw, tmp_path):
    for name in ("train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "extra/cat/4.jpg"):
        draw(name)
    listing = read_listing(tmp_path)
    assert len(listing.examples) == 3
    assert problems_of(listing, tmp_path) == {"extra": "not-a-split"}


def test_val_and_test_without_train_are_refused(draw, tmp_path):
    draw("val/cat/1.jpg"), draw("test/dog/1.jpg")
    assert "no 'train' folder" in refusal(tmp_path)


def test_clutter_is_passed_over_in_silence(draw, tmp_path):
    draw("cat/1.jpg"), draw("dog/2.jpg")
    for name in ("cat/.hidden.jpg", "cat/Thumbs.db", "dog/desktop.ini", "dog/.DS_Store", ".ipynb_checkpoints/a.jpg"):
        draw(name)
    for name in ("__MACOSX/cat/1.jpg", "cat/__MACOSX/1.jpg", "cat/.ipynb_checkpoints/1.jpg"):
        draw(name)
    (tmp_path / "README.md").write_text("about")
    listing = read_listing(tmp_path)
    assert (len(listing.examples), listing.problems) == (2, ())


def test_what_is_no_picture_in_a_class_folder_is_named_and_unknown_extensions_are_told_by_content(draw, tmp_path):
    draw("cat/1.jpg"), draw("dog/2.jpg"), draw("dog/no-extension"), draw("dog/phone.heic")
    (tmp_path / "cat" / "README.txt").write_text("about cats")
    (tmp_path / "cat" / "empty.bin").touch()
    (tmp_path / "cat" / "real.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    listing = read_listing(tmp_path)
    assert set(labels_of(listing, tmp_path)) == {"cat/1.jpg", "dog/2.jpg", "dog/no-extension", "dog/phone.heic"}
    assert problems_of(listing, tmp_path) == {
        "cat/README.txt": "not-a-picture",
        "cat/empty.bin": "not-a-picture",
        "cat/real.heic": "unsupported",
    }
    assert "magick" in next(p.message for p in listing.problems if p.kind == "unsupported")


def test_pictures_beside_class_folders_have_no_class(draw, tmp_path):
    draw("cat/1.jpg"), draw("dog/2.jpg"), draw("stray.jpg")
    listing = read_listing(tmp_path)
    assert problems_of(listing, tmp_path) == {"stray.jpg": "no-class"}
    assert len(listing.examples) == 2


def test_pictures_beside_class_folders_of_a_split_have_no_class(draw, tmp_path):
    draw("train/cat/1.jpg"), draw("train/dog/2.jpg"), draw("train/stray.jpg")
    assert problems_of(read_listing(tmp_path), tmp_path) == {"train/stray.jpg": "no-class"}


def test_an_empty_class_is_named_and_dropped(draw, tmp_path):
    draw("cat/1.jpg"), draw("dog/2.jpg")
    (tmp_path / "bird" / "none").mkdir(parents=True)
    (tmp_path / "cow").mkdir()
    (tmp_path / "cow" / "notes.txt").write_text("moo")
    listing = read_listing(tmp_path)
    assert listing.class_names == ("cat", "dog")
    assert problems_of(listing, tmp_path) == {"bird": "empty-class", "cow": "empty-class", "cow/notes.txt": "not-a-picture"}


def test_a_folder_that_may_not_be_read_is_named(unprivileged):
    for name in ("cat/1.jpg", "dog/2.jpg", "dog/locked/3.jpg", "bird/4.jpg"):
        (unprivileged / name).parent.mkdir(parents=True, exist_ok=True)
        (unprivileged / name).touch()
    (unprivileged / "dog" / "locked").chmod(0)
    (unprivileged / "bird").chmod(0)
    listing = read_listing(unprivileged)
    assert problems_of(listing, unprivileged) == {"dog/locked": "permission", "bird": "permission"}
    assert listing.class_names == ("cat", "dog")
    unprivileged.chmod(0)
    assert "may not be read" in refusal(unprivileged)


def test_a_file_that_must_be_looked_into_but_may_not_be_read_is_named(unprivileged):
    for name in ("cat/1.jpg", "dog/2.jpg", "dog/secret"):
        (unprivileged / name).parent.mkdir(exist_ok=True)
        (unprivileged / name).touch()
    (unprivileged / "dog" / "secret").chmod(0)
    assert problems_of(read_listing(unprivileged), unprivileged) == {"dog/secret": "permission"}


def test_links_are_followed_and_loops_are_named(draw, tmp_path):
    root = tmp_path / "photos"
    draw("photos/cat/1.jpg"), draw("photos/dog/2.jpg"), draw("elsewhere/3.jpg"), draw("elsewhere/deep/4.jpg")
    (root / "dog" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "dog" / "again").symlink_to(tmp_path / "elsewhere")
    (root / "dog" / "up").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "ring").symlink_to(root / "cat" / "ring")
    (root / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "whole").symlink_to(root)
    (root / "cat" / "linked.jpg").symlink_to(tmp_path / "elsewhere" / "3.jpg")
    listing = read_listing(root)
    found = Counter(Path(e.path).name for e in listing.examples)
    assert found == {"1.jpg": 1, "2.jpg": 1, "3.jpg": 1, "4.jpg": 1, "linked.jpg": 1}
    kinds = problems_of(listing, root)
    assert sum(kinds.pop(name, None) == "symlink-loop" for name in ("dog/more", "dog/again")) == 1
    assert kinds == {
        "dog/up": "symlink-loop",
        "cat/self": "symlink-loop",
        "cat/ring": "symlink-loop",
        "cat/gone.jpg": "missing",
        "whole": "symlink-loop",
    }


def test_a_pipe_is_named_and_never_opened(draw, tmp_path):
    draw("cat/1.jpg"), draw("dog/2.jpg")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    assert problems_of(read_listing(tmp_path), tmp_path) == {"cat/pipe.jpg": "not-a-picture"}


ODD_NAMES = ["two words", 'it\'s "quoted"', "Ж犬ñ", "line\nbreak", "comma, semi; bar|", "tab\there"]


def test_odd_names_work_as_classes_and_files(draw, tmp_path):
    for name in ODD_NAMES:
        draw(f"{name}/{name}.jpg")
    listing = read_listing(tmp_path)
    assert set(listing.class_names) == set(ODD_NAMES)
    assert listing.problems == ()
    assert all(Path(e.path).is_file() for e in listing.examples)


def test_one_class_name_in_two_unicode_forms_is_one_class(draw, tmp_path):
    draw("train/caf\u00e9/1.jpg"), draw("train/tea/2.jpg"), draw("test/cafe\u0301/3.jpg")
    assert read_listing(tmp_path).class_names == ("caf\u00e9", "tea")


def test_a_name_that_is_not_utf8_is_named(draw, tmp_path):
    draw("cat/1.jpg"), draw("dog/2.jpg")
    try:
        open(os.fsencode(tmp_path / "cat") + b"/\xff.jpg", "wb").close()  # noqa: PTH123
    except OSError:
        pytest.skip("this file system wants UTF-8")
    (problem,) = read_listing(tmp_path).problems
    assert problem.kind == "unreadable-name"
    problem.path.encode()


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("BACKGROUND_*", {"cat/1.jpg", "cat/raw/3.jpg", "dog/2.jpg", "dog/2.gif"}),
        ("*.gif", {"cat/1.jpg", "cat/raw/3.jpg", "dog/2.jpg", "BACKGROUND_Google/4.jpg"}),
        ("cat/raw", {"cat/1.jpg", "dog/2.jpg", "dog/2.gif", "BACKGROUND_Google/4.jpg"}),
        ("dog/2.*", {"cat/1.jpg", "cat/raw/3.jpg", "BACKGROUND_Google/4.jpg"}),
    ],
)
def test_exclude_takes_class_names_and_relative_paths(pattern, left, draw, tmp_path):
    for name in ("cat/1.jpg", "cat/raw/3.jpg", "dog/2.jpg", "dog/2.gif", "BACKGROUND_Google/4.jpg"):
        draw(name)
    listing = read_listing(tmp_path, exclude=[pattern])
    assert set(labels_of(listing, tmp_path)) == left
    assert {problem.kind for problem in listing.problems} <= {"empty-class"}


def test_an_excluded_class_is_excluded_in_every_split(draw, tmp_path):
    for name in ("train/cat/1.jpg", "train/dog/2.jpg", "train/bg/3.jpg", "test/bg/4.jpg", "test/cat/5.jpg"):
        draw(name)
    assert read_listing(tmp_path, exclude=["bg"]).class_names == ("cat", "dog")


def test_an_exclude_pattern_that_matches_nothing_is_named(draw, tmp_path):
    draw("cat/1.jpg"), draw("dog/2.jpg")
    (problem,) = read_listing(tmp_path, exclude=["BACKGROUND_Gogle"]).problems
    assert (problem.kind, problem.path) == ("unused-exclude", "BACKGROUND_Gogle")


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere")


def test_an_empty_folder_is_refused(tmp_path):
    assert "is empty; expected one folder per class" in refusal(tmp_path)


def test_a_flat_folder_of_pictures_is_refused_with_what_a_class_folder_is(draw, tmp_path):
    draw("1.jpg"), draw("2.jpg")
    message = refusal(tmp_path)
    assert "2 pictures but no class folder" in message
    assert "FOLDER/cat/1.jpg" in message
    (tmp_path / "labels.csv").write_text("path,label\n1.jpg,cat\n2.jpg,dog\n")
    assert "labels.csv' the manifest?" in refusal(tmp_path)


def test_a_folder_without_any_picture_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    assert "none of them a picture" in refusal(tmp_path)
    (tmp_path / "cat").mkdir()
    assert "no picture that can be used" in refusal(tmp_path)


def test_a_single_class_is_refused_unless_it_is_enough(draw, tmp_path):
    draw("cat/1.jpg")
    assert "only the class 'cat' (1 pictures), expected at least 2" in refusal(tmp_path)
    assert read_listing(tmp_path, min_classes=1).class_names == ("cat",)


def test_a_folder_around_the_class_folders_is_pointed_out(draw, tmp_path):
    draw("images/cat/1.jpg"), draw("images/dog/1.jpg")
    assert f"did you mean {str(tmp_path / 'images')!r}" in refusal(tmp_path)


# ---- manifests ----


@pytest.fixture
def four(draw):
    for i in range(4):
        draw(f"pics/{i}.jpg")


ROWS = [("pics/0.jpg", "cat"), ("pics/1.jpg", "dog"), ("pics/2.jpg", "cat"), ("pics/3.jpg", "dog")]


def manifest(tmp_path, text, *, name="list.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_manifest_is_read_whatever_its_delimiter_line_end_or_byte_order_mark(delimiter, encoding, line_end, four, tmp_path):
    lines = [delimiter.join(row) for row in (("path", "label"), *ROWS)]
    listing = read_listing(manifest(tmp_path, line_end.join(lines) + line_end, name="list.data", encoding=encoding))
    assert labels_of(listing, tmp_path) == dict(ROWS)
    assert listing.problems == ()


def test_columns_may_stand_in_any_order_with_split_and_group(four, tmp_path):
    rows = ["ann,train,cat,pics/0.jpg", "ann,,dog,pics/1.jpg", ",Valid,cat,pics/2.jpg", "bob,test,dog,pics/3.jpg"]
    text = "\n".join(["group, Split ,LABEL,path", *rows])
    listing = read_listing(manifest(tmp_path, text))
    assert [(e.split, e.group) for e in listing.examples] == [("train", "ann"), (None, "ann"), ("val", None), ("test", "bob")]


def test_names_in_quotes_may_hold_anything(draw, tmp_path):
    names = ["a, b.jpg", "line\nbreak.jpg", 'say "hi".jpg', " Ж.jpg"]
    for name in names:
        draw(name)
    quoted = "".join('"{}",{}\n'.format(name.replace('"', '""'), i % 2) for i, name in enumerate(names))
    listing = read_listing(manifest(tmp_path, f"path,label\n{quoted}"))
    assert {Path(e.path).name for e in listing.examples} == set(names)


def test_absolute_paths_stay_as_they_are(four, tmp_path):
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    text = "".join(f"{tmp_path / path},{label}\n" for path, label in ROWS)
    assert labels_of(read_listing(manifest(elsewhere, "path,label\n" + text)), tmp_path) == dict(ROWS)


def test_pairs_and_data_frames_give_the_same_as_a_manifest(four, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = read_listing(ROWS)
    frame = read_listing(pd.DataFrame(ROWS, columns=["path", "label"]))
    text = "path,label\n" + "".join(f"{path},{label}\n" for path, label in ROWS)
    assert pairs.examples == frame.examples == read_listing(manifest(Path(), text)).examples
    assert "4 pairs" in pairs.source


def test_labels_of_a_data_frame_may_be_numbers_and_nan_is_no_label(four, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(
        {"path": [Path(path) for path, _ in ROWS], "label": [0, 1, 0, 1], "split": [float("nan"), "test", None, ""]}
    )
    listing = read_listing(frame)
    assert listing.class_names == ("0", "1")
    assert [e.split for e in listing.examples] == [None, "test", None, None]
    without = read_listing(pd.DataFrame({"path": [p for p, _ in ROWS], "label": ["a", "b", None, float("nan")]}))
    assert [p.kind for p in without.problems] == ["no-label", "no-label"]


def test_rows_that_cannot_be_used_are_named(four, draw, tmp_path):
    draw("pics/blank.jpg")
    (tmp_path / "notes.txt").write_text("x")
    rows = ["pics/0.jpg,cat", "pics/1.jpg,dog", "", "pics/0.jpg,cat", "./pics/1.jpg,dog"]
    rows += ["gone.jpg,dog", "pics,cat", "pics/blank.jpg,", "notes.txt,cat"]
    text = "path,label\n" + "\n".join(rows)
    listing = read_listing(manifest(tmp_path, text))
    assert len(listing.examples) == 2
    assert [p.kind for p in listing.problems] == [
        "repeated-path",
        "repeated-path",
        "missing",
        "not-a-picture",
        "no-label",
        "not-a-picture",
    ]
    missing = listing.problems[2]
    assert missing.path == str(tmp_path / "gone.jpg")
    assert "line 7" in missing.message


def test_a_manifest_of_which_nothing_is_left_is_refused(tmp_path):
    assert "no picture that can be used. Left out: 2 × missing" in refusal(manifest(tmp_path, "path,label\na.jpg,x\nb.jpg,y\n"))


def test_a_label_that_occurs_once_is_a_class(four, tmp_path):
    text = "path,label\npics/0.jpg,cat\npics/1.jpg,cat\npics/2.jpg,rare\n"
    assert read_listing(manifest(tmp_path, text)).class_names == ("cat", "rare")


def test_exclude_works_on_manifests(four, tmp_path):
    text = "path,label\npics/0.jpg,cat\npics/1.jpg,dog\npics/2.jpg,bg\npics/3.jpg,dog\n"
    listing = read_listing(manifest(tmp_path, text), exclude=["bg", "*/3.jpg"])
    assert [Path(e.path).name for e in listing.examples] == ["0.jpg", "1.jpg"]
    assert listing.problems == ()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("path,class", "no 'label'; expected path,label. 'class' looks like it"),
        ("filename,label", "no 'path'; expected path,label. 'filename' looks like it"),
        ("path,lable", "'lable' looks like it"),
        ("path,label,splt", "unknown column 'splt'. Did you mean 'split'"),
        ("path,labels", "a column 'labels', which holds any number of labels a picture, and classes are looked at here"),
        ("path,label,labels", "a column 'label' and a column 'labels', expected one of them"),
        ("path,label,label", "2 columns 'label'"),
        ("a,b", "columns 'a', 'b' but no 'path'"),
    ],
)
def test_wrong_columns_are_refused_with_the_nearest(header, expected, four, tmp_path):
    cells = ",".join(["pics/0.jpg"] + ["x"] * header.count(","))
    assert expected in refusal(manifest(tmp_path, f"{header}\n{cells}\n"))


def test_a_column_that_nobody_reads_is_named(four, tmp_path):
    text = "path,label,width,subset\n" + "".join(f"{path},{label},8,train\n" for path, label in ROWS)
    listing = read_listing(manifest(tmp_path, text))
    assert [p.kind for p in listing.problems] == ["unknown-column", "unknown-column"]
    assert "'split'" in listing.problems[1].message


@pytest.mark.parametrize(
    "rows",
    [
        "pics/0.jpg,cat|dog\n",
        'pics/0.jpg,"cat;dog"\n',
        "pics/0.jpg,cat\npics/0.jpg,dog\n",
        "pics/0.jpg,cat\n./pics/0.jpg,dog\n",
    ],
)
def test_several_labels_for_one_picture_are_refused_by_name(rows, four, tmp_path):
    message = refusal(manifest(tmp_path, "path,label\npics/1.jpg,dog\n" + rows))
    assert "multi-label" in message
    assert "line 3" in message or "line 4" in message


def test_a_column_labels_is_read_where_several_will_do_and_an_empty_cell_is_unknown(four, tmp_path):
    listing = read_listing(manifest(tmp_path, "path,labels\npics/0.jpg,cat;dog\npics/1.jpg,\npics/2.jpg,-\n"), several=True)
    assert listing.columns == ("labels",)
    assert listing.class_names == ()
    assert [example.cells["labels"] for example in listing.examples] == ["cat;dog", "-"]
    (problem,) = listing.problems
    assert problem.kind == "no-target"
    assert problem.message.endswith(
        "has no labels; left out: fill it in, or write - for a picture that has none of the labels; an empty cell is taken for unknown"
    )


def test_a_row_that_says_some_of_what_is_to_be_learnt_is_kept_with_its_gap(four, tmp_path):
    source = manifest(tmp_path, "path,rust,dent\npics/0.jpg,1,\npics/1.jpg,,\npics/2.jpg,0,1\n")
    listing = read_listing(source, columns=("rust", "dent"))
    assert [dict(example.cells) for example in listing.examples] == [{"rust": "1", "dent": None}, {"rust": "0", "dent": "1"}]
    assert [problem.kind for problem in listing.problems] == ["no-target"]
    whole = without_gaps(listing)
    assert [example.cells["dent"] for example in whole.examples] == ["1"]
    assert "has no dent; left out: fill it in" in whole.problems[-1].message


def test_a_list_of_labels_is_refused_by_name(four, tmp_path):
    assert "multi-label" in refusal([(str(tmp_path / "pics/0.jpg"), ["cat", "dog"])])


def test_one_path_in_two_splits_is_refused(four, tmp_path):
    text = "path,label,split\npics/0.jpg,cat,train\npics/0.jpg,cat,test\n"
    assert "another split or group" in refusal(manifest(tmp_path, text))


@pytest.mark.parametrize(("split", "guess"), [("tset", "'test'"), ("trian", "'train'"), ("7", "expected train, val, test")])
def test_an_unknown_split_is_refused_with_the_nearest(split, guess, four, tmp_path):
    message = refusal(manifest(tmp_path, f"path,label,split\npics/0.jpg,cat,{split}\n"))
    assert repr(split) in message
    assert guess in message
    assert "line 2" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "a png file"),
        (b"abc\0\0\0", "a binary file"),
        ("path,label\nä,b\n".encode("latin-1"), "not UTF-8 (line 2)"),
        (b"just some words\nand more\n", "no 'path'"),
        (b"path,label\na.jpg,b,c\n", "line 2 has 3 cells"),
        (b'path,label\n"a.jpg,b\n', "not proper CSV"),
        (b"path,label\n,b\n", "line 2 has no path"),
        (b"path,label\n", "no picture that can be used"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(content, expected, tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    message = refusal(path)
    assert expected in message
    assert "list.csv" in message


@pytest.mark.parametrize("pairs", [["a.jpg"], [("a.jpg",)], [("a.jpg", "cat", "train")], [(1, "cat")], "no"])
def test_what_is_no_list_of_pairs_is_refused(pairs):
    assert refusal(pairs)


def test_a_path_with_a_nul_is_missing(four, tmp_path):
    rows = [(str(tmp_path / path), label) for path, label in ROWS] + [("a\0b.jpg", "cat")]
    (problem,) = read_listing(rows).problems
    assert problem.kind == "missing"


def test_split_words_are_the_same_for_folders_and_manifests():
    assert set(SPLIT_FOLDERS.values()) == {"train", "val", "test"}


# ---- pictures to predict ----


def test_pictures_to_predict_are_files_folders_and_patterns(draw, tmp_path):
    for name in ("b.jpg", "a.jpg", "new/2.png", "new/deep/1.png", "new/[odd].jpg", "glob/x1.jpg", "glob/x2.jpg", "glob/y.jpg"):
        draw(name)
    at = lambda *names: [str(tmp_path / name) for name in names]  # noqa: E731
    found, problems = find_pictures([tmp_path / "b.jpg", tmp_path / "new", str(tmp_path / "glob/x*.jpg"), tmp_path / "b.jpg"])
    assert found == at("b.jpg", "new/2.png", "new/[odd].jpg", "new/deep/1.png", "glob/x1.jpg", "glob/x2.jpg")
    assert problems == []
    assert find_pictures([tmp_path / "new/[odd].jpg"])[0] == at("new/[odd].jpg")
    assert find_pictures([str(tmp_path / "**/*.png")])[0] == at("new/2.png", "new/deep/1.png")


def test_what_cannot_be_predicted_is_named(draw, tmp_path):
    draw("new/1.jpg")
    (tmp_path / "new" / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    found, problems = find_pictures([tmp_path / "gone.jpg", str(tmp_path / "*.tif"), tmp_path / "empty", tmp_path / "new"])
    assert len(found) == 1
    assert [p.kind for p in problems] == ["missing", "missing", "empty-folder", "not-a-picture"]
