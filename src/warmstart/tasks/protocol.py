"""What the engine of a run asks of a task. It knows no class, no box and no caption: it holds what a task gives it, and passes it on.

N examples.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from warmstart.records import Notice, Problem, Split

Indices = NDArray[np.int64]
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Settled(Generic[T_co]):
    """Targets that a run can be made of, and what had to go for that."""

    targets: T_co
    kept: Indices  # positions among those that were asked about, ascending
    problems: tuple[Problem, ...]


class Targets(Protocol):
    """What is to be learnt of each of N examples. Frozen."""

    def __len__(self) -> int:
        """N."""
        ...

    def take(self, at: Indices) -> Self:
        """Those at these positions, in this order."""
        ...

    def keys(self) -> Sequence[Hashable]:
        """N: what copies of one picture must agree on; where they do not, nobody can tell which is right, and all are left out."""
        ...

    def kinds(self) -> Sequence[int]:
        """N: what train must have an example of each of, and splits and halves are balanced by. All 0 where there are none."""
        ...

    def stamp(self, i: int) -> str:
        """What of an example's target goes into the fingerprint of the data."""
        ...

    def summary(self) -> dict[str, Any]:
        """JSON-ready: what a run record says of them."""
        ...

    def notices(self) -> tuple[Notice, ...]:
        """What is to be said of them though nothing is left out for it."""
        ...

    def require_still_there(self, left: Self, lost: Mapping[int, Problem], *, source: str) -> None:
        """Raises DataError where what is ``left`` of these lacks something that was only out of reach in this moment.

        ``lost``: position among these → why its picture cannot be used.
        """
        ...

    def settled(
        self,
        splits: Sequence[Split],
        *,
        source: str,
        known: Sequence[Problem],
        before: "tuple[Self, Sequence[Split]] | None" = None,
    ) -> "Settled[Self]":
        """What a run can be made of. Raises DataError, with what is ``known`` to be wrong, where nothing can be learnt.

        ``before``: these and their splits before pictures were found broken; None: none was decoded yet.
        """
        ...
