"""Arrays out of a file that anybody may have written, before they are used."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array


def checked_arrays(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, str], *, of: str = "head") -> list[Array]:
    """The arrays of these names, in this order. ``shapes``: a letter for each axis; equal letters are equal lengths.

    Raises ValueError for one that is missing, of another shape or type, or not finite. Only M, examples that were kept, may be 0. ``of``:
    what the file's names of them begin with.
    """
    lengths: dict[str, int] = {}
    for name, letters in shapes.items():
        if name not in arrays:
            raise ValueError(f"'{of}.{name}', which is missing")
        array = arrays[name]
        if array.dtype != np.float32:
            raise ValueError(f"'{of}.{name}', which is of type {array.dtype}, expected float32")
        here = dict(zip(letters, array.shape, strict=False))
        if array.ndim != len(letters) or any(lengths.setdefault(axis, length) != length for axis, length in here.items()):
            known = " × ".join(f"{axis} = {lengths[axis]}" if axis in lengths else axis for axis in letters)
            raise ValueError(f"'{of}.{name}' of shape {array.shape}, expected {known}")
        if 0 in [length for axis, length in here.items() if axis != "M"]:
            raise ValueError(f"'{of}.{name}' of shape {array.shape}, which is empty")
        if not np.isfinite(array).all():
            raise ValueError(f"'{of}.{name}', in which not every number is finite")
    return [arrays[name] for name in shapes]
