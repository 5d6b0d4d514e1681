"""X and y, as scientists have them, as what `data.listing` reads."""

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np

from warmstart.data.memory import one_or_many
from warmstart.errors import DataError


class Table(dict[str, Any]):
    """Columns by name: the least of a data frame."""

    @property
    def columns(self) -> list[str]:
        """Their names."""
        return list(self)


def labelled(X: Any, y: Any) -> tuple[Any, tuple[str, ...]]:
    """N pictures and what is to be learnt of each, as a source of `data.listing`; and the names of the targets where there are several.

    y: (N,) labels or numbers, or (N, O) numbers, whose names are those of the columns of a data frame, or y0, y1 …. Raises DataError for
    what does not go together.
    """
    sources = pictures_of(X)
    targets = array_of(y)
    require_length("y", targets, sources)
    if targets.ndim == 1:
        return list(zip(sources, targets.tolist(), strict=True)), ()
    names = target_names(y, targets)
    return Table({"path": sources} | dict(zip(names, targets.T.tolist(), strict=True))), names


def pictures_of(X: Any) -> list[Any]:
    """One after the other. Raises DataError for a single one."""
    sources, is_one = one_or_many(X)
    if is_one:
        raise DataError("X is one picture; expected a sequence of paths, PIL images or uint8 arrays, one for each target")
    return sources


def array_of(y: Any) -> np.ndarray:
    """(N,) or (N, O). Raises DataError for what is sparse or nested unevenly."""
    if hasattr(y, "toarray"):
        raise DataError("y is sparse; expected an array or list: y.toarray()")
    try:
        found = np.asarray(y)
    except ValueError as reason:
        raise DataError(f"y is nested unevenly ({reason}); expected one entry for each picture") from reason
    if found.ndim not in (1, 2) or not found.size:
        raise DataError(f"y has the shape {found.shape}; expected one entry for each picture, (N,) or (N, targets)")
    return found


def target_names(y: Any, values: np.ndarray) -> tuple[str, ...]:
    """Of the columns of y (N,) or (N, O)."""
    named = [str(name) for name in getattr(y, "columns", ())] or [str(getattr(y, "name", None) or "y")]
    width = 1 if values.ndim == 1 else values.shape[1]
    return tuple(named) if len(named) == width else tuple(f"y{i}" for i in range(width))


def require_length(name: str, values: Sized, pictures: Sequence[Any]) -> None:
    """Raises DataError where there is not one for each picture."""
    if len(values) != len(pictures):
        raise DataError(f"X has {len(pictures):,} pictures and {name} {len(values):,} entries: expected one for each picture")
