"""What a saved model says of itself and predicting goes by, out of a document that anybody may have written: checked, or refused.

The same for a model folder and for an exported file. Every function raises ValueError, with a clause that names the key, what is
wrong with it and what was expected. K classes.
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


def read_class_names(values: Any) -> tuple[str, ...]:
    """At least one, each a text of its own."""
    names = tuple(required(values, "class_names", tuple[str, ...]))
    if not names:
        raise ValueError("'class_names', which is empty")
    seen = set()
    for name in names:
        if not name or name in seen:
            raise ValueError(f"'class_names', in which {name!r:.80} {'stands twice' if name else 'is a name'}")
        seen.add(name)
    return names


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


def read_threshold(positive: Any, threshold: Any, class_names: tuple[str, ...]) -> tuple[str | None, float | None]:
    """(positive, threshold): of two classes the one that counts as found, and its probability from which it is predicted."""
    required(positive, "positive", str | None)
    required(threshold, "threshold", float | None)
    if positive is not None and (positive not in class_names or len(class_names) != 2):
        raise ValueError(f"'positive' = {positive!r:.80}, expected one of two classes, found {', '.join(class_names[:5])}")
    if threshold is not None and (positive is None or not 0 < threshold < 1):
        raise ValueError(f"'threshold' = {threshold!r}, expected a share between 0 and 1, of a class named in 'positive'")
    return positive, threshold


def read_temperature(value: Any) -> float:
    """What logits are divided by."""
    temperature = float(required(value, "temperature", float))
    if not 1e-6 <= temperature <= 1e6:  # beyond, float32 cannot hold logits divided by it
        raise ValueError(f"'temperature' = {temperature!r}, expected a number above 0, such as 1.5")
    return temperature
