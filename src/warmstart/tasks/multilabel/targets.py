"""Labels to be learnt: which of them each picture has, has not, or may have, and what a set of them must have.

    column labels    'rust;dent' → these two, and no other; '-' or 'none' → none of them; nothing → unknown, left out
    a column a label  1 → it has it; 0 → it has not; nothing → unknown, of no weight

N pictures, O labels.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.data.class_names import alike_names, class_name_of
from warmstart.data.manifest import LABELS
from warmstart.errors import DataError
from warmstart.records import OF_THIS_MOMENT, Example, Listing, Notice, Problem, Split, first_reasons
from warmstart.task_protocol import Indices, Settled

if TYPE_CHECKING:
    from torch import Tensor

    from warmstart.data.geometry import Geometry

NONE = ("-", "none")  # what a picture without any label has in the column 'labels'
FEWEST = 2  # train pictures with a label, and without it: of fewer nothing can be held out
EVERY_SIDE = 3  # pictures with a label from which on every side of the split has one
FEW = 10  # train pictures with a label below which that is said
_JOINED = re.compile(r"[;|]")
_FLAGS = {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}


def is_list(columns: Sequence[str]) -> bool:
    """Whether labels stand in one column, joined, and have no columns of their own."""
    return tuple(columns) == (LABELS,)


def why_labels(listing: Listing) -> str | None:
    """Why these are labels of which a picture has any number, in words; None where they are not."""
    if not listing.is_table or not listing.examples:
        return None
    if is_list(listing.columns):
        return "its column labels holds any number of them a picture"
    if len(listing.columns) < 2:
        return None
    cells = [example.cells.get(name) for example in listing.examples for name in listing.columns]
    only_flags = all(cell is None or flag(cell) is not None for cell in cells)
    return f"the columns {', '.join(listing.columns)} hold nothing but 0 and 1" if only_flags else None


def names_in(cell: Any) -> tuple[str, ...]:
    """Of a cell of the column 'labels', each once; ('-',) for none of them; nothing where it is unknown."""
    parts = cell if isinstance(cell, list | tuple | set | frozenset) else _JOINED.split("" if cell is None else str(cell))
    names = dict.fromkeys(class_name_of(str(part)) for part in parts if str(part).strip())
    return tuple(NONE[0] if name.lower() in NONE else name for name in names)


def flag(cell: Any) -> float | None:
    """1 or 0 of a cell of a column that is a label's own; None for anything else."""
    if isinstance(cell, bool | np.bool_):
        return float(cell)
    return _FLAGS.get(str(cell).strip().lower())


def with_labels(listing: Listing) -> Listing:
    """The examples that say something, with the names of all labels as class names. Raises DataError where they cannot be learnt."""
    if not listing.is_table or not listing.columns:
        what = "table without a column labels" if listing.is_table else "folder, whose pictures have one class each"
        raise DataError(
            f"{listing.source!r} is a {what}: give a table, a CSV file with the columns path and labels (such as a;b), or name the columns "
            "that hold 0 and 1 with --target rust,scratch"
        )
    usable = _listed(listing) if is_list(listing.columns) else _flagged(listing)
    if 2 * len(usable.examples) < len(listing.examples) or not usable.examples:
        named = usable.problems[len(listing.problems) :]
        raise DataError(
            f"{listing.source!r}: {len(usable.examples):,} of {len(listing.examples):,} pictures have labels that can be read, expected "
            f"nearly all. {first_reasons(named)}"
        )
    return usable


def entries_of(example: Example, names: Sequence[str], columns: Sequence[str]) -> list[float]:
    """1, 0 or NaN for each label, as an example says; NaN for what it does not, or says in a way that cannot be read."""
    if is_list(columns):
        own = names_in(example.cells.get(LABELS))
        if not own or (NONE[0] in own and len(own) > 1):
            return [math.nan] * len(names)
        return [float(name in own) for name in names]
    found = [example.cells.get(name) for name in names]
    return [math.nan if (value := flag(cell)) is None else value for cell in found]


def _listed(listing: Listing) -> Listing:
    """Of a column 'labels'."""
    kept, problems, names = [], list(listing.problems), Counter[str]()
    for example in listing.examples:
        own = names_in(example.cells.get(LABELS))
        if own and not (NONE[0] in own and len(own) > 1):
            kept.append(example)
            names.update(own)
            continue
        what = f"has the labels {example.cells.get(LABELS)!r:.60}, " + (
            "which say none of them and name some" if own else "which name none; write - for a picture that has none"
        )
        problems.append(Problem(path=example.path, kind="no-label", message=f"{example.path!r} {what}; left out: correct it"))
    names.pop(NONE[0], None)
    commas = [name for name in names if "," in name]
    if commas and not any(_JOINED.search(str(e.cells.get(LABELS))) for e in kept if isinstance(e.cells.get(LABELS), str)):
        raise DataError(
            f"{listing.source!r}: {commas[0]!r} in the column labels reads as several, joined by commas; expected them joined by ; such as "
            "a;b"
        )
    return replace(listing, examples=tuple(kept), class_names=tuple(sorted(names)), problems=tuple(problems))


def _flagged(listing: Listing) -> Listing:
    """Of a column a label."""
    kept, problems = [], list(listing.problems)
    for example in listing.examples:
        wrong = [name for name in listing.columns if (cell := example.cells.get(name)) is not None and flag(cell) is None]
        if not wrong:
            kept.append(example)
            continue
        found = ", ".join(f"{name} = {str(example.cells[name])!r:.40}" for name in wrong)
        message = f"{example.path!r}: {found}, expected 1, 0, or nothing where it is unknown; left out: correct it"
        if any(_JOINED.search(str(example.cells[name])) for name in wrong):
            message += ", or call a column of names, such as a;b, labels"
        problems.append(Problem(path=example.path, kind="no-flag", message=message))
    return replace(listing, examples=tuple(kept), class_names=listing.columns, problems=tuple(problems))


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelTargets:
    """Which labels each picture has."""

    names: tuple[str, ...]  # O
    columns: tuple[str, ...]  # of the table that says it
    values: NDArray[np.float64]  # (N, O): 1, 0, or NaN where it is unknown

    @classmethod
    def of(cls, examples: Sequence[Example], names: Sequence[str], columns: Sequence[str]) -> Self:
        """As listed."""
        values = np.array([entries_of(example, names, columns) for example in examples], np.float64)
        return cls(names=tuple(names), columns=tuple(columns), values=values.reshape(-1, len(names)))

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N, O)."""
        return ~np.isnan(self.values)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(O,): of the pictures of which it is known, those that have it; 0 where it is known of none."""
        return np.asarray(np.nansum(self.values, axis=0) / np.maximum(self.known.sum(axis=0), 1))

    def __len__(self) -> int:
        return len(self.values)

    def take(self, at: Indices) -> Self:
        """Those at these positions."""
        return replace(self, values=self.values[at])

    def of_labels(self, names: Sequence[str]) -> Self:
        """The same pictures with these labels alone."""
        return replace(self, names=tuple(names), values=self.values[:, [self.names.index(name) for name in names]])

    def keys(self) -> list[tuple[float, ...]]:
        """The entries; an unknown one is another than a known one."""
        return [tuple(row) for row in np.where(self.known, self.values, -1).tolist()]

    def kinds(self) -> list[int]:
        """The rarest label that a picture has; one more than the last where it has none."""
        counts = np.nansum(self.values, axis=0)
        order = np.argsort(counts, kind="stable")
        has = self.values[:, order] == 1
        return [int(order[row.argmax()]) if row.any() else len(self.names) for row in has]

    def marks(self) -> list[tuple[int, ...]]:
        """The labels of each picture."""
        return [tuple(np.flatnonzero(row == 1).tolist()) for row in self.values]

    def stamp(self, i: int) -> str:
        """Names with 1 or 0, whatever their order."""
        return repr(sorted((name, int(v)) for name, v in zip(self.names, self.values[i], strict=True) if not math.isnan(v)))

    def summary(self) -> dict[str, Any]:
        """How many pictures have each label, and of how many it is unknown."""
        return {
            "labels": {
                name: {"pictures": int((column == 1).sum()), "unknown": int(np.isnan(column).sum())}
                for name, column in zip(self.names, self.values.T, strict=True)
            },
            "labels_a_picture": float(np.nansum(self.values) / max(len(self), 1)),
        }

    def identity(self) -> dict[str, Any]:
        """The names, in order."""
        return {"labels": list(self.names)}

    def collate(self, at: Indices, geometry: "Sequence[Geometry] | None" = None) -> "Tensor":
        """float32 (B, O); NaN where it is unknown."""
        import torch

        return torch.from_numpy(self.values[at].astype(np.float32))

    def notices(self) -> tuple[Notice, ...]:
        """Names that look alike."""
        return alike_names(self.names)

    def require_still_there(self, left: Self, lost: Mapping[int, Problem], *, source: str) -> None:
        """A label that no picture has any more, and it was not the bytes of all of them: tomorrow it would be there again."""
        there = np.nansum(left.values, axis=0) > 0
        gone: dict[str, Problem] = {}
        for i, problem in lost.items():
            if problem.kind in OF_THIS_MOMENT:
                gone |= {self.names[o]: problem for o in np.flatnonzero((self.values[i] == 1) & ~there)}
        if gone:
            raise DataError(
                f"{source}: no picture with the label {', '.join(sorted(gone))} can be read although they were listed a moment ago; the "
                f"first: {next(iter(gone.values())).message}. Put them back and run again, or take the label out of the table."
            )

    def settled(
        self,
        splits: Sequence[Split],
        *,
        source: str,
        known: Sequence[Problem],
        before: tuple[Self, Sequence[Split]] | None = None,
    ) -> Settled[Self]:
        """Without labels that train pictures do not tell apart, and without pictures of which nothing else is known.

        Raises DataError where no label is left.
        """
        problems = [problem for problem in known if problem.kind != "few-pictures"]  # counted anew
        train = self.values[[i for i, split in enumerate(splits) if split == "train"]]
        with_it, without_it = (train == 1).sum(axis=0), (train == 0).sum(axis=0)
        left: list[str] = []
        for name, has, lacks, column in zip(self.names, with_it, without_it, self.values.T, strict=True):
            wrong = _why_not_learnt(name, int(has), int(lacks), int((column == 1).sum()))
            if wrong is None:
                left.append(name)
            else:
                problems.append(Problem(path=source, kind="label-left-out", message=wrong))
            if wrong is None and has < FEW:
                message = f"label {name!r}: {has} of {len(train):,} train pictures have it, which tells little. Add some that have it."
                problems.append(Problem(path=source, kind="few-pictures", message=message))
        if not left:
            raise DataError(f"{source}: no label can be learnt from {len(train):,} train pictures. {first_reasons(problems)}")
        targets = self.of_labels(left)
        kept = np.flatnonzero(targets.known.any(axis=1))
        if len(kept) < len(self):
            message = (
                f"{len(self) - len(kept):,} pictures say nothing of the labels that can be learnt, and are left out with them."
            )
            problems.append(Problem(path=source, kind="nothing-known", message=message))
        return Settled(targets=targets.take(kept), kept=kept, problems=tuple(dict.fromkeys(problems)))


def _why_not_learnt(name: str, has: int, lacks: int, anywhere: int) -> str | None:
    """Of a label that ``has`` and ``lacks`` train pictures count."""
    if has == 0:
        where = f"{anywhere} in val and test have it" if anywhere else "no other has it either"
        return f"label {name!r}: no train picture has it ({where}), so it is left out. Add pictures that have it."
    if lacks == 0:
        return (
            f"label {name!r}: every train picture of which it is known has it ({has}), so there is nothing to tell apart; left out. "
            "Add pictures that lack it; in a column of its own they have 0 there, for an empty cell is unknown."
        )
    if has < FEWEST or lacks < FEWEST:
        what = f"{has} train picture has it" if has < FEWEST else f"{lacks} train picture lacks it"
        return f"label {name!r}: only {what}, expected at least {FEWEST}, so it is left out. Add pictures."
    return None
