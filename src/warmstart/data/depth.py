"""Values of more than 8 bits → 8 bits. Which values become 0 and 255 is the question, and a file seldom answers it.

* **Whole numbers, unsigned** (16-bit PNG, TIFF, JPEG 2000; 32-bit TIFF): 0 … 2^b - 1 become 0 … 255. b is what the file packs its values
  into (TIFF BitsPerSample 12), else what the values of a data set use, and at least what its files declare (TIFF SMaxSampleValue, PNG
  sBIT; these do not bind, because a PNG may have its 12 bits spread over 16): 12 bits that a camera wrote into a 16-bit file would be
  nearly black otherwise. 16-bit colour likewise, all channels alike.
* **Signed and real numbers**: between the 0.1 and 99.9 percentile nearly all values lie; a set's range is made of those of its pictures
  (`range_of`), rounded outwards to an eighth to a quarter of itself, so that ten more pictures seldom change it.
* NaN, infinities and what stands for "no data" have no part in the range: the value that the file names (GDAL_NODATA), anything beyond
  1e30, and a single value far outside all others (-9999 below 0 … 300). They become black.
* WhiteIsZero turns the result round.

The range of a data set is learnt from its train pictures, saved with the model and the same in prediction. H, W are sides in pixels.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile

from warmstart.records import Depth, ValueRange

Values = np.ndarray[Any, Any]  # (H, W) or, for colour, (H, W, 3)
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

OWN = ValueRange()  # each picture's own range

_PERCENT = (0.1, 99.9)
_NO_DATA_BEYOND = 1e30
_FAR = 3.0  # times the range of all others: a value that lies farther outside stands for "no data"
_DARK_BITS = 5  # of 8 that a picture leaves unused when 0 … 7 of 255 are left of it
_FEWEST_LEVELS = 16  # of a picture in which such a value is looked for: a mask of 0 and 65535 has none

# TIFF 6.0: BitsPerSample, PhotometricInterpretation, SampleFormat, SMaxSampleValue; 42113 is GDAL's (GDAL, GTiff driver).
_BITS, _PHOTOMETRIC, _FORMAT, _SMAX, _NO_DATA = 258, 262, 339, 341, 42113


def is_deep(picture: Image.Image) -> bool:
    """Whether Pillow holds this picture's grey values in more than 8 bits."""
    return picture.mode == "F" or picture.mode.startswith("I")


def grey_values(picture: Image.Image) -> tuple[Values, Depth]:
    """The values (H, W) of a deep grey picture and what it says of them. Real ones are NaN where there is no data."""
    values: Values = np.asarray(picture)
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    # PNG and PNM give 0 … 65535, in mode 'I;16' or, by age of Pillow, 'I'. Everything else in mode 'I' is signed or has 32 bits.
    signed = picture.mode == "I" and not isinstance(picture, PngImageFile | PpmImageFile) and _first(tags.get(_FORMAT)) != 1
    if picture.mode == "I" and not signed:
        values = values.view(np.uint32)
    if picture.mode == "F" or signed:
        real = values.astype(np.float64)
        real[_no_data(real, _named_no_data(tags))] = np.nan
        return real, real_depth(real)
    return values, _whole_depth(values, picture)


def colour_depth(values: Values, picture: Image.Image) -> Depth:
    """What 16-bit colour (H, W, 3) says of its values."""
    return _whole_depth(values, picture)


def real_depth(values: Values) -> Depth:
    """Between which values nearly all of these lie; those that are not finite do not count."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Depth(bits=None)
    # An element each, and the inner one: one wild pixel of 400 has no part in it.
    low = float(np.percentile(finite, _PERCENT[0], method="higher"))
    high = float(np.percentile(finite, _PERCENT[1], method="lower"))
    if low >= high:  # nearly all are the same, what differs is small
        low, high = float(finite.min()), float(finite.max())
    return Depth(bits=None, low=low, high=high)


def bits_in_use(values: Values) -> int:
    """How many bits the values take, 1 … 32. A few far above all others (hot pixels, a mark such as 65535) are not counted."""
    largest = int(values.max(initial=0))
    if largest and _has_levels(values):
        nearly_all = int(np.percentile(values, _PERCENT[1], method="lower"))
        others = int(values[values != largest].max(initial=0))
        for bulk, fewer in ((nearly_all, 3), (others, 2)):
            if bulk and bulk.bit_length() <= largest.bit_length() - fewer:
                return bulk.bit_length()
    return max(1, largest.bit_length())


def range_of(depths: Iterable[Depth | None]) -> ValueRange:
    """The range of a data set from what its pictures say: bits for the largest; for real numbers all but the outer 5 % of pictures."""
    deep = [depth for depth in depths if depth is not None]
    bits = [depth.bits for depth in deep if depth.bits is not None and not depth.declared]
    real = [(depth.low, depth.high) for depth in deep if depth.bits is None and depth.low < depth.high]
    return ValueRange(bits=max(bits, default=None), real=_rounded(real) if real else None)


def rule_of(depth: Depth, values: ValueRange) -> str:
    """Which values become 0 … 255 in this picture, as a text: part of the identity of its rows."""
    if depth.bits is not None:
        return f"bits {_bits_for(depth, values)}"
    low, high = _real_for(depth, values)
    return f"real {low!r} {high!r}"


def leaves_nothing(depth: Depth, values: ValueRange) -> bool:
    """Whether this range makes (almost) one grey of a picture whose own values differ."""
    if depth.bits is not None:
        return _bits_for(depth, values) - depth.bits >= _DARK_BITS
    low, high = _real_for(depth, values)
    inside = min(depth.high, high) - max(depth.low, low)
    return depth.low < depth.high and inside < (high - low) * 2**-_DARK_BITS


def to_8_bits(values: Values, depth: Depth, range_: ValueRange) -> Bytes:
    """uint8 of the same shape: whole numbers by their bits, others stretched from low … high to 0 … 255."""
    if depth.bits is None:
        low, high = _real_for(depth, range_)
        if not low < high:
            return np.zeros(values.shape, np.uint8)
        finite = np.where(np.isfinite(values), values, low).astype(np.float64)
        stretched: Bytes = np.rint(np.clip((finite - low) * (255.0 / (high - low)), 0, 255)).astype(np.uint8)
        return stretched
    bits = _bits_for(depth, range_)
    limited = np.minimum(values, 2**bits - 1)
    if bits < 8:
        limited, bits = limited.astype(np.uint16) * 255 // (2**bits - 1), 8
    levels: Bytes = (limited >> (bits - 8)).astype(np.uint8)
    return levels


def white_is_zero(picture: Image.Image) -> bool:
    """Whether the largest value is black: TIFF's PhotometricInterpretation 0, which Pillow minds only up to 8 bits."""
    return isinstance(picture, TiffImageFile) and picture.tag_v2.get(_PHOTOMETRIC) == 0


def _bits_for(depth: Depth, values: ValueRange) -> int:
    assert depth.bits is not None
    return depth.bits if depth.declared or values.bits is None else values.bits


def _real_for(depth: Depth, values: ValueRange) -> tuple[float, float]:
    return (depth.low, depth.high) if values.real is None else values.real


def _whole_depth(values: Values, picture: Image.Image) -> Depth:
    packed = _first(picture.tag_v2.get(_BITS)) if isinstance(picture, TiffImageFile) else None
    if packed is not None and packed not in (16, 32):
        return Depth(bits=int(packed), declared=True)
    return Depth(bits=max(_declared_bits(picture), bits_in_use(values)))


def _declared_bits(picture: Image.Image) -> int:
    """Bits that the file says its values have; 0 where it says nothing, or nonsense."""
    if isinstance(picture, PngImageFile):
        # Pillow keeps no sBIT; `decoding` hands it over (PNG, third edition, §11.3.2.5).
        bits = picture.info.get("significant_bits")
        return bits if isinstance(bits, int) and 1 <= bits <= 16 else 0
    largest = _first(picture.tag_v2.get(_SMAX)) if isinstance(picture, TiffImageFile) else None
    if isinstance(largest, int | float) and 1 <= largest < 2**32:
        return int(largest).bit_length()
    return 0


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value


def _named_no_data(tags: Any) -> float | None:
    try:
        return float(str(tags.get(_NO_DATA)).strip("\0 "))
    except ValueError:
        return None


def _no_data(real: Values, named: float | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(H, W): where there is no data though a number stands there."""
    empty = np.abs(real) > _NO_DATA_BEYOND
    if named is not None and math.isfinite(named):
        empty |= np.isclose(real, named, rtol=1e-6, atol=0.0)
    left = real[np.isfinite(real) & ~empty]
    for end in (np.min, np.max):
        if not _has_levels(left):
            break
        mark = end(left)
        others = left[left != mark]
        if abs(float(mark) - float(end(others))) > _FAR * float(np.ptp(others)) > 0:
            empty |= real == mark
            left = others
    return empty


def _has_levels(values: Values) -> bool:
    """Whether these are many different values and not a mask of a few; by a sample, because sorting millions takes a second."""
    sample = values.ravel()[:: max(1, values.size // 4096)]
    return len(np.unique(sample)) >= _FEWEST_LEVELS


def _rounded(ranges: list[tuple[float, float]]) -> tuple[float, float]:
    """All but the outer 5 % of these, rounded outwards to a step of an eighth to a quarter of the range."""
    lows, highs = sorted(low for low, _ in ranges), sorted((high for _, high in ranges), reverse=True)
    outer = int(0.05 * (len(ranges) - 1) + 0.5)
    low, high = lows[outer], highs[outer]
    if not low < high:  # pictures that have nothing in common
        low, high = lows[0], highs[0]
    step = 2.0 ** (math.floor(math.log2(high - low)) - 2)
    return math.floor(low / step) * step, math.ceil(high / step) * step
