"""From a listing to labelled, fingerprinted, split pictures, with everything that was left out named.

N pictures, K classes.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.data.depth import OWN, range_of
from warmstart.data.splitting import assign_splits, connected, find_conflicts, find_leaks
from warmstart.errors import DataError
from warmstart.extraction.scanning import scan
from warmstart.plan import Plan
from warmstart.records import SPLITS, Listing, Notice, Picture, Problem, Split, ValueRange
from warmstart.session.session import Session
from warmstart.session.what_is_lost import Seen, notices, seen_of, told

LEAST_HALF = (
    100  # pictures: fewer choose an epoch poorly, and a set for 0.95 from 100 covers 0.93 to 0.97 two times out of three
)


_OF_THIS_MOMENT = (
    "missing",
    "permission",
    "unreadable",
    "memory",
    "changed",
)  # kinds of problems that are no property of a picture


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Pictures that can be read, with label and split."""

    source: str
    class_names: tuple[str, ...]
    pictures: tuple[Picture, ...]  # N
    labels: np.ndarray  # int64 (N,), indices into class_names
    splits: tuple[Split, ...]  # N
    units: np.ndarray  # int64 (N,): pictures with the same number are copies or of one group, and are never divided
    problems: tuple[Problem, ...]
    values: ValueRange = OWN  # of train pictures with more than 8 bits
    fixes: Mapping[str, Any] | None = None  # what a list of fixes has changed before
    kept_together: int = 0  # pictures that are near copies of another and share its split for that
    licence: str | None = None  # of the pictures, where it is known
    resize: str = "crop"  # how the network will see them
    keep_damaged: bool = False  # whether it will see damaged ones
    losses: Mapping[bytes, str] = field(default_factory=dict)  # digest → why the network sees one colour, once rows are there

    def positions(self, *splits: Split) -> np.ndarray:
        """Where the pictures of these splits stand, int64, ascending."""
        return np.array([i for i, split in enumerate(self.splits) if split in splits], dtype=np.int64)

    def fingerprint(self) -> str:
        """SHA-256 over digest, class and split of every picture, whatever the files are called."""
        lines = sorted(
            f"{p.digest.hex()} {split} {self.class_names[label]!r}"
            for p, label, split in zip(self.pictures, self.labels, self.splits, strict=True)
        )
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def summary(self) -> dict[str, Any]:
        """The `data` part of a run record."""
        return {
            "source": self.source,
            "working_folder": str(Path.cwd()),  # that source and pictures are named from, where their paths are not absolute
            "images": len(self.pictures),
            "classes": {name: int(np.sum(self.labels == i)) for i, name in enumerate(self.class_names)},
            "splits": {split: self.splits.count(split) for split in SPLITS},
            "fingerprint": self.fingerprint(),
            "licence": self.licence,
            "problems": [{"path": p.path, "kind": p.kind, "message": p.message} for p in self.problems],
            "fixes": dict(self.fixes) if self.fixes else None,
            "kept_together": self.kept_together,
            "seen": self.seen().to_dict(),
            "notices": told(self.notices()),
        }

    def seen(self) -> Seen:
        """Which share of its pictures the network sees."""
        return seen_of(self.pictures, self.resize)

    def notices(self) -> tuple[Notice, ...]:
        """What is lost on the way into the network, though nothing is left out for it."""
        return notices(
            self.pictures,
            resize=self.resize,
            values=self.values,
            class_names=self.class_names,
            losses=self.losses,
            keep_damaged=self.keep_damaged,
        )

    def with_losses(self, losses: Mapping[int, str]) -> "Dataset":
        """With what extraction said of the network's input: position → a name of `data.one_colour.LOSSES`."""
        return replace(self, losses={self.pictures[i].digest: loss for i, loss in losses.items()})


def prepare(listing: Listing, plan: Plan, session: Session) -> Dataset:
    """Read digests, leave out what cannot be used, and assign splits. Raises DataError when fewer than two classes are left."""
    paths = [example.path for example in listing.examples]
    found = scan(paths, session.workspace.store, on_progress=session.watcher.progress)
    label_of = {name: i for i, name in enumerate(listing.class_names)}
    rows = [(e, p, label_of[e.class_name]) for e, p in zip(listing.examples, found.pictures, strict=True) if p is not None]
    class_of = {e.path: e.class_name for e in listing.examples}
    _stop_if_a_class_is_gone(
        listing.source, [e.class_name for e, _, _ in rows], {i: (class_of[p.path], p) for i, p in enumerate(found.problems)}
    )
    conflicts = find_conflicts([p.digest for _, p, _ in rows], [label for _, _, label in rows])
    problems = [*listing.problems, *found.problems, *conflict_problems(conflicts, [e.path for e, _, _ in rows])]
    left_out = {i for group in conflicts for i in group}
    rows = [row for i, row in enumerate(rows) if i not in left_out]
    if not rows:
        raise DataError(f"{listing.source}: none of {len(paths)} pictures can be used. {_first_reasons(problems)}")
    splits = assign_splits(
        digests=[p.digest for _, p, _ in rows],
        labels=[label for _, _, label in rows],
        groups=[e.group for e, _, _ in rows],
        given=[e.split for e, _, _ in rows],
        strata=[label if e.stratum is None else e.stratum for e, _, label in rows],
        seed=plan.seed,
        fractions=plan.fractions,
    )
    leaks = find_leaks([p.digest for _, p, _ in rows], [e.group for e, _, _ in rows], splits)
    problems += [_leak_problem([rows[i][0].path for i in leak], [splits[i] for i in leak]) for leak in leaks]
    units = np.empty(len(rows), np.int64)
    for number, members in enumerate(connected([p.digest for _, p, _ in rows], [e.group for e, _, _ in rows])):
        units[list(members)] = number
    dataset = Dataset(
        source=listing.source,
        class_names=listing.class_names,
        pictures=tuple(picture for _, picture, _ in rows),
        labels=np.array([label for _, _, label in rows], dtype=np.int64),
        splits=tuple(splits),
        units=units,
        problems=tuple(problems),
        values=range_of(p.facts.depth for (_, p, _), split in zip(rows, splits, strict=True) if p.facts and split == "train"),
        fixes=listing.fixes,
        licence=listing.licence,
        resize=plan.resize,
        keep_damaged=plan.keep_damaged,
    )
    return _drop_empty_classes(dataset)


def without(dataset: Dataset, broken: Mapping[int, Problem]) -> tuple[Dataset, np.ndarray]:
    """The data set without pictures that could not be decoded, and where its pictures stood before (int64)."""
    keep = np.array([i for i in range(len(dataset.pictures)) if i not in broken], dtype=np.int64)
    left = replace(
        dataset,
        pictures=tuple(dataset.pictures[i] for i in keep),
        labels=dataset.labels[keep],
        splits=tuple(dataset.splits[i] for i in keep),
        units=dataset.units[keep],
        problems=(*dataset.problems, *broken.values()),
    )
    _stop_if_a_class_is_gone(
        left.source,
        [dataset.class_names[label] for label in left.labels],
        {i: (dataset.class_names[dataset.labels[i]], problem) for i, problem in broken.items()},
    )
    trained = set(left.labels[left.positions("train")].tolist())
    usable = np.array([label in trained for label in left.labels], dtype=bool)
    lost = sorted({left.class_names[label] for label in left.labels[~usable]})
    if lost:
        had = {dataset.class_names[label] for label in dataset.labels[dataset.positions("train")]}
        broken_ones, elsewhere = [n for n in lost if n in had], [n for n in lost if n not in had]
        reasons = [f"{', '.join(broken_ones)}: no readable picture in train"] if broken_ones else []
        reasons += [f"{', '.join(elsewhere)}: no picture in train, only in val or test"] if elsewhere else []
        problem = Problem(
            path=left.source,
            kind="class-without-train",
            message=f"{'; '.join(reasons)}. Nothing to learn from, so left out. Add pictures.",
        )
        left = replace(
            left,
            pictures=tuple(p for p, ok in zip(left.pictures, usable, strict=True) if ok),
            labels=left.labels[usable],
            splits=tuple(s for s, ok in zip(left.splits, usable, strict=True) if ok),
            units=left.units[usable],
            problems=(*left.problems, problem),
        )
    return _drop_empty_classes(left, told=lost), keep[usable]


def stop_if_any_is_gone(broken: Mapping[int, Problem]) -> None:
    """Raises DataError for pictures that were readable when the run began: their rows would be nothing, silently."""
    if broken:
        first = broken[min(broken)].message
        raise DataError(
            f"{len(broken):,} pictures that were there when the run began cannot be read any more, the first: {first}"
        )


def _stop_if_a_class_is_gone(source: str, left: Sequence[str], unusable: Mapping[int, tuple[str, Problem]]) -> None:
    """Raises DataError where a class has no picture left and it was not the bytes of all of them: tomorrow it would be there again.

    ``left``: the class of every picture that can be used; ``unusable``: class and problem of the others.
    """
    there = set(left)
    gone = {name: problem for name, problem in unusable.values() if name not in there and problem.kind in _OF_THIS_MOMENT}
    if gone:
        first = next(iter(gone.values())).message
        raise DataError(
            f"{source}: no picture of {', '.join(sorted(gone))} can be read although they were listed a moment ago; the first: {first}. "
            "Put them back and run again, or leave the class out of the folder or list."
        )


def halves_of_val(dataset: Dataset, *, trains_network: bool) -> tuple[np.ndarray, np.ndarray]:
    """Positions of val that choose, and those that calibrate: (all, none) unless a network is trained and val can be halved.

    Ranked by content inside each class, so that the halves are alike and adding pictures moves almost none from one to the other. Copies
    and groups go to one half: beside a picture that chose, its copy would calibrate no better than that picture itself.
    """
    val = dataset.positions("val")
    if not trains_network or len(val) < 2 * LEAST_HALF:
        return val, val[:0]
    units: dict[int, list[int]] = defaultdict(list)  # each with the picture in front that it is ranked by
    for i in sorted(val.tolist(), key=lambda i: dataset.pictures[i].digest):
        units[int(dataset.units[i])].append(i)
    halves: tuple[list[int], list[int]] = ([], [])
    for label in np.unique(dataset.labels[val]):
        ranked = [members for members in units.values() if dataset.labels[members[0]] == label]
        middle = (sum(map(len, ranked)) + 1) // 2
        before = 0
        for members in ranked:
            halves[before >= middle].extend(members)
            before += len(members)
    if 2 * min(map(len, halves)) < LEAST_HALF:  # one group is most of val
        return val, val[:0]
    choosing, calibrating = (np.array(sorted(half), dtype=np.int64) for half in halves)
    return choosing, calibrating


def _drop_empty_classes(dataset: Dataset, *, told: Sequence[str] = ()) -> Dataset:
    """Classes without a usable picture leave the list, by name if not ``told`` of. Raises DataError when fewer than two are left."""
    counts = np.bincount(dataset.labels, minlength=len(dataset.class_names))
    problems = list(dataset.problems)
    for name, count in zip(dataset.class_names, counts, strict=True):
        if count == 0 and name not in told:
            message = f"class {name!r}: none of its pictures can be used, so the class is left out."
            problems.append(Problem(path=dataset.source, kind="empty-class", message=message))
        elif count == 1:
            message = f"class {name!r} has a single picture: it is trained on, and nothing measures how well. Add pictures."
            problems.append(Problem(path=dataset.source, kind="single-picture", message=message))
    if np.count_nonzero(counts) < 2:
        raise DataError(
            f"{dataset.source}: {np.count_nonzero(counts)} class with usable pictures; at least two are needed. "
            + _first_reasons(problems)
        )
    new_label = np.cumsum(counts > 0) - 1
    return replace(
        dataset,
        class_names=tuple(name for name, count in zip(dataset.class_names, counts, strict=True) if count),
        labels=new_label[dataset.labels],
        problems=tuple(dict.fromkeys(problems)),
    )


def conflict_problems(conflicts: Sequence[Sequence[int]], paths: Sequence[str]) -> list[Problem]:
    """One problem for each group of positions that `find_conflicts` found."""
    return [
        Problem(
            path=paths[group[0]],
            kind="conflicting-labels",
            message=f"the same picture stands under different classes, so all {len(group)} copies are left out: "
            + ", ".join(paths[i] for i in group)
            + ". Keep the one with the right class.",
        )
        for group in conflicts
    ]


def _leak_problem(paths: Sequence[str], splits: Sequence[Split]) -> Problem:
    places = ", ".join(f"{path} ({split})" for path, split in zip(paths, splits, strict=True))
    return Problem(
        path=paths[0],
        kind="leak",
        message=f"one picture or group stands in more than one given split, which makes scores look better than they are: {places}.",
    )


def _first_reasons(problems: Sequence[Problem]) -> str:
    reasons = [problem.message for problem in problems[:3]]
    return " ".join(reasons) + (f" … and {len(problems) - 3} more." if len(problems) > 3 else "")
