"""Numbers to be learnt: which each picture has, and what a set of them must have.

N pictures, O targets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.data.listing import without_gaps
from warmstart.errors import DataError
from warmstart.records import Example, Listing, Notice, Problem, Split, first_reasons
from warmstart.task_protocol import Indices, Settled

if TYPE_CHECKING:
    from torch import Tensor

    from warmstart.data.geometry import Geometry

LABEL = "label"  # the column that is read where none is named
FEWEST = 4  # train pictures: with fewer there is nothing to estimate a spread from
# Labels that are whole numbers are taken for classes unless there are more than so many kinds of them, each in few pictures.
MOST_KINDS, FEW_OF_A_KIND = 20, 5


def names_of(listing: Listing) -> tuple[str, ...]:
    """The targets of a listing."""
    return listing.columns or (LABEL,)


def numbers_of(example: Example, names: Sequence[str]) -> list[float]:
    """What an example says of each target; NaN for what is no finite number."""
    return [number(example.cells.get(name, example.class_name if name == LABEL else None)) for name in names]


def number(value: Any) -> float:
    """A cell as a number: '1,5' is none, for nobody can tell it from two. NaN for what is no finite number."""
    try:
        found = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def why_numbers(listing: Listing) -> str | None:
    """Why these are numbers to be estimated and no classes, in words; None where they are not."""
    names, listing = names_of(listing), without_gaps(listing)
    if not listing.is_table or not listing.examples:
        return None
    values = np.array([numbers_of(example, names) for example in listing.examples])
    if listing.columns:
        share = float(np.isfinite(values).all(axis=1).mean())
        return f"{_columns(names)} numbers" if share > 0.5 else None
    if not np.isfinite(values).all():
        return None
    kinds = len(np.unique(values))
    fractions = not np.equal(np.mod(values, 1), 0).all()
    if fractions or (kinds > MOST_KINDS and len(values) < FEW_OF_A_KIND * kinds):
        return f"{_columns(names)} {kinds:,} different numbers"
    return None


def with_numbers(listing: Listing) -> Listing:
    """Without examples that lack one, each a problem. Raises DataError where too few are left, or all have the same."""
    names = names_of(listing)
    if not listing.is_table:
        raise DataError(
            f"{listing.source!r} is a folder, whose pictures have no numbers: give a table, a CSV file with the columns path and "
            f"{names[0] if listing.columns else 'count, say, and --target count'}"
        )
    listing = without_gaps(listing)
    kept, problems = [], list(listing.problems)
    for example in listing.examples:
        wrong = [name for name, value in zip(names, numbers_of(example, names), strict=True) if math.isnan(value)]
        if not wrong:
            kept.append(example)
            continue
        found = ", ".join(f"{name} = {str(example.cells.get(name, example.class_name))!r:.40}" for name in wrong)
        problems.append(
            Problem(
                path=example.path,
                kind="no-number",
                message=f"{example.path!r}: {found}, expected a finite number; left out: correct it",
            )
        )
    if len(kept) < FEWEST or 2 * len(kept) < len(listing.examples):
        named = [problem for problem in problems if problem.kind == "no-number"]
        raise DataError(
            f"{listing.source!r}: {len(kept):,} of {len(listing.examples):,} pictures have a number in {', '.join(names)}, expected nearly "
            f"all, and at least {FEWEST}. {first_reasons(named)} For classes, leave --target out or give --task classify."
        )
    return replace(listing, examples=tuple(kept), class_names=(), problems=tuple(problems))


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberTargets:
    """Numbers of each picture."""

    names: tuple[str, ...]  # O
    values: NDArray[np.float64]  # (N, O); NaN where a model is held against pictures that lack one

    @classmethod
    def of(cls, listing: Listing) -> Self:
        """As listed."""
        names = names_of(listing)
        return cls(
            names=names, values=np.array([numbers_of(e, names) for e in listing.examples], np.float64).reshape(-1, len(names))
        )

    def __len__(self) -> int:
        return len(self.values)

    def take(self, at: Indices) -> Self:
        """Those at these positions, in this order."""
        return replace(self, values=self.values[at])

    def keys(self) -> list[tuple[float, ...]]:
        """The numbers."""
        return [tuple(row) for row in self.values.tolist()]

    def kinds(self) -> list[int]:
        """One: numbers have no kinds that train must know."""
        return [0] * len(self)

    def marks(self) -> tuple[()]:
        """None."""
        return ()

    def stamp(self, i: int) -> str:
        """Every digit."""
        return repr(dict(zip(self.names, self.values[i].tolist(), strict=True)))

    def summary(self) -> dict[str, Any]:
        """Least, middle and largest of each."""
        return {"targets": {name: _spread(column) for name, column in zip(self.names, self.values.T, strict=True)}}

    def identity(self) -> dict[str, Any]:
        """The names, in order."""
        return {"targets": list(self.names)}

    def collate(self, at: Indices, geometry: "Sequence[Geometry] | None" = None) -> "Tensor":
        """float32 (B, O)."""
        import torch

        return torch.from_numpy(self.values[at].astype(np.float32))

    def notices(self) -> tuple[Notice, ...]:
        """None."""
        return ()

    def require_still_there(self, left: Self, lost: Mapping[int, Problem], *, source: str) -> None:
        """Nothing of numbers is gone with a picture."""

    def settled(
        self,
        splits: Sequence[Split],
        *,
        source: str,
        known: Sequence[Problem],
        before: tuple[Self, Sequence[Split]] | None = None,
    ) -> Settled[Self]:
        """All of them. Raises DataError where train has too few, or the same everywhere."""
        train = self.values[[i for i, split in enumerate(splits) if split == "train"]]
        if len(train) < FEWEST:
            raise DataError(f"{source}: {len(train)} train pictures, expected at least {FEWEST}. {first_reasons(known)}")
        for name, column in zip(self.names, train.T, strict=True):
            if np.ptp(column) == 0:
                raise DataError(
                    f"{source}: every train picture has {name} = {column[0]:g}, so there is nothing to learn. Name another column"
                )
        return Settled(targets=self, kept=np.arange(len(self), dtype=np.int64), problems=tuple(dict.fromkeys(known)))


def _columns(names: Sequence[str]) -> str:
    return f"the column {names[0]} holds" if len(names) == 1 else f"the columns {', '.join(names)} hold"


def _spread(column: NDArray[np.float64]) -> dict[str, float]:
    return {
        "min": float(column.min()),
        "median": float(np.median(column)),
        "max": float(column.max()),
        "mean": float(column.mean()),
        "deviation": float(column.std()),
    }
