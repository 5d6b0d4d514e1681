"""What libjpeg says of a JPEG while it decodes, which Pillow keeps to itself.

Only reading the coded pixels tells a picture that was cut and closed, or overwritten in its middle, from a whole one. libjpeg does
so and warns; simplejpeg passes its warnings on and decodes to the same pixels as Pillow (both wrap libjpeg-turbo).
"""

import re
from typing import Any

import numpy as np
import simplejpeg

# libjpeg's warnings, in jerror.h JWRN_…; whatever else it says is a matter of formats that are not read here.
_DAMAGE = (
    (
        re.compile("premature end of data segment", re.IGNORECASE),
        "its coded pixels end early: it was cut off and closed, or overwritten",
    ),
    (re.compile("premature end", re.IGNORECASE), "it ends early"),
    (re.compile("extraneous bytes", re.IGNORECASE), "there are bytes between its coded pixels that don't belong there"),
    (re.compile("bad (Huffman|arithmetic) code", re.IGNORECASE), "bytes in its coded pixels are wrong"),
    (re.compile("instead of RST", re.IGNORECASE), "a piece of its coded pixels is missing"),
    (re.compile("Corrupt JPEG data|Inconsistent progression|too many scanlines", re.IGNORECASE), "its coded pixels are wrong"),
)
_END = b"\xff\xd9"
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_PADDING_BYTES = 16  # zeros before a marker, as some cameras write, are harmless up to here


def complaint(data: bytes, *, four_colours: bool = False, ended: bool = True) -> str | None:
    """What is wrong with the coded pixels, as the end of a sentence; None: nothing, or libjpeg cannot read this kind here.

    Decoded in grey at an eighth of the size, which costs little more than reading the codes. ``ended=False``: the end mark is not
    there; it is put there, and then a whole picture passes. Kinds that simplejpeg cannot read (arithmetic coding, 12 bits) must have it.
    """
    whole = data if ended else data + _END
    colours = "CMYK" if four_colours else "GRAY"
    said = _warning(whole, colours)
    if said is not None and (padding := _EXTRANEOUS.search(said)) is not None:
        trimmed = _without_padding(whole, int(padding[1]), bytes.fromhex("ff" + padding[2]))
        said = _warning(trimmed, colours) if trimmed is not whole else said
    if said is None:
        return None
    named = next((words for pattern, words in _DAMAGE if pattern.search(said)), None)
    return named if named is not None or ended else "its end is missing"


def _warning(data: bytes, colours: str) -> str | None:
    try:
        simplejpeg.decode_jpeg(data, colours, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        return str(error)
    return None


def _without_padding(data: bytes, count: int, marker: bytes) -> bytes:
    padded = bytes(count) + marker
    at = data.find(padded) if count <= _PADDING_BYTES else -1
    return data[:at] + data[at + count :] if at >= 0 else data


def decode_strictly(data: bytes, *, scale: int = 1) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """(H, W, 3) uint8, not turned, equal to the bit to what Pillow decodes with ``draft`` at 1/``scale`` (1, 2, 4 or 8).

    ``data`` is without notes that libjpeg may warn about (`examination.essential`).
    None if libjpeg has anything to say, or for CMYK: then `complaint` tells what it is, and Pillow decodes as far as it goes. A picture
    that lacks nothing but its end mark, which Pillow refuses, is whole.
    """
    for whole in (data, data + _END):
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(whole)
            if colours not in ("Gray", "YCbCr", "RGB"):
                return None
            # The least factor n/8 whose size is not below this is 1/scale itself.
            pixels: np.ndarray[Any, np.dtype[np.uint8]] = simplejpeg.decode_jpeg(
                whole, "RGB", min_height=-(-height // scale), min_width=-(-width // scale), strict=True
            )
        except ValueError as error:
            if "Premature end of JPEG file" not in str(error):
                return None
        else:
            return pixels
    return None
