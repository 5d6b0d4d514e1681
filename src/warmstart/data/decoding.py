"""Bytes → an upright 8-bit RGB picture. One set of rules, in training and in serving, and one path: whatever names a picture becomes
bytes first (`data.memory` says what may).

The path of a picture: sniff its format → read its header → check its size → decode its pixels → 8-bit RGB → upright. All rules, so that the
numbers can be understood, are in docs/pictures.md; those of deep values in `data.depth`, of transparency and palettes in `data.flattening`.

* The content decides the format; the extension is ignored.
* Of several frames or pages the first counts.

Pillow's plugin classes are called directly instead of through `Image.open`: the formats are a closed list, and Pillow's own
size guard, whose limit is a process-wide variable and whose answer may be a warning, is replaced by `max_pixels`.
"""

import os
import re
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, features
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from warmstart.data.depth import OWN
from warmstart.data.examination import essential, examine
from warmstart.data.files import read_bytes
from warmstart.data.flattening import Flat, flatten
from warmstart.data.formats import SNIFF_BYTES, UNREADABLE, sniff
from warmstart.data.orientation import TURN, orientation_of
from warmstart.data.structure import Structure, decode_bytes, too_much
from warmstart.errors import PictureError
from warmstart.records import ValueRange

# Part of every recipe key. Raise the number when a change here or in `views.resize` changes any pixel.
DECODER_ID = "pillow-1"

MAX_PIXELS = 178_956_970  # 512 MiB as 24-bit RGB; twice what Pillow warns at, so that a 108-megapixel telephone picture passes


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a picture says of itself before any pixel is decoded."""

    width: int  # of the upright picture, in pixels
    height: int
    format: str  # a name of `formats.READABLE`
    mode: str  # Pillow's word for the stored pixels: 'L', 'RGB', 'CMYK', 'I;16' …
    orientation: int  # EXIF tag 274, 1 … 8; 1 is upright
    bytes: int
    pages: int  # pages, frames or whole pictures in the file, of which the first is used
    converts: bool  # whether it is anything else than 8-bit grey or colour, so that a conversion may lose something


def decode(
    source: Path | str | bytes,
    *,
    shorter_side_px: int | None = None,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    values: ValueRange = OWN,
) -> Image.Image:
    """The picture, mode RGB, EXIF-upright, without metadata.

    ``shorter_side_px`` is what the caller needs at least: a JPEG is then decoded at 1/2, 1/4 or 1/8 of its size by dropping DCT
    coefficients, as long as its shorter side stays at twice that, so that the resize that follows still has something to
    average. None: full size. ``name`` stands in messages for a ``source`` that is bytes. ``values``: which become black and white where
    there are more than 8 bits. Safe to call from many threads.

    Raises PictureError of any kind but 'damaged' and 'changed'.
    """
    return decoded(source, shorter_side_px=shorter_side_px, max_pixels=max_pixels, name=name, values=values).picture


def decoded(
    source: Path | str | bytes,
    *,
    shorter_side_px: int | None = None,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    values: ValueRange = OWN,
) -> Flat:
    """As `decode`, with what the picture has lost on its way to 8-bit RGB."""
    opened = _opened(source, name, max_pixels)
    picture = opened.picture
    with damage_becomes_picture_error(opened.format, opened.shown):
        if shorter_side_px is not None:
            target = 2 * shorter_side_px
            picture.draft(None, (target, target))  # only JPEG does anything
        picture.load()
        orientation = orientation_of(picture)  # after load: a PNG may keep its EXIF behind its pixels
        if opened.format == "png":
            picture.info["significant_bits"] = significant_bits(opened.content)
        flat = flatten(picture, values, lambda: _lower_bytes(opened.content, opened.format))
        upright = flat.picture
        if orientation in TURN:
            upright = upright.transpose(TURN[orientation])
    upright.info = {}  # an orientation left here would be applied a second time by whoever looks
    return replace(flat, picture=upright)


def decoded_size(size: tuple[int, int], format_name: str, *, shorter_side_px: int) -> tuple[int, int]:
    """(width, height) of what `decode` makes of an upright picture of ``size``: a JPEG is decoded smaller."""
    width, height = size
    target = 2 * shorter_side_px
    scale = next((s for s in (8, 4, 2) if min(width // target, height // target) >= s), 1) if format_name == "jpeg" else 1
    return -(-width // scale), -(-height // scale)


def read_header(source: Path | str | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Header:
    """Size, format and mode of a picture; no pixel is decoded. ``name`` and what is raised: as for `decode`."""
    opened = _opened(source, name, max_pixels)
    picture = opened.picture
    orientation = orientation_of(picture)
    width, height = picture.size
    # Pillow's TIFF reader turns by itself and so reports the upright size already.
    if orientation >= 5 and not isinstance(picture, TiffImageFile):
        width, height = height, width
    return Header(
        width=width,
        height=height,
        format=opened.format,
        mode=picture.mode,
        orientation=orientation,
        bytes=opened.bytes,
        pages=opened.pages,
        converts=picture.mode not in ("RGB", "L", "1") or "transparency" in picture.info or _raw_mode(picture)[-4:] in _LOWER,
    )


class _Jpeg(JpegImageFile):
    """Pillow's JPEG reader without its look for a print resolution in the EXIF block.

    That look parses the whole block and warns when it is damaged, as it is in many a collection from the web; warnings cannot
    be silenced for one thread alone.
    """

    def _read_dpi_from_exif(self) -> None:
        pass


_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": _Jpeg,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "gif": GifImageFile,
    "bmp": BmpImageFile,
    "tiff": TiffImageFile,
    "pnm": PpmImageFile,
    "jpeg-2000": Jpeg2KImageFile,
}
if features.check("avif"):  # Pillow 11.3 and later, and not in every build
    from PIL.AvifImagePlugin import AvifImageFile

    _READERS["avif"] = AvifImageFile


@dataclass(frozen=True, slots=True)
class _Opened:
    """A picture whose header was read and found bearable, before any pixel is decoded."""

    picture: ImageFile.ImageFile
    content: bytes  # without what decides neither pixels nor orientation
    format: str
    shown: str  # its name in messages
    bytes: int  # of the whole
    pages: int


def _opened(source: Path | str | bytes, name: str | None, max_pixels: int) -> _Opened:
    if isinstance(source, bytes):
        content, shown = source, repr(name) if name is not None else f"a picture of {len(source)} bytes"
        if not source:
            raise PictureError("empty", f"{shown} holds 0 bytes, expected a picture: copy it again from its source")
    else:
        content, shown = read_bytes(source), repr(os.fspath(source))
    format_name = _sniffed(content, shown)
    structure = examine(content, format_name, deep=False)
    if (reason := too_much(structure)) is not None:
        raise PictureError("too-large", f"{shown} was not decoded: {reason}. Scale it down, save it anew or cut it into tiles")
    kept = essential(content, format_name)
    picture = _header(BytesIO(kept), format_name, shown)
    check_size(picture, max_pixels, shown)
    return _Opened(picture, kept, format_name, shown, len(content), structure.pages)


def _sniffed(content: bytes, shown: str) -> str:
    start = content[:SNIFF_BYTES]
    format_name = sniff(start)
    if format_name in _READERS:
        return format_name
    if format_name is None:
        raise PictureError(
            "not-a-picture",
            f"{shown} is no picture in any format known here (it begins with {start[:12]!r}); "
            "expected JPEG, PNG, WebP, GIF, BMP or TIFF: open it in a viewer, then save it as one of them or leave it out",
        )
    cure = UNREADABLE.get(format_name, "install a Pillow that has it (pip install --upgrade pillow), or convert it to PNG")
    raise _unsupported(shown, format_name, "not one of the formats read here", cure)


def _header(file: BinaryIO, format_name: str, shown: str) -> ImageFile.ImageFile:
    with damage_becomes_picture_error(format_name, shown):
        picture = _READERS[format_name](file)
    # DNG, NEF and ARW are TIFF files whose first page is a thumbnail: bit 0 of NewSubfileType (TIFF 6.0, p. 36).
    if isinstance(picture, TiffImageFile) and int(picture.tag_v2.get(254, 0)) & 1:
        raise _unsupported(shown, "camera-raw", "its first page is only a preview", UNREADABLE["camera-raw"])
    return picture


def check_size(picture: Image.Image, max_pixels: int, shown: str) -> None:
    """Refuse by name what has too many pixels. Raises PictureError 'too-large'."""
    # Pillow's TIFF and GIF readers look at Pillow's own limit while they decode, so for them the lower one of both holds.
    if isinstance(picture, TiffImageFile | GifImageFile) and Image.MAX_IMAGE_PIXELS is not None:
        max_pixels = min(max_pixels, Image.MAX_IMAGE_PIXELS)
    width, height = picture.size
    if width * height > max_pixels:
        raise PictureError(
            "too-large",
            f"{shown} is {width} × {height} pixels, expected at most {max_pixels:,} pixels in all, "
            "and was not decoded: scale it down or cut it into tiles",
        )
    # The header as Pillow reads it, which a hostile file may give otherwise than `examine` does.
    bits = 32 if picture.mode in ("I", "F") else 16 if picture.mode.startswith("I;16") else 8
    needed = decode_bytes(width=width, height=height, channels=len(picture.getbands()), depth_bits=bits)
    if (reason := too_much(Structure(width=width, height=height, decode_bytes=needed))) is not None:
        raise PictureError("too-large", f"{shown} was not decoded: {reason}. Scale it down or cut it into tiles")


@contextmanager
def damage_becomes_picture_error(format_name: str, shown: str) -> Iterator[None]:
    """What Pillow raises for a damaged file is not one class: OSError, SyntaxError, ValueError, struct.error, EOFError …"""
    try:
        yield
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError(
            "memory", f"{shown} could not be decoded: memory does not suffice. Close other programs, or scale it down"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(
            "too-large", f"{shown} is too large to decode: {error} Scale it down or cut it into tiles"
        ) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        if re.search("unknown|unsupported|not supported|not available", reason, re.IGNORECASE):
            raise _unsupported(shown, format_name, reason, "save it again as 8-bit or 16-bit PNG or TIFF") from error
        raise PictureError(
            "truncated",
            f"{shown} begins as {format_name} but ends early or is damaged ({reason}): "
            "copy it again from its source, or leave it out",
        ) from error


def _unsupported(shown: str, format_name: str, reason: str, cure: str) -> PictureError:
    return PictureError("unsupported", f"{shown} is a {format_name} file that cannot be read here ({reason}): {cure}")


def significant_bits(content: bytes) -> int | None:
    """The largest number of a PNG's sBIT chunk (PNG, third edition, §11.3.2.5), which stands before its pixels; None without one."""
    at = 8
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind == b"sBIT":
            return max(content[at + 8 : at + 8 + min(length, 3)], default=None)
        if kind == b"IDAT":
            return None
        at += 12 + length
    return None


# Pillow keeps the upper bytes of 16-bit colour. Read as if the other byte came first, the same pixels give the lower ones; grey and alpha
# of 16 bits take four bytes, as RGBA does.
_LOWER = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}


def _lower_bytes(content: bytes, format_name: str) -> np.ndarray | None:
    """uint8 (H, W, 3): the lower bytes of 16-bit colour; None where the picture has 8 bits, or keeps its bytes where we can't tell."""
    if format_name not in ("png", "tiff"):
        return None
    picture = _READERS[format_name](BytesIO(content))
    tiles = []
    raw = _raw_mode(picture)
    if raw[-4:] not in _LOWER:
        return None
    other = "RGBA" if raw == "LA;16B" else raw[:-4] + _LOWER[raw[-4:]]
    for tile in picture.tile:
        tiles.append(tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other))
    picture.tile = tiles
    try:
        lower = np.asarray(picture)
    except ValueError:  # a raw mode without a twin: planes of their own
        return None
    return np.repeat(lower[..., 1:2], 3, axis=2) if other == "RGBA" else lower[..., :3]


def _raw_mode(picture: ImageFile.ImageFile) -> str:
    """How Pillow is to read the bytes of an opened picture, such as 'RGB;16B'; '' where it has no word for it."""
    arguments = picture.tile[0].args if picture.tile else None
    raw = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw if isinstance(raw, str) else ""
