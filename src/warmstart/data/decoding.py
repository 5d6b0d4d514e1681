"""Bytes → an upright 8-bit RGB picture. One set of rules, in training and in serving.

The path of a picture: sniff its format → read its header → check its size → decode its pixels → 8-bit RGB → upright.

Rules, so that the numbers can be understood:

* The content decides the format; the extension is ignored.
* Transparent pixels lie on white, as a page or a viewer shows them.
* 16-bit grey and colour keep their upper byte (12-bit grey its upper 8 bits).
* 32-bit integer, signed 16-bit and floating-point grey has no agreed range: each picture's finite values are stretched
  from its minimum … maximum to 0 … 255.
* CMYK is converted without a colour profile, and other embedded profiles are ignored; four-colour JPEG is inverted, as Adobe
  writes it.
* Of several frames or pages the first counts.

Pillow's plugin classes are called directly instead of through `Image.open`: the formats are a closed list, and Pillow's own
size guard, whose limit is a process-wide variable and whose answer may be a warning, is replaced by `max_pixels`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

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

from warmstart.data.files import open_file
from warmstart.data.formats import SNIFF_BYTES, UNREADABLE, sniff
from warmstart.data.orientation import TURN, orientation_of
from warmstart.errors import PictureError

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


def decode(
    source: Path | str | bytes,
    *,
    shorter_side_px: int | None = None,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> Image.Image:
    """The picture, mode RGB, EXIF-upright, without metadata.

    ``shorter_side_px`` is what the caller needs at least: a JPEG is then decoded at 1/2, 1/4 or 1/8 of its size by dropping DCT
    coefficients, as long as its shorter side stays at twice that, so that the resize that follows still has something to
    average. None: full size. ``name`` stands in messages for a ``source`` that is bytes. Safe to call from many threads.

    Raises PictureError with kind 'missing', 'permission', 'empty', 'not-a-picture', 'truncated', 'too-large' or 'unsupported'.
    """
    with _opened(source, name) as (file, shown):
        format_name = _sniffed(file, shown)
        picture = _header(file, format_name, shown)
        _check_size(picture, max_pixels, shown)
        with _damage_becomes_picture_error(format_name, shown):
            if shorter_side_px is not None:
                target = 2 * shorter_side_px
                picture.draft(None, (target, target))  # only JPEG does anything
            picture.load()
            orientation = orientation_of(picture)  # after load: a PNG may keep its EXIF behind its pixels
            upright = to_rgb(picture)
    if orientation in TURN:
        upright = upright.transpose(TURN[orientation])
    upright.info = {}  # an orientation left here would be applied a second time by whoever looks
    return upright


def read_header(source: Path | str | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Header:
    """Size, format and mode of a picture; no pixel is decoded. ``name`` and what is raised: as for `decode`."""
    with _opened(source, name) as (file, shown):
        format_name = _sniffed(file, shown)
        picture = _header(file, format_name, shown)
        _check_size(picture, max_pixels, shown)
        orientation = orientation_of(picture)
        width, height = picture.size
        # Pillow's TIFF reader turns by itself and so reports the upright size already.
        if orientation >= 5 and not isinstance(picture, TiffImageFile):
            width, height = height, width
        return Header(
            width=width,
            height=height,
            format=format_name,
            mode=picture.mode,
            orientation=orientation,
            bytes=len(source) if isinstance(source, bytes) else os.fstat(file.fileno()).st_size,
        )


def to_rgb(picture: Image.Image) -> Image.Image:
    """Mode RGB from any mode, by the rules at the top of this file; the same object if it is RGB already."""
    if picture.mode == "F" or picture.mode.startswith("I"):
        return Image.fromarray(_to_8_bits(picture)).convert("RGB")
    if picture.has_transparency_data:
        # Premultiplied alpha ('La', 'RGBa') converts only to its own plain form.
        straight = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode]) if picture.mode.endswith("a") else picture
        colour = straight.convert("RGBA")
        page = Image.new("RGB", colour.size, "white")
        page.paste(colour, mask=colour.getchannel("A"))
        return page
    return picture if picture.mode == "RGB" else picture.convert("RGB")


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


@contextmanager
def _opened(source: Path | str | bytes, name: str | None) -> Iterator[tuple[BinaryIO, str]]:
    if isinstance(source, bytes):
        shown = repr(name) if name is not None else f"a picture of {len(source)} bytes"
        if not source:
            raise PictureError("empty", f"{shown} holds 0 bytes, expected a picture: copy it again from its source")
        yield BytesIO(source), shown
    else:
        with open_file(source) as file:
            yield file, repr(os.fspath(source))


def _sniffed(file: BinaryIO, shown: str) -> str:
    start = file.read(SNIFF_BYTES)
    file.seek(0)
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
    with _damage_becomes_picture_error(format_name, shown):
        picture = _READERS[format_name](file)
    # DNG, NEF and ARW are TIFF files whose first page is a thumbnail: bit 0 of NewSubfileType (TIFF 6.0, p. 36).
    if isinstance(picture, TiffImageFile) and int(picture.tag_v2.get(254, 0)) & 1:
        raise _unsupported(shown, "camera-raw", "its first page is only a preview", UNREADABLE["camera-raw"])
    return picture


def _check_size(picture: ImageFile.ImageFile, max_pixels: int, shown: str) -> None:
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


@contextmanager
def _damage_becomes_picture_error(format_name: str, shown: str) -> Iterator[None]:
    """What Pillow raises for a damaged file is not one class: OSError, SyntaxError, ValueError, struct.error, EOFError …"""
    try:
        yield
    except (PictureError, MemoryError):
        raise
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


def _to_8_bits(picture: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Grey of more than 8 bits → (H, W) uint8, by the rules at the top of this file."""
    values: np.ndarray[Any, Any] = np.asarray(picture)
    # PNG and PNM give 0 … 65535, in mode 'I;16' or, by age of Pillow, 'I'; a TIFF in mode 'I' is signed or has 32 bits.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and not isinstance(picture, TiffImageFile)):
        tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
        bits = 12 if tags.get(258) == (12,) else 16  # BitsPerSample
        if tags.get(262) == 0:  # PhotometricInterpretation WhiteIsZero, which Pillow minds only up to 8 bits
            values = (1 << bits) - 1 - values
        upper: np.ndarray[Any, np.dtype[np.uint8]] = (np.clip(values, 0, 65535) >> (bits - 8)).astype(np.uint8)
        if "transparency" in picture.info:
            upper[values == picture.info["transparency"]] = 255
        return upper
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, dtype=np.uint8)
    wide = np.where(finite, values, values[finite].min()).astype(np.float64)
    low, high = wide.min(), wide.max()
    if low == high:
        return np.zeros(values.shape, dtype=np.uint8)
    stretched: np.ndarray[Any, np.dtype[np.uint8]] = np.rint((wide - low) * (255.0 / (high - low))).astype(np.uint8)
    return stretched
