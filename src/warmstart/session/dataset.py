"""From a listing to pictures with targets, fingerprinted and split, with everything that was left out named.

N pictures.
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
from warmstart.data.views import mode_of
from warmstart.errors import DataError
from warmstart.extraction.scanning import scan_given
from warmstart.plan import Plan
from warmstart.records import SPLITS, Listing, Notice, Picture, Problem, Split, ValueRange, first_reasons
from warmstart.report.run_record import DataRecord
from warmstart.session.session import Session
from warmstart.session.what_is_lost import Seen, notices, seen_of
from warmstart.strategy.resize import ResizeChoice
from warmstart.task_protocol import Indices, Task

LEAST_HALF = (
    100  # pictures: fewer choose an epoch poorly, and a set for 0.95 from 100 covers 0.93 to 0.97 two times out of three
)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Pictures that can be read, with target and split, and the task that the targets are of."""

    source: str
    pictures: tuple[Picture, ...]  # N
    task: Task
    targets: Any  # N, the task's
    splits: tuple[Split, ...]  # N
    units: np.ndarray  # int64 (N,): pictures with the same number are copies or of one group, and are never divided
    problems: tuple[Problem, ...]
    values: ValueRange = OWN  # of train pictures with more than 8 bits
    fixes: Mapping[str, Any] | None = None  # what a list of fixes has changed before
    kept_together: int = 0  # pictures that are near copies of another and share its split for that
    licence: str | None = None  # of the pictures, where it is known
    resize: str = "crop"  # how the network will see them
    choice: ResizeChoice | None = None  # why so, where that was left open and the centre crop shows little of them
    keep_damaged: bool = False  # whether it will see damaged ones
    losses: Mapping[bytes, str] = field(default_factory=dict)  # digest → why the network sees one colour, once rows are there
    noticed: tuple[Notice, ...] = ()  # of how the listing was read

    def positions(self, *splits: Split) -> np.ndarray:
        """Where the pictures of these splits stand, int64, ascending."""
        return np.array([i for i, split in enumerate(self.splits) if split in splits], dtype=np.int64)

    def fingerprint(self) -> str:
        """SHA-256 over digest, target and split of every picture, whatever the files are called."""
        lines = sorted(
            f"{picture.digest.hex()} {split} {self.targets.stamp(i)}"
            for i, (picture, split) in enumerate(zip(self.pictures, self.splits, strict=True))
        )
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def record(self) -> DataRecord:
        """For the run record."""
        return DataRecord(
            source=self.source,
            working_folder=str(Path.cwd()),
            images=len(self.pictures),
            of_task=self.targets.summary(),
            splits={split: self.splits.count(split) for split in SPLITS},
            fingerprint=self.fingerprint(),
            licence=self.licence,
            problems=self.problems,
            fixes=dict(self.fixes) if self.fixes else None,
            kept_together=self.kept_together,
            seen=self.seen().to_dict(),
            notices=self.notices(),
        )

    def seen(self) -> Seen:
        """Which share of its pictures the network sees."""
        return seen_of(self.pictures, self.resize)

    def notices(self) -> tuple[Notice, ...]:
        """What is lost on the way into the network, though nothing is left out for it."""
        lost = notices(
            self.pictures,
            resize=self.resize,
            values=self.values,
            losses=self.losses,
            keep_damaged=self.keep_damaged,
            choice=self.choice,
        )
        return (*lost, *self.noticed, *self.targets.notices())

    def with_losses(self, losses: Mapping[int, str]) -> "Dataset":
        """With what extraction said of the network's input: position → a name of `data.one_colour.LOSSES`."""
        return replace(self, losses={self.pictures[i].digest: loss for i, loss in losses.items()})


def prepare(listing: Listing, plan: Plan, session: Session) -> Dataset:
    """The data set that the session's task learns from.

    Reads digests, leaves out what cannot be used, and assigns splits. Raises DataError when nothing is left to learn from.
    """
    examples, source = listing.examples, listing.source
    found = scan_given([(e.path, e.content) for e in examples], session.workspace.store, on_progress=session.watcher.progress)
    listed = session.task.targets(listing)
    there = [i for i, picture in enumerate(found.pictures) if picture is not None]
    position = {example.path: i for i, example in enumerate(examples)}
    lost = {position[problem.path]: problem for problem in found.problems}
    listed.require_still_there(listed.take(_indices(there)), lost, source=source)

    def digests_of(at: Sequence[int]) -> list[bytes]:
        return [picture.digest for picture in map(found.pictures.__getitem__, at) if picture is not None]

    conflicts = find_conflicts(digests_of(there), listed.take(_indices(there)).keys())
    problems = [
        *listing.problems,
        *found.problems,
        *conflict_problems(conflicts, [examples[i].path for i in there], session.task.target_words),
    ]
    left_out = {there[k] for group in conflicts for k in group}
    at = [i for i in there if i not in left_out]
    if not at:
        raise DataError(f"{source}: none of {len(examples)} pictures can be used. {first_reasons(problems)}")
    pictures = [picture for picture in map(found.pictures.__getitem__, at) if picture is not None]
    targets, digests, groups = listed.take(_indices(at)), digests_of(at), [examples[i].group for i in at]
    kinds = targets.kinds()
    splits = assign_splits(
        digests=digests,
        labels=kinds,
        groups=groups,
        given=[examples[i].split for i in at],
        strata=[kind if examples[i].stratum is None else examples[i].stratum for i, kind in zip(at, kinds, strict=True)],
        marks=targets.marks(),
        seed=plan.seed,
        fractions=plan.fractions,
    )
    leaks = find_leaks(digests, groups, splits)
    problems += [_leak_problem([examples[at[k]].path for k in leak], [splits[k] for k in leak]) for leak in leaks]
    units = np.empty(len(at), np.int64)
    for number, members in enumerate(connected(digests, groups)):
        units[list(members)] = number
    settled = targets.settled(splits, source=source, known=problems)
    return Dataset(
        source=source,
        task=session.task,
        pictures=tuple(pictures[i] for i in settled.kept),
        targets=settled.targets,
        splits=tuple(splits[i] for i in settled.kept),
        units=units[settled.kept],
        problems=settled.problems,
        values=range_of(p.facts.depth for p, split in zip(pictures, splits, strict=True) if p.facts and split == "train"),
        fixes=listing.fixes,
        licence=listing.licence,
        resize=mode_of(plan.resize),
        keep_damaged=plan.keep_damaged,
        noticed=listing.notices,
    )


def without(dataset: Dataset, broken: Mapping[int, Problem]) -> tuple[Dataset, np.ndarray]:
    """The data set without pictures that could not be decoded, and where its pictures stood before (int64)."""
    keep = _indices([i for i in range(len(dataset.pictures)) if i not in broken])
    left, splits = dataset.targets.take(keep), [dataset.splits[i] for i in keep]
    dataset.targets.require_still_there(left, broken, source=dataset.source)
    settled = left.settled(
        splits,
        source=dataset.source,
        known=(*dataset.problems, *broken.values()),
        before=(dataset.targets, dataset.splits),
    )
    keep = keep[settled.kept]
    return replace(
        dataset,
        pictures=tuple(dataset.pictures[i] for i in keep),
        targets=settled.targets,
        splits=tuple(dataset.splits[i] for i in keep),
        units=dataset.units[keep],
        problems=settled.problems,
    ), keep


def stop_if_any_is_gone(broken: Mapping[int, Problem]) -> None:
    """Raises DataError for pictures that were readable when the run began: their rows would be nothing, silently."""
    if broken:
        first = broken[min(broken)].message
        raise DataError(
            f"{len(broken):,} pictures that were there when the run began cannot be read any more, the first: {first}"
        )


def halves_of_val(dataset: Dataset, *, trains_network: bool) -> tuple[np.ndarray, np.ndarray]:
    """Positions of val that choose, and those that calibrate: (all, none) unless a network is trained and val can be halved.

    Ranked by content inside each kind, so that the halves are alike and adding pictures moves almost none from one to the other. Copies
    and groups go to one half: beside a picture that chose, its copy would calibrate no better than that picture itself.
    """
    val = dataset.positions("val")
    if not trains_network or len(val) < 2 * LEAST_HALF:
        return val, val[:0]
    units: dict[int, list[int]] = defaultdict(list)  # each with the picture in front that it is ranked by
    for i in sorted(val.tolist(), key=lambda i: dataset.pictures[i].digest):
        units[int(dataset.units[i])].append(i)
    halves: tuple[list[int], list[int]] = ([], [])
    kinds = np.array(dataset.targets.kinds(), np.int64)
    for kind in np.unique(kinds[val]):
        ranked = [members for members in units.values() if kinds[members[0]] == kind]
        middle = (sum(map(len, ranked)) + 1) // 2
        before = 0
        for members in ranked:
            halves[before >= middle].extend(members)
            before += len(members)
    if 2 * min(map(len, halves)) < LEAST_HALF:  # one group is most of val
        return val, val[:0]
    choosing, calibrating = (np.array(sorted(half), dtype=np.int64) for half in halves)
    return choosing, calibrating


def conflict_problems(conflicts: Sequence[Sequence[int]], paths: Sequence[str], words: tuple[str, str]) -> list[Problem]:
    """One problem for each group of positions that `find_conflicts` found. ``words``: `Task.target_words`."""
    return [
        Problem(
            path=paths[group[0]],
            kind="conflicting-labels",
            message=f"the same picture stands under different {words[1]}, so all {len(group)} copies are left out: "
            + ", ".join(paths[i] for i in group)
            + f". Keep the one with the right {words[0]}.",
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


def _indices(positions: Sequence[int]) -> Indices:
    return np.array(positions, dtype=np.int64)
