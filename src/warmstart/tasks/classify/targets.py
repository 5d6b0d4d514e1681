"""Labels: which class each picture is of, and what a set of them must have to be learnt from.

N pictures, K classes.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.data.class_names import alike_names
from warmstart.errors import DataError
from warmstart.records import OF_THIS_MOMENT, Example, Notice, Problem, Split, first_reasons
from warmstart.task_protocol import Indices, Settled
from warmstart.tasks.classify.tree import read_as_tree

if TYPE_CHECKING:
    from torch import Tensor

    from warmstart.data.geometry import Geometry


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassTargets:
    """A label for each picture."""

    class_names: tuple[str, ...]
    labels: NDArray[np.int64]  # (N,), indices into class_names

    @classmethod
    def of(cls, examples: Sequence[Example], class_names: Sequence[str]) -> Self:
        """As listed."""
        label_of = {name: i for i, name in enumerate(class_names)}
        labels = np.array([label_of[example.class_name] for example in examples], dtype=np.int64)
        return cls(class_names=tuple(class_names), labels=labels)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, at: Indices) -> Self:
        """Those at these positions; classes without any stay in the list."""
        return replace(self, labels=self.labels[at])

    def keys(self) -> list[int]:
        """The label."""
        return list(self.labels.tolist())

    def kinds(self) -> list[int]:
        """The label."""
        return list(self.labels.tolist())

    def marks(self) -> tuple[()]:
        """None."""
        return ()

    def stamp(self, i: int) -> str:
        """The name of the class, whatever its number."""
        return repr(self.class_names[self.labels[i]])

    def summary(self) -> dict[str, Any]:
        """Pictures by class."""
        return {"classes": {name: int(np.sum(self.labels == i)) for i, name in enumerate(self.class_names)}}

    def identity(self) -> dict[str, Any]:
        """The names in the order of the labels."""
        return {"class_names": list(self.class_names)}

    def collate(self, at: Indices, geometry: "Sequence[Geometry] | None" = None) -> "Tensor":
        """Labels int64 (B,)."""
        import torch

        return torch.from_numpy(self.labels[at])

    def notices(self) -> tuple[Notice, ...]:
        """Names that look alike; that they are read as a tree."""
        counts = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        return (*alike_names(self.class_names), *read_as_tree(self.class_names, counts))

    def majority(self) -> int:
        """The label that most have."""
        return int(np.bincount(self.labels).argmax())

    def require_still_there(self, left: "ClassTargets", lost: Mapping[int, Problem], *, source: str) -> None:
        """A class that has no picture left, and it was not the bytes of all of them: tomorrow it would be there again."""
        there = {left.class_names[label] for label in np.unique(left.labels)}
        gone = {
            name: problem
            for name, problem in ((self.class_names[self.labels[i]], problem) for i, problem in lost.items())
            if name not in there and problem.kind in OF_THIS_MOMENT
        }
        if gone:
            first = next(iter(gone.values())).message
            raise DataError(
                f"{source}: no picture of {', '.join(sorted(gone))} can be read although they were listed a moment ago; the first: "
                f"{first}. Put them back and run again, or leave the class out of the folder or list."
            )

    def settled(
        self,
        splits: Sequence[Split],
        *,
        source: str,
        known: Sequence[Problem],
        before: tuple[Self, Sequence[Split]] | None = None,
    ) -> Settled[Self]:
        """Without classes that have no picture, and, once pictures were decoded, without those that have none in train."""
        kept = np.arange(len(self))
        problems = list(known)
        lost: list[str] = []
        if before is not None:
            trained = set(self.labels[_train(splits)].tolist())
            usable = np.array([label in trained for label in self.labels], dtype=bool)
            lost = sorted({self.class_names[label] for label in self.labels[~usable]})
            if lost:
                then, splits_then = before
                had = {then.class_names[label] for label in then.labels[_train(splits_then)]}
                problems.append(_without_train(lost, had, source))
                kept = np.flatnonzero(usable)
        counts = np.bincount(self.labels[kept], minlength=len(self.class_names))
        problems += self._too_few(counts, source, told=lost)
        if np.count_nonzero(counts) < 2:
            found = f"{np.count_nonzero(counts)} class with usable pictures; at least two are needed."
            raise DataError(f"{source}: {found} {first_reasons(problems)}")
        new_label = np.cumsum(counts > 0) - 1
        names = tuple(name for name, count in zip(self.class_names, counts, strict=True) if count)
        targets = replace(self, class_names=names, labels=new_label[self.labels[kept]])
        return Settled(targets=targets, kept=kept, problems=tuple(dict.fromkeys(problems)))

    def _too_few(self, counts: NDArray[np.int64], source: str, *, told: Sequence[str]) -> Iterator[Problem]:
        """Of classes without a usable picture, if not ``told`` of, and with one."""
        for name, count in zip(self.class_names, counts, strict=True):
            if count == 0 and name not in told:
                message = f"class {name!r}: none of its pictures can be used, so the class is left out."
                yield Problem(path=source, kind="empty-class", message=message)
            elif count == 1:
                message = f"class {name!r} has a single picture: it is trained on, and nothing measures how well. Add pictures."
                yield Problem(path=source, kind="single-picture", message=message)


def _train(splits: Sequence[Split]) -> list[int]:
    return [i for i, split in enumerate(splits) if split == "train"]


def _without_train(lost: Sequence[str], had: Set[str], source: str) -> Problem:
    broken, elsewhere = [n for n in lost if n in had], [n for n in lost if n not in had]
    reasons = [f"{', '.join(broken)}: no readable picture in train"] if broken else []
    reasons += [f"{', '.join(elsewhere)}: no picture in train, only in val or test"] if elsewhere else []
    message = f"{'; '.join(reasons)}. Nothing to learn from, so left out. Add pictures."
    return Problem(path=source, kind="class-without-train", message=message)
