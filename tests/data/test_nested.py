"""Folders in folders: what is read as ever, what is said of it, and what --nested makes of it. No picture is opened."""

from pathlib import Path

import pytest

from warmstart.data.listing import read_listing
from warmstart.data.nested import as_classes_are_named, path_of
from warmstart.errors import DataError
from warmstart.records import Listing


def folders(root: Path, *paths: str) -> Path:
    for path in paths:
        for name in ("1.jpg", "2.jpg"):
            (root / path).mkdir(parents=True, exist_ok=True)
            (root / path / name).touch()
    return root


def classes(listing: Listing) -> dict[str, str]:
    return {Path(e.path).relative_to(listing.source).as_posix(): e.class_name for e in listing.examples}


PETS = ("animal/dog/pug", "animal/dog/poodle", "animal/owl", "fern")


@pytest.mark.parametrize("ending", ["", "/"])
def test_every_folder_with_pictures_is_a_class_where_that_is_asked_for(tmp_path: Path, ending: str) -> None:
    root = folders(tmp_path / "pets", *PETS)
    nested = read_listing(str(root) + ending, nested=True)
    assert nested.class_names == ("animal>dog>poodle", "animal>dog>pug", "animal>owl", "fern")
    assert classes(nested)["animal/dog/pug/1.jpg"] == "animal>dog>pug"
    assert (nested.problems, nested.notices) == ((), ())
    flat = read_listing(str(root) + ending)
    assert flat.class_names == ("animal", "fern")
    assert [e.path for e in flat.examples] == [e.path for e in nested.examples]


def test_split_folders_stand_above_the_tree(tmp_path: Path) -> None:
    root = folders(tmp_path, *(f"{split}/{path}" for split in ("train", "test") for path in PETS))
    nested = read_listing(root, nested=True)
    assert nested.class_names == ("animal>dog>poodle", "animal>dog>pug", "animal>owl", "fern")
    assert {e.split for e in nested.examples} == {"train", "test"}


def test_a_picture_in_an_inner_folder_is_of_a_class_of_its_own(tmp_path: Path) -> None:
    nested = read_listing(folders(tmp_path, *PETS, "animal/dog"), nested=True)
    assert classes(nested)["animal/dog/2.jpg"] == "animal>dog"
    assert len(nested.class_names) == 5


def test_it_is_said_where_folders_look_like_classes_and_how_to_have_them(tmp_path: Path) -> None:
    (notice,) = read_listing(folders(tmp_path, *PETS)).notices
    assert "animal/dog/poodle, animal/dog/pug, animal/owl" in notice.message
    assert "2 classes" in notice.message
    assert "--nested makes 4 classes" in notice.message


@pytest.mark.parametrize(
    "paths",
    [
        ("cat", "dog"),
        ("cat/2021", "cat/2022", "dog"),  # days
        ("cat/patient_01", "cat/patient_02", "dog/patient_03"),
        ("cat/indoor", "cat/outdoor", "dog/indoor", "dog/outdoor"),  # called so in both
        ("cat/old", "cat/new", "cat", "dog"),  # pictures stand beside the folders too
        ("cat/flickr", "dog/google"),  # nothing is divided
    ],
)
def test_nothing_is_said_of_other_folders(tmp_path: Path, paths: tuple[str, ...]) -> None:
    listing = read_listing(folders(tmp_path, *paths))
    assert (listing.class_names, listing.notices) == (("cat", "dog"), ())


def test_folders_that_are_one_class_by_two_names_are_told(tmp_path: Path) -> None:
    nested = read_listing(folders(tmp_path, "animal/dog", "animal/dog ", "animal/owl"), nested=True)
    assert nested.class_names == ("animal>dog", "animal>owl")
    (problem,) = nested.problems
    assert (problem.kind, "'animal/dog' and 'animal/dog '" in problem.message) == ("merged-class", True)


def test_what_is_left_out_stays_left_out(tmp_path: Path) -> None:
    nested = read_listing(folders(tmp_path, *PETS), exclude=("animal/dog",), nested=True)
    assert nested.class_names == ("animal>owl", "fern")


def test_what_cannot_be_nested_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no class folder .* holds a folder with pictures"):
        read_listing(folders(tmp_path / "flat", "cat", "dog"), nested=True)
    with pytest.raises(DataError, match="'dog>cat' has it in its name: rename"):
        read_listing(folders(tmp_path / "odd", "animal/dog>cat", "animal/owl"), nested=True)
    with pytest.raises(DataError, match="in a table the label says"):
        read_listing([(str(tmp_path / "flat/cat/1.jpg"), "a"), (str(tmp_path / "flat/dog/1.jpg"), "b")], nested=True)
    with pytest.raises(DataError, match=r"did you mean .*/animal'\? Or --nested"):
        read_listing(folders(tmp_path / "one", "animal/dog", "animal/owl"))


def test_a_model_of_nested_classes_is_held_against_folders_in_folders(tmp_path: Path) -> None:
    listing = read_listing(folders(tmp_path, *PETS))
    assert as_classes_are_named(listing, ("animal>owl", "fern")).class_names == read_listing(tmp_path, nested=True).class_names
    assert as_classes_are_named(listing, ("animal", "fern")) is listing
    odd = read_listing(folders(tmp_path / "odd", "a>b/x", "a>c/y"))  # folders that have always been called so
    assert as_classes_are_named(odd, ("a>b", "a>c")) is odd


def test_a_name_with_an_empty_part_is_no_path() -> None:
    assert path_of(" animal > dog ") == ("animal", "dog")
    assert path_of(">50K") == path_of("a>") == path_of("") == ()
