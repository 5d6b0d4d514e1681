"""Data sets as torch has them: pictures are read when they are needed, and must be the same each time."""

import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import Dataset, Subset

import warmstart as ws
from drawn_shapes import CLASSES, draw_shape
from warmstart.data.listing import read_listing
from warmstart.data.memory import Later, understood
from warmstart.errors import DataError, PictureError

N = 24


class Drawn(Dataset[Any]):
    """Pictures drawn whenever they are asked for."""

    classes = CLASSES

    def __init__(self, change: Callable[[np.ndarray, int, int], np.ndarray] | None = None) -> None:
        self.reads: Counter[int] = Counter()
        self._read: list[weakref.ref[np.ndarray]] = []
        self.most_alive = 0
        self._change = change

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        self.reads[i] += 1
        pixels = np.asarray(draw_shape(CLASSES[i % 3], i)).copy()
        pixels = pixels if self._change is None else self._change(pixels, i, self.reads[i])
        self._read.append(weakref.ref(pixels))
        self.most_alive = max(self.most_alive, sum(one() is not None for one in self._read))
        return pixels, i % 3


def test_pictures_are_let_go_and_read_again_where_they_are_needed() -> None:
    data = Drawn()
    listing = read_listing(data)
    assert listing.class_names == tuple(sorted(CLASSES))
    assert data.most_alive <= 4
    assert max(data.reads.values()) == 2
    assert data.reads[N - 1] == 1
    by_name = {example.path: example for example in listing.examples}
    for i in (0, N - 1):
        example = by_name[f"picture {i}"]
        assert isinstance(example.content, Later)
        np.testing.assert_array_equal(np.asarray(understood(example.content)), np.asarray(draw_shape(CLASSES[i % 3], i)))
        assert example.class_name == CLASSES[i % 3]
    part = read_listing(Subset(data, [1, 5, 6]))
    assert [example.class_name for example in part.examples] == [CLASSES[1], CLASSES[2], CLASSES[0]]


def test_a_data_set_that_turns_its_pictures_at_random_is_refused() -> None:
    random = np.random.default_rng(0)
    with pytest.raises(DataError, match=r"Drawn gives another picture whenever its item \d is asked for"):
        read_listing(Drawn(lambda pixels, i, read: pixels[:, ::-1].copy() if random.random() < 0.5 else pixels))


def test_what_a_data_set_raises_is_said() -> None:
    def broken(pixels: np.ndarray, i: int, read: int) -> np.ndarray:
        raise KeyError("no such file in the archive")

    with pytest.raises(DataError, match=r"item 0 of Drawn cannot be read \(KeyError: 'no such file in the archive'\)"):
        read_listing(Drawn(broken))


def test_a_picture_that_is_another_later_is_never_used(warm_cache: Path, tmp_path: Path) -> None:
    def changed(pixels: np.ndarray, i: int, read: int) -> np.ndarray:
        if i == N - 2 and read > 1:
            raise OSError("the disk went away")
        return 255 - pixels if i == N - 1 and read > 1 else pixels

    data = Drawn(changed)
    contents = {example.path: example.content for example in read_listing(data).examples}
    for i, kind, said in ((N - 1, "changed", "another picture than when"), (N - 2, "unreadable", "the disk went away")):
        with pytest.raises(PictureError, match=said) as raised:
            understood(contents[f"picture {i}"])
        assert raised.value.kind == kind
        assert raised.value.transient


def test_a_second_run_reads_each_picture_once(warm_cache: Path, tmp_path: Path) -> None:
    quick: dict[str, Any] = {"image_size_px": 64, "cut": "pooled", "findings": False, "report": False, "quiet": True}
    first, second = ((data := Drawn(), ws.train(data, runs=tmp_path, **quick)) for _ in range(2))
    assert first[1].scores.test == second[1].scores.test
    assert second[1].record.cache.misses == 0
    assert {second[0].reads[i] for i in range(8, N)} == {1}  # the first ones are read once more, to see whether they change
