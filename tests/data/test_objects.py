"""Whatever is given where pictures are expected is understood, or refused by a sentence: never misread, never a foreign exception."""

import array
import io
import mmap
import os
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from warmstart.data.memory import each, in_memory, name_of, one_or_many, understood
from warmstart.errors import DataError, PictureError
from warmstart.records import ValueRange

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def png(pixels: np.ndarray = PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


class Raising:
    """An object all of whose ways in raise."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("_names", ()):
            raise RuntimeError(f"no {name} today")
        raise AttributeError(name)


class RaisingArray:
    """Says that it is an array and is none."""

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise KeyError("gone")


class RaisingPath(os.PathLike[str]):
    """A path that does not say which."""

    def __fspath__(self) -> str:
        raise ZeroDivisionError


class RaisingFile:
    """A file on a share that is gone."""

    def read(self) -> bytes:
        raise ConnectionResetError("gone")


class StrangeFile(RaisingFile):
    """As libraries for object stores have them, with errors of their own."""

    def read(self) -> bytes:
        raise LookupError("no such bucket")


def test_every_way_to_hold_a_file_gives_its_picture(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png())
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.write(path, "x.png")
    with path.open("rb") as file, zipfile.ZipFile(tmp_path / "x.zip") as packed, packed.open("x.png") as member:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        spooled = tempfile.SpooledTemporaryFile()  # noqa: SIM115
        spooled.write(png())
        spooled.seek(0)
        ways = [
            str(path),
            path,
            os.DirEntry,
            png(),
            bytearray(png()),
            memoryview(png()),
            io.BytesIO(png()),
            file,
            member,
            mapped,
            spooled,
        ]
        with os.scandir(tmp_path) as entries:
            ways[2] = next(entry for entry in entries if entry.name == "x.png")
        for way in ways:
            assert one_or_many(way)[1] is True
            assert np.array_equal(in_memory(way), PIXELS), way
        mapped.close()
        spooled.close()


@pytest.mark.parametrize(
    "given_array",
    [
        PIXELS, PIXELS[:, ::-1], PIXELS[::2], np.asfortranarray(PIXELS), torch.from_numpy(PIXELS), torch.from_numpy(PIXELS)[:, :, :],
        PIXELS[..., 0], PIXELS[..., :1], PIXELS[..., 0] > 100, np.dstack([PIXELS, PIXELS[..., :1]]), np.ma.masked_array(PIXELS),
        PIXELS[..., 0].astype(np.uint16) * 257, PIXELS[..., 0].astype(">u2") * 257,
        PIXELS[..., 0].astype(np.int16), PIXELS[..., 0].astype(np.int32) - 100,
    ],
    ids=lambda a: f"{type(a).__name__}-{a.dtype}-{'x'.join(map(str, a.shape))}",
)  # fmt: skip
def test_arrays_that_are_pictures(given_array: Any) -> None:
    assert one_or_many(given_array)[1] is True
    picture = in_memory(given_array)
    assert (picture.mode, picture.size) == ("RGB", (given_array.shape[1], given_array.shape[0]))
    assert len(np.unique(np.asarray(picture))) > 1
    if given_array.dtype == np.dtype(">u2"):
        assert np.array_equal(picture, in_memory(given_array.astype(np.uint16)))


@pytest.mark.parametrize("kind", ["f2", "f4", ">f4", "f8"])
def test_real_numbers_are_a_picture_where_a_model_has_a_range_for_them(kind: str) -> None:
    picture = in_memory((PIXELS[..., 0] / 255).astype(kind), values=ValueRange(real=(0.0, 1.0)))
    assert np.abs(np.asarray(picture)[..., 0].astype(int) - PIXELS[..., 0]).max() <= 1


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (PIXELS.transpose(2, 0, 1), "transpose(1, 2, 0)"),
        (torch.from_numpy(PIXELS).permute(2, 0, 1), "transpose(1, 2, 0)"),
        (torch.zeros(20, 30, 3, requires_grad=True), "gives no array"),
        (PIXELS.astype(np.float32) / 255, "* 255"),
        (PIXELS[..., 0].astype(np.float16), "* 255"),
        (PIXELS[..., :2], "expected uint8"),
        (PIXELS[..., 0].astype(np.int64), "uint8 first"),
        (PIXELS[..., 0].astype(complex), "uint8"),
        (np.zeros((5, 20, 30), np.uint8), "list(array)"),
        (np.zeros((0, 30, 3), np.uint8), "holds no pixel"),
        (np.array([["a", "b"]]), "uint8"),
        (io.StringIO("text"), "mode 'rb'"),
        (io.BytesIO(), "0 bytes"),
        (b"", "0 bytes"),
        (memoryview(PIXELS[..., 0].copy()), "no picture in any format"),
        (7, "int is no picture"),
        (None, "NoneType is no picture"),
        ({"a": 1}, "dict is no picture"),
        ([[1, 2], [3, 4]], "list is no picture"),
        (pd.DataFrame({"path": ["a.jpg"]}), "column of paths"),
        (RaisingArray(), "gone"),
        (RaisingPath(), "ZeroDivisionError"),
        (RaisingFile(), "gone"),
        (StrangeFile(), "no such bucket"),
        (Raising("read"), "is no picture"),
        (Raising("read", "__array__", "__array_interface__", "columns"), "is no picture"),
        ("no\0name.jpg", "cannot be the name"),
    ],
    ids=lambda v: None if isinstance(v, str) else type(v).__name__,
)
def test_what_is_no_picture_is_refused_by_a_sentence(thing: Any, said: str) -> None:
    with pytest.raises(PictureError) as caught:
        in_memory(thing)
    assert said in str(caught.value)


def test_an_opened_picture_whose_file_is_cut_closed_or_gone_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(png()[:400])
    closed = Image.open(io.BytesIO(png()))
    closed.fp.close()
    with Image.open(tmp_path / "cut.png") as cut:
        for picture in (cut, closed):
            with pytest.raises(PictureError):
                in_memory(picture)
    open_file = io.BytesIO(png())
    open_file.close()
    with pytest.raises(PictureError, match="open it again"):
        in_memory(open_file)


@pytest.mark.parametrize(
    ("sources", "count"),
    [
        ([], 0), ((), 0), (["a.jpg", Path("b.jpg")], 2), (iter(["a.jpg"]), 1), ((name for name in "ab"), 2),
        (pd.Series(["a.jpg", "b.jpg"]), 2), (np.array(["a.jpg", "b.jpg"]), 2), (np.array(["a.jpg", None], object), 2),
        (np.zeros((4, 5, 5, 3), np.uint8), 4), (torch.zeros(4, 5, 5, 3), 4),
        ([PIXELS, "a.jpg", None], 3), (dict.fromkeys("ab").keys(), 2), (range(3), 3), (pd.Index(["a.jpg"]), 1), ([b"", io.BytesIO()], 2),
    ],
)  # fmt: skip
def test_many_are_many(sources: Any, count: int) -> None:
    found, one = one_or_many(sources)
    assert (len(found), one) == (count, False)


@pytest.mark.parametrize("source", ["a.jpg", "", Path("a"), b"x", bytearray(), memoryview(b""), io.BytesIO(), PIXELS, PIXELS[..., 0],
                                    torch.zeros(3, 5, 5), Image.new("L", (2, 2)), np.str_("a.jpg")])  # fmt: skip
def test_one_is_one_and_never_walked_through(source: Any) -> None:
    assert [len(one_or_many(source)[0]), one_or_many(source)[1], len(list(each(source)))] == [1, True, 1]


@pytest.mark.parametrize("thing", [None, 5, 1.5, {"a.jpg": 1}, {"a.jpg"}, frozenset(), object(), np.float32(1), np.zeros(5),
                                   np.zeros(3, np.uint8), torch.zeros(4), torch.zeros(()), np.array(5),
                                   pd.DataFrame({"path": ["a.jpg"]}), pd.Series([1, 2, 3]),
                                   Raising("ndim")])  # fmt: skip
def test_what_names_no_pictures_is_refused_by_a_sentence(thing: Any) -> None:
    for ask in (one_or_many, each):
        with pytest.raises(DataError):
            ask(thing)


def test_a_sequence_or_an_iterator_is_not_read_ahead() -> None:
    endless = iter(lambda: "a.jpg", None)
    assert each(endless) is endless
    assert each(names := ["a.jpg"]) is names


def test_names_of_things_without_names() -> None:
    assert [name_of(thing, 3) for thing in ("a/b.jpg", Path("a/b.jpg"), PIXELS, None, RaisingPath())] == ["a/b.jpg"] * 2 + [
        "picture 3"
    ] * 3


KINDS = st.sampled_from(
    ["u1", "u2", ">u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", ">f4", "f8", "c8", "?", "O", "U3", "M8[s]"]
)


@given(st.lists(st.integers(0, 6), max_size=5), KINDS)
def test_an_array_of_any_shape_and_type_is_a_picture_or_refused(shape: list[int], kind: str) -> None:
    value = np.zeros(shape, kind)
    try:
        found, _ = one_or_many(value)
    except DataError:
        return
    for one in found:
        try:
            picture = in_memory(one)
        except PictureError:
            continue
        else:
            assert picture.mode == "RGB"
            assert (picture.height, picture.width) == np.shape(one)[:2]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=20)
    | st.just(array.array("B", [1, 2])),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)


@given(ANYTHING)
def test_anything_at_all_is_a_picture_or_refused(thing: Any) -> None:
    try:
        found, _ = one_or_many(thing)
    except DataError:
        found = []
    for one in [thing, *found]:
        with suppress(PictureError):
            understood(one)
