"""The frozen part of every run: pictures → rows of the whole backbone → a head on the best taps, chosen without test.

listing → digests → splits → backbone → engine, proved     make_ready: nothing is computed yet, all that follows can be forecast;
  → [ways to show elongated pictures, held against each other: `session.resize`]     but for a draw, where that is left open
→ rows from the store                                      extracted
→ taps and penalty on val or by folds                      probed
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import load_backbone
from warmstart.data.views import AUTO, VIEW_POLICIES, mode_of
from warmstart.engines.build import Proven
from warmstart.errors import DataError, UsageError
from warmstart.extraction.features import Extraction
from warmstart.extraction.prefixes import choose_engine, maps_prefix, tapped_prefix
from warmstart.extraction.recipe import Recipe
from warmstart.plan import GIVEN, HEAD_WAS_GIVEN, MODULE, NOTHING_TRAINED, Plan
from warmstart.records import Listing, Picture, Preprocessing, Problem, ValueRange
from warmstart.session.dataset import Dataset, halves_of_val, prepare, without
from warmstart.session.listed import options_of
from warmstart.session.module_training import ModuleTraining
from warmstart.session.near_copies import near_copies_together
from warmstart.session.resize import compared
from warmstart.session.run_state import Extracted, Probe, Ready
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.strategy.taps import candidate_taps
from warmstart.task_protocol import Fitting, Inputs


def probe(listing: Listing, plan: Plan, session: Session, folder: Path | None = None) -> Probe:
    """All three steps. Raises what `train` raises."""
    ready = make_ready(listing, prepare(listing, plan, session), plan, session)
    return probed(extracted(ready, session), session, folder)


def make_ready(listing: Listing, dataset: Dataset, plan: Plan, session: Session) -> Ready:
    """Load the backbone, resolve what the plan leaves to it, and let an engine prove itself."""
    backbone, left_open = loaded(plan, session), plan.resize == AUTO
    plan = replace(
        plan,
        resize=mode_of(plan.resize),
        cut=backbone.resolve_cut(plan.cut),
        unfreeze=tuple(backbone.resolve_cut(name) for name in plan.unfreeze),
        image_size_px=plan.image_size_px or backbone.spec.input_size_px,
    )
    _tap_sets(plan, backbone)  # wrong names are told before any work
    inputs = session.task.inputs(plan, [cut for cut in backbone.cuts if cut not in ("pixels", "pooled")])
    session.task.check(plan, dataset.targets, dataset.source)
    if plan.augment != "none" and not plan.trains_network and not session.task.trains_in_fit:
        raise UsageError(NOTHING_TRAINED)
    if inputs.maps and plan.trains_network:
        raise UsageError(
            f"--cut {plan.cut} trains the network, and the task {session.task.name} reads maps of the frozen one. Leave --cut out, or give "
            "--cut pooled"
        )
    tap_sets = {"maps": inputs.maps} if inputs.maps else _tap_sets(plan, backbone)
    if plan.head == MODULE:
        tap_sets = _fitting(tap_sets, backbone, plan, dataset, session)
    recipe, proven = _proven(dataset, backbone, plan, session, inputs)
    ready = Ready(
        plan=plan,
        listing=listing,
        dataset=dataset,
        backbone=backbone,
        inputs=inputs,
        tap_sets=tap_sets,
        recipe=recipe,
        proven=proven,
    )
    return _shown_best(ready, session) if left_open else ready


def _shown_best(ready: Ready, session: Session) -> Ready:
    """The same, in the mode of `session.resize`, where the centre crop shows little."""
    choice = compared(ready, session)
    if choice is None:
        return ready
    session.watcher.say(choice.in_words())
    plan, dataset = replace(ready.plan, resize=choice.mode), replace(ready.dataset, resize=choice.mode, choice=choice)
    if plan == ready.plan:
        return replace(ready, dataset=dataset)
    recipe, proven = _proven(dataset, ready.backbone, plan, session, ready.inputs)
    return replace(ready, plan=plan, dataset=dataset, recipe=recipe, proven=proven)


def extracted(ready: Ready, session: Session) -> Extracted:
    """All taps of every picture, from the store where they are. Raises DataError for a problem under ``strict``, StoreError."""
    begin = time.perf_counter()
    dataset = ready.dataset
    choice = dataset.choice
    extraction = rows_of(dataset.pictures, ready.recipe, ready.proven, session, apart=ready.views_apart)
    together = None if ready.views_apart else near_copies_together(ready.listing, dataset, extraction, session)
    if together is not None:
        split_anew = prepare(together.listing, ready.plan, session)
        if [p.digest for p in split_anew.pictures] != [p.digest for p in dataset.pictures]:
            raise DataError(f"{dataset.source}: pictures were changed, added or removed while they were being read. Run again.")
        # The range of values stays: rows were computed by it.
        dataset = replace(split_anew, kept_together=together.pictures, values=dataset.values, choice=choice)
        if choice is not None:  # what was train may be test now, and what was compared may have been copies
            again = _shown_best(replace(ready, dataset=dataset), session)
            if again.plan != ready.plan:
                extraction = rows_of(dataset.pictures, again.recipe, again.proven, session)
            ready, dataset = again, again.dataset
    dataset, kept = readable(dataset.with_losses(extraction.losses), extraction.broken, session.settings)
    return Extracted.of(
        ready,
        dataset=dataset,
        rows=extraction.rows[kept],
        extraction=extraction,
        extract_seconds=time.perf_counter() - begin,
    )


def readable(dataset: Dataset, broken: Mapping[int, Problem], settings: TrainSettings) -> tuple[Dataset, np.ndarray]:
    """See `without`. Raises DataError for a problem under ``strict``."""
    dataset, kept = without(dataset, broken)
    if settings.strict and dataset.problems:
        raise DataError(f"--strict: {len(dataset.problems)} problems, the first: {dataset.problems[0].message}")
    return dataset, kept


def probed(seen: Extracted, session: Session, folder: Path | None = None, *, may_be_trained: bool = False) -> Probe:
    """The head on the taps and with the penalty that do best on held-out pictures, never on test.

    ``folder``: of the run, for a task whose fit trains. ``may_be_trained``: a network may be trained from here although the plan does not
    say so, so a half of val is kept apart.
    """
    plan, dataset, proven = seen.plan, seen.dataset, seen.proven
    training = ModuleTraining(seen=seen, session=session, folder=folder) if folder else None
    fitting = Fitting(
        plan=plan,
        tap_sets=seen.tap_sets,
        seed=plan.seed,
        options=options_of(dataset.task, plan),
        head=session.own.head,
        train=training,
    )
    choosing, calibrating = halves_of_val(dataset, trains_network=may_be_trained or plan.trains_network)
    begin = time.perf_counter()
    with machine.calm_blas():
        learnt = dataset.task.fit(seen.part(dataset.positions("train")), seen.part(choosing), fitting)
    taps = fitting.tap_sets[learnt.tap_set]
    return Probe.of(
        seen,
        plan=replace(plan, taps=",".join(taps), engine=proven.engine, precision=proven.precision),
        taps=taps,
        choosing=choosing,
        calibrating=calibrating,
        learnt=learnt,
        fitting=fitting,
        fit_seconds=time.perf_counter() - begin,
        loop=training.runs[-1] if training and training.runs else None,
    )


def own_size_px(plan: Plan, session: Session) -> int:
    """The side of the input that the plan's backbone was made for. No network is built."""
    own = session.own.backbone
    return (own.spec if own is not None and own.spec.name == plan.backbone else find(plan.backbone)).input_size_px


def loaded(plan: Plan, session: Session) -> Backbone:
    """The backbone of the plan, which may have been given. Raises BackboneError, UnknownNameError."""
    if session.own.backbone is not None and session.own.backbone.spec.name == plan.backbone:
        return session.own.backbone
    if plan.weights == GIVEN:
        raise UsageError(
            "the plan says that its network was handed over (weights 'given'): give it again, in Python, as backbone=…"
        )
    return load_backbone(
        plan.backbone, weights=plan.weights, download=session.settings.download, seed=plan.seed, announce=session.watcher.say
    )


def prove(
    pictures: Sequence[Picture],
    backbone: Backbone,
    preprocessing: Preprocessing,
    plan: Plan,
    session: Session,
    inputs: Inputs | None = None,
) -> tuple[Recipe, Proven]:
    """The recipe of the whole backbone's taps, or of the maps of ``inputs``, by the fastest engine that proves itself on some of these
    pictures, and its proof.
    """
    maps = inputs.maps if inputs else ()
    prefix = maps_prefix(backbone, (), maps, preprocessing.size_px) if maps else tapped_prefix(backbone, preprocessing.size_px)
    proven = choose_engine(
        pictures, prefix, preprocessing, engine=plan.engine, precision=plan.precision, graphs=session.workspace.graphs
    )
    return Recipe.of(prefix, preprocessing, proven), proven


def _proven(dataset: Dataset, backbone: Backbone, plan: Plan, session: Session, inputs: Inputs) -> tuple[Recipe, Proven]:
    recipe, proven = prove(dataset.pictures, backbone, preprocessing_of(plan, dataset.values), plan, session, inputs)
    if plan.trains_network:  # it learns from one view at a time, even if it predicts over several
        recipe = recipe.in_views(VIEW_POLICIES["none"])
    return recipe, proven


def rows_of(
    pictures: Sequence[Picture], recipe: Recipe, proven: Proven, session: Session, *, apart: bool = False
) -> Extraction:
    """What the recipe makes of these pictures, averaged over its views or with the views apart; engine and store have their say."""
    extraction = session.reader(recipe).rows(pictures, apart=apart)
    for note in (*proven.notes, *extraction.notes):
        session.watcher.say(note)
    return extraction


def preprocessing_of(plan: Plan, values: ValueRange) -> Preprocessing:
    """How this plan prepares the pictures of a data set with this range of values. Its image size must be resolved; a resize that is left
    open is the centre crop.
    """
    assert plan.image_size_px is not None
    return Preprocessing(
        size_px=plan.image_size_px,
        resize=mode_of(plan.resize),
        views=VIEW_POLICIES[plan.views],
        values=values,
        keep_damaged=plan.keep_damaged,
    )


def is_cold(plan: Plan) -> bool:
    """Whether the whole network starts from random weights."""
    return plan.weights == "random" and plan.cut == "pixels"


def _fitting(
    tap_sets: Mapping[str, tuple[str, ...]], backbone: Backbone, plan: Plan, dataset: Dataset, session: Session
) -> dict[str, tuple[str, ...]]:
    """The set that a module of the user's reads. Raises UsageError, before anything is computed, where it reads none or cannot be kept."""
    from warmstart.training.own_head import fitting_taps

    tunable = session.task.tunable
    if session.own.head is None:
        raise UsageError(HEAD_WAS_GIVEN)
    if tunable is None:
        raise UsageError(f"the task {session.task.name} takes no nn.Module as head: leave head out")
    width_of = dict(backbone.tap_layout())
    widths = {name: sum(width_of[tap] for tap in taps) for name, taps in tap_sets.items()}
    name = fitting_taps(session.own.head, widths, tunable.n_outputs(dataset.targets))
    return {name: tap_sets[name]}


def _tap_sets(plan: Plan, backbone: Backbone) -> dict[str, tuple[str, ...]]:
    wanted = "pooled" if is_cold(plan) and plan.taps == "auto" else plan.taps  # random features have nothing to choose by
    # A network that is trained right of the cut is read on both sides of it; another head reads the stage at the cut.
    sets = candidate_taps(wanted, "pooled" if plan.trains_network else plan.cut, backbone.tap_names)
    if not plan.trains_network or wanted != "auto":
        return sets
    # What lies left of the cut leaves nothing to train: a head that reads nothing else is none to choose.
    cuts = backbone.cuts
    cut = cuts.index(backbone.resolve_cut(plan.cut))
    return {name: taps for name, taps in sets.items() if any(tap not in cuts or cuts.index(tap) > cut for tap in taps)}
