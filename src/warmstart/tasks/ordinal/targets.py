"""Values in an order: which one each picture has, which order they stand in, and what a set of them must have.

Here values have their places in the list of names, sorted by size where all are numbers and else by name; their ranks are a matter of the
order that the user gives (`ranking`).

N pictures, K values.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.data.class_names import alike_names, class_name_of
from warmstart.data.listing import without_gaps
from warmstart.data.manifest import LABELS
from warmstart.errors import DataError, UnknownNameError, UsageError
from warmstart.records import OF_THIS_MOMENT, Example, Listing, Notice, Problem, Split, first_reasons
from warmstart.task_protocol import Indices, Settled

if TYPE_CHECKING:
    from torch import Tensor

    from warmstart.data.geometry import Geometry

MOST = 50  # values: more are numbers to be estimated
UNKNOWN = -1  # the place of a value that a model does not know


def number_of(name: str) -> float | None:
    """A value as a finite number; None for any other text."""
    try:
        found = float(name)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def value_of(example: Example, columns: Sequence[str]) -> str:
    """What an example says; '' for nothing."""
    cell = example.cells.get(columns[0]) if columns else example.class_name
    return "" if cell is None else class_name_of(str(cell))


def place_of(names: Sequence[str]) -> dict[str | float, int]:
    """Name → its place; of numbers, whatever way they are written."""
    found: dict[str | float, int] = {name: i for i, name in enumerate(names)}
    return found | {size: i for i, name in enumerate(names) if (size := number_of(name)) is not None}


def placed(value: str, places: Mapping[str | float, int]) -> int:
    """The place of a value, `UNKNOWN` where it has none."""
    size = number_of(value)
    return places.get(value, UNKNOWN if size is None else places.get(size, UNKNOWN))


def with_values(listing: Listing) -> Listing:
    """The examples with a value, with the names of all as class names: '1' and '1.0' are one. Raises DataError, UsageError."""
    columns = listing.columns
    if len(columns) > 1:
        raise UsageError(
            f"--target {','.join(columns)} names {len(columns)} columns; expected the one that holds the values in order"
        )
    if columns == (LABELS,):
        raise DataError(
            f"{listing.source!r} has a column 'labels', any number of them a picture; an order is of one value each: call the column "
            "label, or name it with --target"
        )
    listing = without_gaps(listing)
    found = [value_of(example, columns) for example in listing.examples]
    names = _names(set(found) - {""})
    if len(names) < 2:
        what = f"only the value {names[0]!r}" if names else "no value"
        raise DataError(f"{listing.source!r} has {what} ({len(found):,} pictures), expected at least 2 that stand in an order")
    if len(names) > MOST:
        raise DataError(
            f"{listing.source!r} has {len(names):,} different values ({_listed(names, 5)}), expected at most {MOST} that stand in an "
            "order. Numbers are estimated with --task regress"
        )
    places = place_of(names)
    examples = [
        replace(e, class_name=names[placed(value, places)]) for e, value in zip(listing.examples, found, strict=True) if value
    ]
    return replace(listing, examples=tuple(examples), class_names=names)


def ranking(
    names: Sequence[str], order: Sequence[str], *, left_out: Sequence[str] = (), source: str = "the data"
) -> tuple[str, ...]:
    """The names from lowest to highest, as the user has ordered them; without an order by size, where all are numbers.

    ``left_out``: values of the data that cannot be learnt, which an order may name. Raises UsageError, UnknownNameError.
    """
    if not order:
        if all(number_of(name) is not None for name in names):
            return tuple(sorted(names, key=lambda name: number_of(name) or 0.0))
        raise UsageError(
            f"{source} has the values {_listed(names, 20)}, and their names do not say which is lower: give all of them from lowest to "
            f"highest, such as --order {','.join(names)}"
        )
    known = (*names, *left_out)
    places = place_of(known)
    ranks: list[str] = []
    for name in order:
        place = placed(class_name_of(name), places)
        if place == UNKNOWN:
            raise UnknownNameError("value in --order", name, known)
        if known[place] in ranks:
            raise UsageError(f"--order {','.join(order)} names {known[place]!r} more than once: name each value once")
        ranks.append(known[place])
    missing = [name for name in names if name not in ranks]
    if missing:
        raise UsageError(
            f"--order {','.join(order)} lacks {', '.join(map(repr, missing))}, which {source} has: name all values from lowest to highest, "
            "or leave their pictures out with --exclude"
        )
    return tuple(name for name in ranks if name in names)


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderTargets:
    """A value for each picture."""

    names: tuple[str, ...]  # K, sorted; not by rank
    labels: NDArray[np.int64]  # (N,), places in names; `UNKNOWN` where a model is held against a value that it does not know
    left_out: tuple[str, ...] = ()  # values of the data that no train picture has

    @classmethod
    def of(cls, examples: Sequence[Example], names: Sequence[str], columns: Sequence[str] = ()) -> Self:
        """As listed."""
        places = place_of(names)
        labels = [placed(value_of(example, columns), places) for example in examples]
        return cls(names=tuple(names), labels=np.array(labels, np.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, at: Indices) -> Self:
        """Those at these positions; values without any stay in the list."""
        return replace(self, labels=self.labels[at])

    def ranks(self, order: Sequence[str]) -> NDArray[np.int64]:
        """(N,): where each stands in an order of the names, `UNKNOWN` where it does not."""
        rank_of = np.array([*(order.index(name) if name in order else UNKNOWN for name in self.names), UNKNOWN], np.int64)
        return rank_of[self.labels]

    def keys(self) -> list[int]:
        """The value."""
        return list(self.labels.tolist())

    def kinds(self) -> list[int]:
        """The value."""
        return list(self.labels.tolist())

    def marks(self) -> tuple[()]:
        """None."""
        return ()

    def stamp(self, i: int) -> str:
        """The name of the value."""
        return repr(self.names[self.labels[i]])

    def summary(self) -> dict[str, Any]:
        """Pictures by value."""
        return {"values": {name: int(np.sum(self.labels == i)) for i, name in enumerate(self.names)}}

    def identity(self) -> dict[str, Any]:
        """The names."""
        return {"values": list(self.names)}

    def collate(self, at: Indices, geometry: "Sequence[Geometry] | None" = None) -> "Tensor":
        """Places int64 (B,)."""
        import torch

        return torch.from_numpy(self.labels[at])

    def notices(self) -> tuple[Notice, ...]:
        """Names that look alike."""
        return alike_names(self.names)

    def require_still_there(self, left: Self, lost: Mapping[int, Problem], *, source: str) -> None:
        """A value that no picture has any more, and it was not the bytes of all of them: tomorrow it would be there again."""
        there = set(left.labels.tolist())
        gone = {
            self.names[self.labels[i]]: problem
            for i, problem in lost.items()
            if self.labels[i] not in there and problem.kind in OF_THIS_MOMENT
        }
        if gone:
            raise DataError(
                f"{source}: no picture with the value {', '.join(sorted(gone))} can be read although they were listed a moment ago; the "
                f"first: {next(iter(gone.values())).message}. Put them back and run again, or leave the value out."
            )

    def settled(
        self,
        splits: Sequence[Split],
        *,
        source: str,
        known: Sequence[Problem],
        before: tuple[Self, Sequence[Split]] | None = None,
    ) -> Settled[Self]:
        """Without values that no train picture has. Raises DataError where fewer than two are left."""
        counts = np.bincount(self.labels, minlength=len(self.names))
        trained = np.isin(
            np.arange(len(self.names)), [i for i, split in zip(self.labels, splits, strict=True) if split == "train"]
        )
        problems = [*known, *self._problems(counts, trained, source)]
        if trained.sum() < 2:
            raise DataError(
                f"{source}: {int(trained.sum())} value with train pictures, expected at least two. {first_reasons(problems)}"
            )
        kept = np.flatnonzero(trained[self.labels])
        targets = replace(
            self,
            names=tuple(name for name, has in zip(self.names, trained, strict=True) if has),
            labels=(np.cumsum(trained) - 1)[self.labels[kept]],
            left_out=(*self.left_out, *(name for name, has in zip(self.names, trained, strict=True) if not has)),
        )
        return Settled(targets=targets, kept=kept, problems=tuple(dict.fromkeys(problems)))

    def _problems(self, counts: NDArray[np.int64], trained: NDArray[np.bool_], source: str) -> Iterator[Problem]:
        for name, count, has in zip(self.names, counts, trained, strict=True):
            if not has:
                why = f"its {count} pictures are in val or test" if count else "none of its pictures can be used"
                message = f"value {name!r} has no train picture ({why}), so it is left out. Add pictures."
                yield Problem(path=source, kind="value-without-train", message=message)
            elif count == 1:
                message = f"value {name!r} has a single picture: it is trained on, and nothing measures how well. Add pictures."
                yield Problem(path=source, kind="single-picture", message=message)


def _names(found: set[str]) -> tuple[str, ...]:
    """Sorted; of numbers by size, each once, as its shortest writing."""
    sizes = {name: number_of(name) for name in found}
    if any(size is None for size in sizes.values()):
        return tuple(sorted(found))
    by_size: dict[float, str] = {}
    for name in sorted(found, key=lambda name: (len(name), name)):
        by_size.setdefault(sizes[name] or 0.0, name)
    return tuple(by_size[size] for size in sorted(by_size))


def _listed(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")
