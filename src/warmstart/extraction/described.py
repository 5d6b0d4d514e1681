"""What a saved model says of itself and predicting goes by, out of a document that anybody may have written: checked, or refused.

The same for a model folder and for an exported file. Every function raises ValueError, with a clause that names the key, what is
wrong with it and what was expected.
"""

import math
from collections.abc import Mapping
from typing import Any

from warmstart.data.views import DIHEDRAL, RESIZE_MODES
from warmstart.records import Preprocessing, ValueRange, expected, fits

LARGEST_SIZE_PX = 2048  # as in a plan


def required(value: Any, name: str, hint: Any) -> Any:
    """The value, if it is of this type."""
    if not fits(value, hint):
        raise ValueError(f"{name!r} = {value!r:.80}, expected {expected(hint)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name!r} = {value!r}, expected a finite number")
    return value


def read_preprocessing(values: Any) -> Preprocessing:
    """How a picture becomes the network's input."""
    required(values, "preprocessing", Mapping)
    size_px = required(values["size_px"], "size_px", int)
    if not 1 <= size_px <= LARGEST_SIZE_PX:
        raise ValueError(f"'size_px' = {size_px}, expected 1 … {LARGEST_SIZE_PX}")
    if values["resize"] not in RESIZE_MODES:
        raise ValueError(f"'resize' = {values['resize']!r:.80}, expected one of {', '.join(RESIZE_MODES)}")
    views = tuple(required(values["views"], "views", tuple[str, ...]))
    if not views or len(set(views)) < len(views) or not set(views) <= DIHEDRAL.keys():
        raise ValueError(f"'views' = {list(views)!r:.80}, expected some of {', '.join(DIHEDRAL)}")
    keep_damaged = required(values.get("keep_damaged", False), "keep_damaged", bool)
    return Preprocessing(
        size_px=size_px,
        resize=values["resize"],
        views=views,
        values=_read_range(values.get("values")),
        keep_damaged=keep_damaged,
    )


def _read_range(values: Any) -> ValueRange:
    """Of pictures with more than 8 bits; a model of plain ones says nothing of it."""
    if values is None:
        return ValueRange()
    required(values, "values", Mapping)
    bits, real = required(values["bits"], "bits", int | None), values["real"]
    if bits is not None and not 1 <= bits <= 32:
        raise ValueError(f"'bits' = {bits}, expected 1 … 32")
    if real is not None:
        low, high = (
            required(real, "real", tuple[float, ...]) if isinstance(real, list | tuple) and len(real) == 2 else (0.0, 0.0)
        )
        real = (required(float(low), "real", float), required(float(high), "real", float))
        if not low < high:
            raise ValueError(f"'real' = {values['real']!r:.80}, expected two numbers, the smaller one first")
    return ValueRange(bits=bits, real=real)
