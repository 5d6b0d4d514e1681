"""EXIF orientation: which way up the camera was held.

Read from the EXIF bytes by hand: Pillow's own reader parses every tag and warns when one is damaged, and a damaged note about
the lens is no reason to speak, let alone to lose a picture. Format: EXIF 2.32 §4.6 (a TIFF header, then 12-byte entries); tag
274.
"""

import struct

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

_TAG = 274
_SHORT = 3

# EXIF 2.32 §4.6.4 A: where the 0th row and 0th column of the stored picture belong.
TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(picture: Image.Image) -> int:
    """1 … 8; 1, upright, also when the picture does not say or says nonsense.

    Pillow's TIFF reader turns the picture while it decodes and then forgets the tag: a decoded TIFF is upright.
    """
    if isinstance(picture, TiffImageFile):
        value = picture.tag_v2.get(_TAG, 1)
        return value if value in TURN else 1
    exif = picture.info.get("exif")
    return _orientation_in(exif) if isinstance(exif, bytes) else 1


def _orientation_in(exif: bytes) -> int:
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, directory)
        for entry in range(entries):
            tag, kind, _count, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * entry)
            if tag == _TAG:
                return value if kind == _SHORT and value in TURN else 1
    except struct.error:  # the block ends early
        pass
    return 1
