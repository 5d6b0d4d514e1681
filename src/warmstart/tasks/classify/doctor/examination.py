"""doctor: what is wrong with a data set, told from what is stored of it.

    listing → digests → rows of every picture → neighbours → copies → labels, outliers → sizes, colours, classes

Labels of every split are looked at, test's too, because any of them may be wrong; no score of a model comes of it.

N pictures, K classes.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart import machine
from warmstart.data.class_names import alike_names
from warmstart.data.depth import range_of
from warmstart.data.listing import read_listing
from warmstart.data.views import mode_of, needed_shorter_side_px
from warmstart.errors import DataError
from warmstart.extraction.features import columns
from warmstart.extraction.scanning import scan_given
from warmstart.inspection.findings import KINDS, Finding, Kind
from warmstart.inspection.image_stats import image_stats, pixels_of
from warmstart.inspection.near_copies import NearCopies, find_near_copies
from warmstart.inspection.neighbours import directions, nearest, standardised
from warmstart.inspection.outliers import K
from warmstart.plan import Plan
from warmstart.records import Example, Listing, Notice, Problem
from warmstart.report.cards import WORST, card, counts_grid, picture_cells
from warmstart.session.probe import loaded, preprocessing_of, prove, rows_of
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.session.what_is_lost import Seen as SeenShare
from warmstart.session.what_is_lost import notices, seen_of
from warmstart.strategy.taps import tap_sets
from warmstart.tasks.classify.doctor import findings
from warmstart.tasks.classify.doctor.findings import Seen
from warmstart.tasks.classify.doctor.fixes import write_fix_list
from warmstart.tasks.classify.doctor.label_errors import FEWEST, LabelErrors, label_errors
from warmstart.tasks.classify.task import TASK


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found, in the order of `inspection.findings.KINDS`, the worst of each kind first."""

    source: str
    images: int  # readable ones
    classes: Mapping[str, int]
    findings: tuple[Finding, ...]
    pictures: Mapping[str, tuple[str, str | None]]  # path of every finding → its class and given split
    labels: Mapping[str, Any] | None  # what is known of the labels as a whole; None where they could not be judged
    notes: tuple[str, ...]  # what could not be judged, and why
    seen: SeenShare  # which share of them the network sees
    notices: tuple[Notice, ...]  # what is lost on the way into it
    seconds: Mapping[str, float]
    examples: tuple[Example, ...] = field(repr=False)  # the readable ones, in the order of ``judged``
    judged: LabelErrors | None = field(repr=False)

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """The findings of a kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def counts(self) -> dict[Kind, int]:
        """Findings by kind, of the kinds that were found."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def _repr_html_(self) -> str:
        """What a notebook shows: how much of each kind was found, and the worst of it."""
        source_of = {example.path: example.source for example in self.examples}
        worst = [(finding.paths[0], f"{finding.kind}: {finding.detail}") for finding in self.findings if finding.paths]
        return card(
            Path(self.source).name,
            kind=f"diagnosis · {self.images:,} pictures, {len(self.classes)} classes",
            sentences=[
                *(notice.message for notice in self.notices),
                *self.notes,
                "" if self.findings else "Nothing was found.",
            ],
            grids=[counts_grid("found", self.counts()), counts_grid("class", self.classes)],
            pictures=picture_cells([(source_of.get(path, path), words) for path, words in worst[:WORST]]),
            pictures_heading="The first of what was found",
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "source": self.source,
            "images": self.images,
            "classes": dict(self.classes),
            "counts": self.counts(),
            "findings": [finding.to_dict() for finding in self.findings],
            "labels": self.labels,
            "notes": list(self.notes),
            "seen": self.seen.to_dict(),
            "notices": [notice.to_dict() for notice in self.notices],
            "seconds": dict(self.seconds),
        }


def doctor(
    data: Any, plan: Plan | None = None, settings: TrainSettings | None = None, *, watcher: Watcher | None = None
) -> Diagnosis:
    """Look for what is wrong with a folder, manifest, list, data frame or listing. ``plan`` says which backbone looks, at which size;
    where it leaves resize open, by the centre crop.

    Raises DataError where there is no picture to look at.
    """
    plan, settings, watcher = plan or Plan(), settings or TrainSettings(), watcher or NullProgress()
    clock = _Clock()
    listing = data
    if not isinstance(data, Listing):
        listing = read_listing(data, exclude=settings.exclude, min_classes=1, nested=plan.nested)
    with clock.phase("extract"), Session.opened(settings, TASK, watcher) as session:
        seen, problems, share, noticed = _see(listing.examples, listing.class_names, plan, session)
    with clock.phase("look"):
        looks = image_stats([seen.examples[i].source for i in seen.unique], on_progress=watcher.progress)
    with clock.phase("compare"), machine.calm_blas():
        textures = nearest(standardised(seen.features["middle"](seen.unique)), K)
        content = nearest(directions(standardised(seen.features["pooled"](seen.unique))), K)
        near = find_near_copies(textures, lambda positions: np.stack([pixels_of(looks[i]) for i in positions]))
    copy_of = copies_of(seen, near)
    with clock.phase("labels"), machine.calm_blas():
        judged, why_not = judged_labels(seen, copy_of, plan.seed)
    notes = [why_not] if why_not else []
    notes += [problem.message for problem in listing.problems if problem.kind not in findings.BROKEN]
    notes += [
        f"{len(group)} pictures agree with one another as closely as copies do, {seen.examples[seen.unique[group[0]]].path} among them; "
        "these are alike, and whether they are copies cannot be told"
        for group in near.alike
    ]
    found = (
        *findings.broken((*listing.problems, *problems)),
        *findings.exact_copies(seen),
        *findings.near_copies(seen, near, looks),
        *(findings.doubtful_labels(seen, judged) if judged else ()),
        *findings.outliers(seen, textures, content),
        *findings.odd_pictures(seen, looks),
        *findings.odd_classes(seen),
    )
    class_of = {e.path: (e.class_name, e.split) for e in listing.examples}
    return Diagnosis(
        source=listing.source,
        images=len(seen.examples),
        classes={name: int(np.sum(seen.labels == i)) for i, name in enumerate(seen.class_names)},
        findings=found,
        pictures={path: class_of.get(path, ("", None)) for finding in found for path in finding.paths},
        labels=_about_labels(judged) if judged else None,
        notes=tuple(notes),
        seen=share,
        notices=(*noticed, *listing.notices),
        seconds=clock.seconds(),
        examples=seen.examples,
        judged=judged,
    )


def write(diagnosis: Diagnosis, *, fix_list: Path | None, page: Path | None, watcher: Watcher, force: bool = False) -> None:
    """The page and the list of fixes, where wanted; ``force``: also over a list that was edited. Raises what writing them raises."""
    if page:
        from warmstart.tasks.classify.report.doctor_page import write_page

        size = write_page(page, diagnosis.to_dict(), diagnosis.findings, diagnosis.pictures, on_progress=watcher.progress)
        watcher.say(f"{page} written ({size / 1e6:.1f} MB)")
    if fix_list:  # the last, because a list that was edited is refused
        rows = write_fix_list(fix_list, diagnosis.findings, diagnosis.pictures, force=force)
        watcher.say(f"{rows:,} rows written to {fix_list}: edit the column action, then warmstart train … --fixes {fix_list}")


def _see(
    examples: Sequence[Example],
    class_names: tuple[str, ...],
    plan: Plan,
    session: Session,
) -> tuple[Seen, list[Problem], SeenShare, tuple[Notice, ...]]:
    found = scan_given([(e.path, e.content) for e in examples], session.workspace.store, on_progress=session.watcher.progress)
    problems = list(found.problems)
    there = [(e, p) for e, p in zip(examples, found.pictures, strict=True) if p is not None]
    backbone = loaded(plan, session)
    plan = replace(plan, image_size_px=plan.image_size_px or backbone.spec.input_size_px)
    assert plan.image_size_px is not None
    pictures = tuple(picture for _, picture in there)
    if not pictures:
        raise DataError(f"none of {len(examples)} pictures can be read. {problems[0].message}")
    values = range_of(picture.facts.depth for picture in pictures if picture.facts)
    recipe, proven = prove(pictures, backbone, preprocessing_of(plan, values), plan, session)
    extraction = rows_of(pictures, recipe, proven, session)
    problems += extraction.broken.values()
    good = np.array([i for i in range(len(there)) if i not in extraction.broken], np.int64)
    if not len(good):
        raise DataError(f"none of {len(examples)} pictures can be decoded. {problems[0].message}")
    rows, layout = extraction.rows[good], extraction.layout
    sets = tap_sets(backbone.tap_names)
    everything = tuple(name for name, _ in layout)

    def reader(taps: tuple[str, ...]) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
        return lambda positions: columns(rows[positions], layout, taps)

    first: dict[bytes, int] = {}
    seen = Seen(
        examples=tuple(there[i][0] for i in good),
        class_names=class_names,
        labels=np.array([class_names.index(there[i][0].class_name) for i in good], np.int64),
        original=np.array([first.setdefault(there[i][1].digest, n) for n, i in enumerate(good)], np.int64),
        features={name: reader(sets.get(name, everything)) for name in ("all", "middle", "pooled")},
        needed_px=needed_shorter_side_px(plan.image_size_px, mode_of(plan.resize)),
    )
    usable = [pictures[i] for i in good]
    losses = {pictures[i].digest: loss for i, loss in extraction.losses.items()}
    lost = notices(usable, resize=plan.resize, values=values, losses=losses, keep_damaged=plan.keep_damaged)
    noticed = (*lost, *alike_names(class_names))
    return seen, problems, seen_of(usable, plan.resize), noticed


def copies_of(seen: Seen, near: NearCopies) -> NDArray[np.int64]:
    """(N,): where the first picture of each one's group of copies stands, exact and near."""
    group_of = np.arange(len(seen.unique))
    for group in near.groups:
        group_of[list(group)] = group[0]
    place = np.full(len(seen.examples), -1, np.int64)
    place[seen.unique] = np.arange(len(seen.unique))
    return seen.unique[group_of[place[seen.original]]]


def judged_labels(
    seen: Seen, copy_of: NDArray[np.int64], seed: int, *, sets: Sequence[str] = ("all", "middle")
) -> tuple[LabelErrors | None, str]:
    """What is known of the labels, from these sets of taps; or None and why nothing is."""
    counts = np.bincount(seen.labels[np.unique(copy_of)], minlength=len(seen.class_names))
    if np.count_nonzero(counts >= FEWEST) < 2:
        return None, f"labels are not judged: that takes at least two classes with {FEWEST} different pictures each"
    every = np.arange(len(seen.labels))
    return label_errors(
        [seen.features[name](every) for name in sets],
        seen.labels,
        n_classes=len(seen.class_names),
        seed=seed,
        same_as=copy_of,
    ), ""


def _about_labels(judged: LabelErrors) -> dict[str, Any]:
    return {
        "accuracy": judged.accuracy,
        "log_loss": {"probe": judged.log_loss[0], "used": judged.log_loss[1]},
        "stacked": judged.stacked,
        "confident_errors": int(judged.suspect.sum()),
    }


class _Clock:
    """Seconds by phase, and in all."""

    def __init__(self) -> None:
        self._begin, self._phases = time.perf_counter(), dict[str, float]()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self._phases[name] = time.perf_counter() - begin

    def seconds(self) -> dict[str, float]:
        return {"total": time.perf_counter() - self._begin, **self._phases}
