"""What the bytes of a picture say of it before a pixel is decoded, and the same bytes without what could only do harm.

Pure functions of bytes: no file, no clock. Each format has its module; here one is chosen.

What is not found: bytes written over the middle of a format without checksums (uncompressed rows, lossy WebP, JPEG 2000, AVIF, LZW,
CCITT) other than zeros, as long as its decoder can make pixels of them.
"""

from collections.abc import Callable

from warmstart.data.boxes_structure import examine_avif, examine_jpeg_2000
from warmstart.data.jpeg_structure import essential_jpeg, examine_jpeg
from warmstart.data.png_structure import essential_png, examine_png
from warmstart.data.rows_structure import examine_bmp, examine_pnm
from warmstart.data.stream_structure import examine_gif, examine_webp
from warmstart.data.structure import Structure
from warmstart.data.tiff_structure import essential_tiff, examine_tiff

_ON_THE_SURFACE: dict[str, Callable[[bytes], Structure]] = {
    "gif": examine_gif,
    "webp": examine_webp,
    "bmp": examine_bmp,
    "pnm": examine_pnm,
    "jpeg-2000": examine_jpeg_2000,
    "avif": examine_avif,
}
_ESSENTIAL: dict[str, Callable[[bytes], bytes]] = {"jpeg": essential_jpeg, "png": essential_png, "tiff": essential_tiff}


def examine(data: bytes, format_name: str, *, deep: bool = True) -> Structure:
    """What ``data``, a file of the format that `formats.sniff` named, says of itself. Raises nothing, whatever the bytes are.

    ``deep=False`` leaves out what costs as much as a part of decoding: the Huffman codes of a JPEG, the inflated rows of a PNG. Bytes
    that cannot be decoded at all are not this function's matter: they may give any answer. Look at `structure.too_much` first.
    """
    if format_name == "jpeg":
        return examine_jpeg(data, deep=deep)
    if format_name == "png":
        return examine_png(data, deep=deep)
    if format_name == "tiff":
        return examine_tiff(data, deep=deep)
    surface = _ON_THE_SURFACE.get(format_name)
    return surface(data) if surface is not None else Structure()


def essential(data: bytes, format_name: str) -> bytes:
    """``data`` without notes that decide neither pixels nor orientation, for Pillow; the same object where nothing is to be left out.

    A text, profile, comment or tag may be broken, huge or a bomb: metadata never costs a picture, and never warns.
    """
    leave_out = _ESSENTIAL.get(format_name)
    return leave_out(data) if leave_out is not None else data
