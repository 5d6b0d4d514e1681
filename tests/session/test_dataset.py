"""From a listing to a data set: what is left out is named, what is left is consistent."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drawn_shapes import CLASSES, draw_folder
from warmstart.data.listing import read_listing
from warmstart.errors import DataError
from warmstart.plan import Plan
from warmstart.records import Problem
from warmstart.session.dataset import Dataset, prepare, without
from warmstart.store.cache import Store
from workspaces import session_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", 16 * 2**20) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw_folder(tmp_path / "data", 4)


def prepared(folder: Path, store: Store, **plan: object) -> Dataset:
    return prepare(read_listing(str(folder)), Plan(**plan), session_of(store))  # type: ignore[arg-type]


def broken(dataset: Dataset, class_name: str, n: int | None = None) -> dict[int, Problem]:
    """The first n pictures of a class (all by default) as extraction reports what cannot be decoded."""
    positions = [i for i, label in enumerate(dataset.targets.labels) if dataset.targets.class_names[label] == class_name][:n]
    paths = [dataset.pictures[i].path for i in positions]
    return {i: Problem(path=path, kind="truncated", message=path) for i, path in zip(positions, paths, strict=True)}


def check(dataset: Dataset) -> None:
    assert len(dataset.pictures) == len(dataset.targets.labels) == len(dataset.splits)
    assert set(dataset.targets.labels.tolist()) == set(range(len(dataset.targets.class_names)))
    for picture, label in zip(dataset.pictures, dataset.targets.labels, strict=True):
        assert Path(picture.path).parent.name == dataset.targets.class_names[label]


def test_labels_pictures_and_splits_belong_together(folder: Path, store: Store) -> None:
    dataset = prepared(folder, store)
    check(dataset)
    assert dataset.targets.class_names == CLASSES
    parts = [dataset.positions(split) for split in ("train", "val", "test")]
    assert sorted(np.concatenate(parts).tolist()) == list(range(12))
    assert dataset.positions("train", "val").tolist() == sorted([*parts[0], *parts[1]])
    assert dataset.record().splits == {
        "train": len(parts[0]),
        "val": len(parts[1]),
        "test": len(parts[2]),
    }


def test_identical_pictures_under_two_classes_all_go_and_are_named(folder: Path, store: Store) -> None:
    same = (folder / "circle" / "1.jpg").read_bytes()
    (folder / "square" / "same.jpg").write_bytes(same)
    (folder / "square" / "twin.jpg").write_bytes(same)
    dataset = prepared(folder, store)
    check(dataset)
    (problem,) = dataset.problems
    assert problem.kind == "conflicting-labels"
    assert all(name in problem.message for name in ("1.jpg", "same.jpg", "twin.jpg", "all 3 copies"))
    assert len(dataset.pictures) == 11


def test_identical_pictures_of_one_class_stay_in_one_split(folder: Path, store: Store) -> None:
    for i in range(6):
        (folder / "circle" / f"copy{i}.jpg").write_bytes((folder / "circle" / "1.jpg").read_bytes())
    dataset = prepared(folder, store)
    copies = [i for i, p in enumerate(dataset.pictures) if p.path.endswith(("circle/1.jpg",)) or "copy" in p.path]
    assert len(copies) == 7
    assert len({dataset.splits[i] for i in copies}) == 1


def test_copies_and_groups_are_units_also_when_pictures_leave(tmp_path: Path, store: Store) -> None:
    folder = draw_folder(tmp_path / "data", 6)
    (folder / "circle" / "again.png").write_bytes((folder / "circle" / "0.png").read_bytes())
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.*"))
    rows = [f"{name},{name.parent},{'pair' if name.stem in ('4', '5') else ''}" for name in names]
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(["path,label,group", *rows]), "utf-8")
    dataset = prepare(read_listing(str(manifest)), Plan(), session_of(store))
    for left in (dataset, without(dataset, broken(dataset, "square", 1))[0]):
        check(left)
        assert len(left.units) == len(left.pictures)
        together: dict[int, set[str]] = {}
        for unit, picture in zip(left.units, left.pictures, strict=True):
            together.setdefault(int(unit), set()).add("/".join(Path(picture.path).parts[-2:]))
        several = sorted(sorted(unit) for unit in together.values() if len(unit) > 1)
        assert several[0] == ["circle/0.png", "circle/again.png"]
        assert len(several) == 2  # that, and all of the group, whatever their class


def test_a_class_that_stands_in_test_alone_is_said_to(tmp_path: Path, store: Store) -> None:
    draw_folder(tmp_path / "data" / "train", 6, classes=CLASSES[:2])
    draw_folder(tmp_path / "data" / "test", 3, first_seed=50)
    dataset = prepare(read_listing(str(tmp_path / "data")), Plan(), session_of(store))
    left, _ = without(dataset, {})
    (problem,) = [p for p in left.problems if p.kind == "class-without-train"]
    assert "stripes: no picture in train, only in val or test" in problem.message
    assert not [p for p in left.problems if p.kind == "empty-class"]


def test_a_class_whose_pictures_are_all_broken_leaves_by_name_and_labels_close_up(folder: Path, store: Store) -> None:
    dataset = prepared(folder, store)
    left, kept = without(dataset, broken(dataset, "circle"))
    check(left)
    assert left.targets.class_names == ("square", "stripes")
    assert [dataset.pictures[i] for i in kept] == list(left.pictures)
    assert [p.kind for p in left.problems].count("truncated") == 4
    (empty,) = [p for p in left.problems if p.kind in ("empty-class", "class-without-train") and "circle" in p.message]
    assert "left out" in empty.message


def test_a_class_without_a_readable_picture_in_train_leaves_from_every_split(folder: Path, store: Store) -> None:
    dataset = prepared(folder, store)
    in_train = {i: p for i, p in broken(dataset, "square").items() if dataset.splits[i] == "train"}
    left, kept = without(dataset, in_train)
    check(left)
    assert left.targets.class_names == ("circle", "stripes")
    assert [dataset.pictures[i] for i in kept] == list(left.pictures)
    (problem,) = [p for p in left.problems if p.kind == "class-without-train"]
    assert "square" in problem.message


def test_a_class_of_one_picture_is_trained_on_and_named(folder: Path, store: Store) -> None:
    for path in sorted((folder / "stripes").iterdir())[1:]:
        path.unlink()
    dataset = prepared(folder, store)
    (problem,) = dataset.problems
    assert (problem.kind, "'stripes'" in problem.message) == ("single-picture", True)
    (position,) = np.flatnonzero(dataset.targets.labels == dataset.targets.class_names.index("stripes"))
    assert dataset.splits[position] == "train"


def test_fewer_than_two_usable_classes_are_an_error_with_the_first_reasons(folder: Path, store: Store) -> None:
    dataset = prepared(folder, store)
    with pytest.raises(DataError, match=r"1 class with usable pictures; at least two.*0\.png"):
        without(dataset, broken(dataset, "circle") | broken(dataset, "square"))
    everything = {name: broken(dataset, name) for name in CLASSES}
    with pytest.raises(DataError, match="0 class"):
        without(dataset, everything["circle"] | everything["square"] | everything["stripes"])


def test_no_problem_is_told_twice(folder: Path, store: Store) -> None:
    for path in sorted((folder / "stripes").iterdir())[1:]:
        path.unlink()
    dataset = prepared(folder, store)
    left, _ = without(dataset, broken(dataset, "circle", 1))
    assert [p.kind for p in left.problems].count("single-picture") == 1


def test_the_fingerprint_follows_content_class_and_split_but_not_names(folder: Path, store: Store, tmp_path: Path) -> None:
    before = prepared(folder, store).fingerprint()
    for path in list(folder.rglob("*.png")):
        path.rename(path.with_name("renamed " + path.name))
    assert prepared(folder, store).fingerprint() == before
    assert prepared(folder, store, seed=1).fingerprint() != before
    (folder / "circle").rename(folder / "disc")
    assert prepared(folder, store).fingerprint() != before


def test_one_picture_in_two_given_splits_is_named_as_a_leak(tmp_path: Path, store: Store) -> None:
    data = tmp_path / "data"
    draw_folder(data / "train", 4)
    draw_folder(data / "test", 2, first_seed=10)
    (data / "test" / "circle" / "seen.jpg").write_bytes((data / "train" / "circle" / "1.jpg").read_bytes())
    (problem,) = prepared(data, store).problems
    assert problem.kind == "leak"
    assert "seen.jpg" in problem.message
    assert "(test)" in problem.message
