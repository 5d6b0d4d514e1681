"""Whatever names a picture or many of them: paths, encoded bytes, open files, PIL images, arrays. By the same rules as files.

    understood → encoded bytes (decoded as a file's are), or pixels (`flatten`)

A PIL image that was opened and not loaded yet is its file's bytes. One that was loaded has lost what stands in no pixel: of a JPEG
that is decoded smaller than it is (`decoding.decode`) it has the full size, so the same picture as a path can differ in single levels
after the resize (docs/pictures.md); of 16-bit colour it has the upper bytes.

H, W, N are sides in pixels and a number of pictures.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from warmstart.data.decoding import MAX_PIXELS, Header, check_size, damage_becomes_picture_error, decode, read_header
from warmstart.data.depth import OWN
from warmstart.data.flattening import flatten
from warmstart.data.orientation import TURN, orientation_of
from warmstart.errors import DataError, PictureError
from warmstart.records import Facts, ValueRange


@dataclass(frozen=True, kw_only=True, eq=False)
class Later:
    """A picture that is read where it is needed, and let go after that."""

    read: Callable[[], Any]  # what `understood` takes; raises PictureError where it is another picture by now
    digest: bytes
    facts: Facts | None


EXPECTED = "expected a path, encoded bytes, an open file, a PIL image or an array (H, W) or (H, W, 3)"


def in_memory(
    picture: Any,
    *,
    shorter_side_px: int | None = None,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    values: ValueRange = OWN,
) -> Image.Image:
    """Mode RGB and upright, from anything that `understood` takes; the rest as for `decoding.decode`. Raises PictureError."""
    given = understood(picture, values)
    if isinstance(given, (bytes, Path)):
        return decode(given, shorter_side_px=shorter_side_px, max_pixels=max_pixels, name=name, values=values)
    shown = f"a picture in memory ({given.mode}, {given.width} × {given.height})"
    with damage_becomes_picture_error("picture in memory", shown):
        check_size(given, max_pixels, shown)
        given.load()
        orientation = orientation_of(given)
        flat = flatten(given, values).picture
        upright = flat.transpose(TURN[orientation]) if orientation in TURN else flat
    if upright is given:
        upright = upright.copy()  # what was given stays as it is
    upright.info = {}
    return upright


def header_of(picture: Any) -> Header:
    """As `decoding.read_header`, of anything that `understood` takes. Raises PictureError."""
    given = understood(picture)
    if isinstance(given, (bytes, Path)):
        return read_header(given)
    turned = orientation_of(given)
    width, height = given.size if turned < 5 else given.size[::-1]
    plain = given.mode in ("RGB", "L", "1") and "transparency" not in given.info
    return Header(
        width=width,
        height=height,
        format="memory",
        mode=given.mode,
        orientation=turned,
        bytes=0,
        pages=1,
        converts=not plain,
    )


def understood(picture: Any, values: ValueRange = OWN) -> bytes | Path | Image.Image:
    """Encoded bytes, a path, or a PIL image of pixels. Raises PictureError for what is no picture.

    Arrays: uint8 (H, W), (H, W, 1), (H, W, 3), (H, W, 4), bool (H, W), channels last; uint16, int16, int32 (H, W) by the rules of deep
    files, and real numbers where ``values`` has a range for them: alone, they do not say whether 1 is white.
    """
    try:
        return _understood(picture, values)
    except PictureError:
        raise
    except Exception as reason:  # an object's own methods and properties may raise anything
        raise PictureError("unsupported", f"{_kind(picture)} cannot be read ({_said(reason)}): {EXPECTED}") from reason


def one_or_many(sources: Any) -> tuple[list[Any], bool]:
    """The pictures named, and whether it was one by itself: a list, tuple, iterator, series or array (N, H, W, C) is many.

    Raises DataError for what names no pictures at all.
    """
    if _is_one(sources):
        return [sources], True
    sides = sources.ndim if _has(sources, "ndim") else None
    if _has(sources, "columns") and sides == 2:
        raise DataError(f"{type(sources).__name__} is a table: give its column of paths")
    if sides in (2, 3):
        return [sources], True
    if sources is None or isinstance(sources, Mapping | set | frozenset) or not isinstance(sources, Iterable):
        raise DataError(f"{type(sources).__name__} names no picture: {EXPECTED}, or a list of them")
    if sides == 0:
        raise DataError(f"an array without sides is no picture: {EXPECTED}, or a list of them")
    if sides == 1 and _holds_numbers(sources):
        raise DataError(
            f"{type(sources).__name__} {tuple(sources.shape)} of {sources.dtype} is a row of numbers and no picture: {EXPECTED}, or a "  # type: ignore[attr-defined]
            "list of them"
        )
    return list(sources), False


def _holds_numbers(array: Any) -> bool:
    kind = getattr(getattr(array, "dtype", None), "kind", "b")  # a tensor's types have no kind, and are all numbers
    return kind in "buifc"


def each(sources: Iterable[Any]) -> Iterable[Any]:
    """The pictures of `one_or_many`, without reading a sequence or an iterator ahead."""
    if isinstance(sources, Sequence | Iterator) and not _is_one(sources):
        return sources
    return one_or_many(sources)[0]


def name_of(source: Any, index: int) -> str:
    """The path, or 'picture 3' for one that came without a name."""
    if isinstance(source, str | os.PathLike):
        with suppress(Exception):  # what an object's own method says is told where it is read
            return os.fsdecode(source)
    return f"picture {index}"


def named(source: Any, index: int) -> tuple[str, Any]:
    """(path, None) of a file, (name, content) of a picture in memory."""
    if isinstance(source, str | os.PathLike):
        return str(understood(source)), None
    return name_of(source, index), source


def _is_one(sources: Any) -> bool:
    """Whether this is a picture, though it could be walked through."""
    return isinstance(sources, str | os.PathLike | bytes | bytearray | memoryview | Image.Image) or _has(sources, "read")


def _has(value: Any, name: str) -> bool:
    try:
        return hasattr(value, name)
    except Exception:  # a property that raises
        return False


def _kind(value: Any) -> str:
    return f"an object of type {type(value).__name__}"


def _said(reason: Exception) -> str:
    return str(reason) or type(reason).__name__


def _understood(picture: Any, values: ValueRange) -> bytes | Path | Image.Image:
    if isinstance(picture, Later):
        return _understood(picture.read(), values)
    if isinstance(picture, str | os.PathLike):
        return Path(picture)
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, Image.Image):
        return _encoded(picture) or picture
    if _has(picture, "read"):
        return _read(picture)
    if _has(picture, "columns"):
        raise PictureError("unsupported", f"{type(picture).__name__} is a table: give its column of paths")
    if _has(picture, "__array__") or _has(picture, "__array_interface__"):
        return _of_array(picture, values)
    raise PictureError("unsupported", f"{type(picture).__name__} is no picture: {EXPECTED}")


def _encoded(picture: Image.Image) -> bytes | None:
    """The bytes of an opened picture that was not loaded yet and stands at its first frame; None for any other."""
    if not isinstance(picture, ImageFile.ImageFile) or not getattr(picture, "tile", None) or picture.tell() != 0:
        return None
    file = getattr(picture, "fp", None)
    if file is None or not hasattr(file, "seek") or picture.decoderconfig:  # a draft was asked for
        return None
    try:
        at = file.tell()
        file.seek(0)
        content = file.read()
        file.seek(at)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, bytes) and content else None


def _read(file: Any) -> bytes:
    try:
        content = file.read()
    except (OSError, ValueError) as reason:  # ValueError: a closed file
        raise PictureError("unreadable", f"an open file could not be read ({reason}): open it again") from reason
    if not isinstance(content, bytes | bytearray | memoryview):
        raise PictureError("unsupported", "a file that was opened as text is no picture: open it with mode 'rb'")
    if not content:
        raise PictureError("empty", "an open file gave 0 bytes, expected a picture: is it at its end? file.seek(0)")
    return bytes(content)


def _of_array(picture: Any, values: ValueRange) -> Image.Image:
    try:
        array = np.asarray(picture)
    except Exception as reason:  # a tensor on a card, or one that wants a gradient: each library has its own word for it
        raise PictureError("unsupported", f"{type(picture).__name__} gives no array ({reason}): {EXPECTED}") from reason
    shown = f"an array of {array.dtype} {array.shape}"
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if not array.size:
        raise PictureError("unsupported", f"{shown} holds no pixel: {EXPECTED}")
    colour = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype == np.bool_ and array.ndim == 2:
        array = array.astype(np.uint8) * 255
    if array.dtype == np.uint8 and (array.ndim == 2 or colour):
        return Image.fromarray(np.ascontiguousarray(array))
    if array.ndim == 2 and (array.dtype in _WHOLE or (array.dtype.kind == "f" and values.real is not None)):
        return _deep(array)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and not colour:  # (C, H, W), as torch has it
        cure = "channels come last here: array.transpose(1, 2, 0)"
    elif array.dtype.kind == "f" and (colour or array.ndim == 2):
        cure = "levels run from 0 to 255 here: for values from 0 to 1, (array * 255).round().astype('uint8')"
    elif array.ndim == 3 and not colour and array.shape[2] > 4:
        cure = "if it is many grey pictures (N, H, W), give list(array)"
    elif array.ndim == 4:
        cure = "it is many pictures: give it alone, not in a list"
    else:
        cure = "convert it to uint8 first"
    raise PictureError("unsupported", f"{shown} is no picture: expected uint8 (H, W), (H, W, 3) or (H, W, 4); {cure}")


_WHOLE = tuple(
    np.dtype(name) for name in ("uint16", "int8", "int16", "int32")
)  # not int64: numpy's own, which says nothing of a range


def _deep(array: np.ndarray) -> Image.Image:
    """A grey picture of mode 'I;16' (unsigned), 'I' (signed) or 'F', as a file with these numbers gives one."""
    target = {"u": np.uint16, "i": np.int32, "f": np.float32}[array.dtype.kind]
    with np.errstate(over="ignore"):  # a float64 beyond float32 is no data there either
        return Image.fromarray(np.ascontiguousarray(array.astype(target)))
