"""However a picture comes in, its pixels are the same: format × mode × orientation × way in.

One difference stays: a JPEG that is larger than needed is decoded smaller than it is (`decoding.decode`), and of a PIL image that was
loaded already the full size is resized instead. It is measured here, and named in docs/pictures.md.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from photograph import photograph
from warmstart.data.decoding import decode
from warmstart.data.memory import in_memory
from warmstart.data.views import RESIZE_MODES
from warmstart.extraction.rendering import render
from warmstart.records import Preprocessing

SIZE = (37, 23)

MODES = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpeg": ("L", "RGB", "CMYK"),
    "tiff": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"),
    "webp": ("RGB", "RGBA"),
    "gif": ("1", "L", "P"),
    "bmp": ("1", "L", "P", "RGB"),
    "ppm": ("1", "L", "RGB"),
    "jpeg2000": ("L", "LA", "RGB", "RGBA"),
} | ({"avif": ("RGB", "RGBA")} if features.check("avif") else {})

WITH_ORIENTATION = ("png", "jpeg", "tiff", "webp")

CASES = [
    (file_format, mode, orientation)
    for file_format, modes in MODES.items()
    for mode in modes
    for orientation in (range(1, 9) if file_format in WITH_ORIENTATION else (1,))
]


def drawn(mode: str) -> Image.Image:
    """Different in each corner, with values all over the range of its mode."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    share = (x / width + 2 * y / height) / 3
    if mode in ("I;16", "I"):
        return Image.fromarray((share * 60_000).astype({"I;16": np.uint16, "I": np.int32}[mode]))
    if mode == "F":
        return Image.fromarray((share * 7 - 3).astype(np.float32))
    rgb = Image.fromarray((np.stack([share, x / width, y / height], axis=2) * 255).astype(np.uint8))
    if mode in ("LA", "RGBA"):
        out = rgb.convert(mode[:-1]).convert(mode)
        out.putalpha(Image.fromarray((np.hypot(x - 9, y - 9) * 9).clip(0, 255).astype(np.uint8)))
        return out
    return rgb.convert(mode, palette=Image.Palette.ADAPTIVE, colors=16) if mode == "P" else rgb.convert(mode)


def written(file_format: str, mode: str, orientation: int) -> bytes:
    file, options = io.BytesIO(), {}
    if orientation != 1:
        exif = Image.Exif()
        exif[274] = orientation
        options = {"exif": exif}
    if file_format in ("webp", "avif"):
        options |= {"lossless": True} if file_format == "webp" else {}
    drawn(mode).save(file, file_format, **options)
    return file.getvalue()


def opened(content: bytes, path: Path) -> Image.Image:
    return Image.open(io.BytesIO(content))


def loaded(content: bytes, path: Path) -> Image.Image:
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def copied(content: bytes, path: Path) -> Image.Image:
    """As when somebody looked at it: another object of Pillow's plain class, with its EXIF."""
    return loaded(content, path).copy()


WAYS: dict[str, Callable[[bytes, Path], Any]] = {
    "path": lambda content, path: path,
    "text": lambda content, path: str(path),
    "bytearray": lambda content, path: bytearray(content),
    "memoryview": lambda content, path: memoryview(content),
    "open file": lambda content, path: io.BytesIO(content),
    "opened": opened,
    "opened by path": lambda content, path: Image.open(path),
    "loaded": loaded,
    "copied": copied,
}


@pytest.mark.parametrize(("file_format", "mode", "orientation"), CASES)
def test_a_picture_has_the_same_pixels_whichever_way_it_comes_in(
    file_format: str, mode: str, orientation: int, tmp_path: Path
) -> None:
    content = written(file_format, mode, orientation)
    path = tmp_path / "x"
    path.write_bytes(content)
    expected = np.asarray(decode(content))
    assert expected.shape[:2] == (SIZE if orientation >= 5 else SIZE[::-1])
    assert np.ptp(expected) > 100
    for way, made in WAYS.items():
        given = made(content, path)
        assert np.array_equal(in_memory(given), expected), way
        if isinstance(given, Image.Image):
            again = in_memory(given)  # what was given stays as it is
            assert np.array_equal(again, expected), way
            given.close()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "I;16", "I"])
def test_an_array_is_the_file_with_its_values(mode: str) -> None:
    picture = drawn(mode)
    file = io.BytesIO()
    picture.save(file, "tiff")
    assert np.array_equal(in_memory(np.asarray(picture)), decode(file.getvalue()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_the_same_picture_upright(orientation: int) -> None:
    """Against an oracle: Pillow's own turning of the pixels."""
    from PIL import ImageOps

    content = written("png", "RGB", orientation)
    assert np.array_equal(decode(content), ImageOps.exif_transpose(loaded(content, Path())))


@pytest.mark.parametrize("resize", RESIZE_MODES)
def test_a_large_jpeg_that_was_loaded_already_differs_by_single_levels(resize: str) -> None:
    file = io.BytesIO()
    photograph(1, (1600, 1200)).save(file, "jpeg", quality=90)
    content, preprocessing = file.getvalue(), Preprocessing(size_px=128, resize=resize)
    smaller = render(content, preprocessing)
    assert np.array_equal(smaller, render(opened(content, Path()), preprocessing))
    difference = np.abs(smaller.astype(int) - render(loaded(content, Path()), preprocessing))
    assert 0 < difference.max() <= 12
    assert difference.mean() < 0.5
