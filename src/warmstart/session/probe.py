"""The frozen part of every run: pictures → rows of the whole backbone → a head on the best taps, chosen without test.

listing → digests → splits → backbone → engine, proved     make_ready: nothing is computed yet, all that follows can be forecast
→ rows from the store                                      extracted
→ taps and penalty on val or by folds                      probed
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import load_backbone
from warmstart.data.views import VIEW_POLICIES
from warmstart.engines.build import Proven
from warmstart.errors import DataError
from warmstart.extraction.features import Extraction, Rows
from warmstart.extraction.prefixes import choose_engine, tapped_prefix
from warmstart.extraction.recipe import Recipe
from warmstart.plan import Plan
from warmstart.records import Listing, Picture, Preprocessing, Problem, ValueRange
from warmstart.session.dataset import Dataset, halves_of_val, prepare, without
from warmstart.session.listed import options_of
from warmstart.session.near_copies import near_copies_together
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.strategy.taps import candidate_taps
from warmstart.task_protocol import Fitting, Learnt, Part


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Everything up to the first picture that is computed."""

    plan: Plan  # cuts by their canonical names, the image size resolved
    listing: Listing  # what the data set was made from: near copies may ask for another split
    dataset: Dataset
    backbone: Backbone
    recipe: Recipe  # of its taps
    proven: Proven  # the engine for it

    @property
    def tap_sets(self) -> dict[str, tuple[str, ...]]:
        """Name → taps: the sets that the head is chosen among."""
        return _tap_sets(self.plan, self.backbone)


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """Rows of every picture that could be decoded. N pictures, D features over all taps."""

    dataset: Dataset  # without the others
    rows: np.ndarray  # float16 or float32 (N, D)
    extraction: Extraction
    seconds: float

    def part(self, positions: np.ndarray) -> Part[Any]:
        """These pictures, to be learnt from."""
        return _part(self.dataset, self.rows, self.extraction.layout, positions)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A data set seen by a frozen backbone, and what was fitted on it. N pictures, D features over all taps."""

    plan: Plan  # with every 'auto' resolved
    dataset: Dataset
    backbone: Backbone
    recipe: Recipe  # of ``rows``
    proven: Proven
    rows: np.ndarray  # float16 or float32 (N, D)
    layout: tuple[tuple[str, int], ...]
    taps: tuple[str, ...]  # what the head reads
    choosing: np.ndarray  # positions of val that choices are made on, and
    calibrating: np.ndarray  # those kept apart to calibrate a trained network: often none
    learnt: Learnt[Any]  # from train
    fitting: Fitting
    extraction: Extraction
    extract_seconds: float
    fit_seconds: float

    def rows_at(self, positions: np.ndarray) -> Rows:
        """Of these pictures."""
        return Rows(values=self.rows[positions], layout=self.layout)

    def part(self, positions: np.ndarray) -> Part[Any]:
        """These pictures, to be learnt from."""
        return _part(self.dataset, self.rows, self.layout, positions)


def probe(listing: Listing, plan: Plan, session: Session) -> Probe:
    """All three steps. Raises what `train` raises."""
    ready = make_ready(listing, prepare(listing, plan, session), plan, session)
    return probed(ready, extracted(ready, session))


def make_ready(listing: Listing, dataset: Dataset, plan: Plan, session: Session) -> Ready:
    """Load the backbone, resolve what the plan leaves to it, and let an engine prove itself."""
    backbone = loaded(plan, session)
    plan = replace(
        plan,
        cut=backbone.resolve_cut(plan.cut),
        unfreeze=tuple(backbone.resolve_cut(name) for name in plan.unfreeze),
        image_size_px=plan.image_size_px or backbone.spec.input_size_px,
    )
    _tap_sets(plan, backbone)  # wrong names are told before any work
    session.task.check(plan, dataset.targets, dataset.source)
    recipe, proven = prove(dataset.pictures, backbone, preprocessing_of(plan, dataset.values), plan, session)
    if plan.trains_network:  # it learns from one view at a time, even if it predicts over several
        recipe = recipe.in_views(VIEW_POLICIES["none"])
    return Ready(plan=plan, listing=listing, dataset=dataset, backbone=backbone, recipe=recipe, proven=proven)


def extracted(ready: Ready, session: Session) -> Extracted:
    """All taps of every picture, from the store where they are. Raises DataError for a problem under ``strict``, StoreError."""
    begin = time.perf_counter()
    dataset = ready.dataset
    extraction = rows_of(dataset.pictures, ready.recipe, ready.proven, session)
    together = near_copies_together(ready.listing, dataset, extraction, session)
    if together is not None:
        split_anew = prepare(together.listing, ready.plan, session)
        if [p.digest for p in split_anew.pictures] != [p.digest for p in dataset.pictures]:
            raise DataError(f"{dataset.source}: pictures were changed, added or removed while they were being read. Run again.")
        # The range of values stays: rows were computed by it.
        dataset = replace(split_anew, kept_together=together.pictures, values=dataset.values)
    dataset, kept = readable(dataset.with_losses(extraction.losses), extraction.broken, session.settings)
    return Extracted(dataset=dataset, rows=extraction.rows[kept], extraction=extraction, seconds=time.perf_counter() - begin)


def readable(dataset: Dataset, broken: Mapping[int, Problem], settings: TrainSettings) -> tuple[Dataset, np.ndarray]:
    """See `without`. Raises DataError for a problem under ``strict``."""
    dataset, kept = without(dataset, broken)
    if settings.strict and dataset.problems:
        raise DataError(f"--strict: {len(dataset.problems)} problems, the first: {dataset.problems[0].message}")
    return dataset, kept


def probed(ready: Ready, seen: Extracted, *, may_be_trained: bool = False) -> Probe:
    """The head on the taps and with the penalty that do best on held-out pictures, never on test.

    ``may_be_trained``: a network may be trained from here although the plan does not say so, so a half of val is kept apart.
    """
    plan, dataset, proven = ready.plan, seen.dataset, ready.proven
    fitting = Fitting(plan=plan, tap_sets=ready.tap_sets, seed=plan.seed, options=options_of(dataset.task, plan))
    choosing, calibrating = halves_of_val(dataset, trains_network=may_be_trained or plan.trains_network)
    begin = time.perf_counter()
    with machine.calm_blas():
        learnt = dataset.task.fit(seen.part(dataset.positions("train")), seen.part(choosing), fitting)
    taps = fitting.tap_sets[learnt.tap_set]
    return Probe(
        plan=replace(plan, taps=",".join(taps), engine=proven.engine, precision=proven.precision),
        dataset=dataset,
        backbone=ready.backbone,
        recipe=ready.recipe,
        proven=proven,
        rows=seen.rows,
        layout=seen.extraction.layout,
        taps=taps,
        choosing=choosing,
        calibrating=calibrating,
        learnt=learnt,
        fitting=fitting,
        extraction=seen.extraction,
        extract_seconds=seen.seconds,
        fit_seconds=time.perf_counter() - begin,
    )


def loaded(plan: Plan, session: Session) -> Backbone:
    """The backbone of the plan. Raises BackboneError, UnknownNameError."""
    return load_backbone(
        plan.backbone, weights=plan.weights, download=session.settings.download, seed=plan.seed, announce=session.watcher.say
    )


def prove(
    pictures: Sequence[Picture], backbone: Backbone, preprocessing: Preprocessing, plan: Plan, session: Session
) -> tuple[Recipe, Proven]:
    """The recipe of the whole backbone's taps by the fastest engine that proves itself on some of these pictures, and its proof."""
    prefix = tapped_prefix(backbone, preprocessing.size_px)
    proven = choose_engine(
        pictures, prefix, preprocessing, engine=plan.engine, precision=plan.precision, graphs=session.workspace.graphs
    )
    return Recipe.of(prefix, preprocessing, proven), proven


def rows_of(pictures: Sequence[Picture], recipe: Recipe, proven: Proven, session: Session) -> Extraction:
    """All taps of these pictures, averaged over the recipe's views; what engine and store have to say of it is said."""
    extraction = session.reader(recipe).rows(pictures)
    for note in (*proven.notes, *extraction.notes):
        session.watcher.say(note)
    return extraction


def preprocessing_of(plan: Plan, values: ValueRange) -> Preprocessing:
    """How this plan prepares the pictures of a data set with this range of values. The plan's image size must be resolved."""
    assert plan.image_size_px is not None
    return Preprocessing(
        size_px=plan.image_size_px,
        resize=plan.resize,
        views=VIEW_POLICIES[plan.views],
        values=values,
        keep_damaged=plan.keep_damaged,
    )


def is_cold(plan: Plan) -> bool:
    """Whether the whole network starts from random weights."""
    return plan.weights == "random" and plan.cut == "pixels"


def _tap_sets(plan: Plan, backbone: Backbone) -> dict[str, tuple[str, ...]]:
    wanted = "pooled" if is_cold(plan) and plan.taps == "auto" else plan.taps  # random features have nothing to choose by
    # A network that is trained right of the cut is read on both sides of it; another head reads the stage at the cut.
    return candidate_taps(wanted, "pooled" if plan.trains_network else plan.cut, backbone.tap_names)


def _part(dataset: Dataset, rows: np.ndarray, layout: tuple[tuple[str, int], ...], positions: np.ndarray) -> Part[Any]:
    return Part(
        targets=dataset.targets.take(positions),
        units=dataset.units[positions],
        read=lambda at: Rows(values=rows[positions[at]], layout=layout),
    )
