"""The frozen part of every run: pictures → rows of the whole backbone → a head on the best taps, chosen without test.

listing → digests → splits → backbone → engine, proved → rows from the store → taps and penalty on val or by folds
"""

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.backbones.chain import Backbone
from warmstart.backbones.weights import load_backbone
from warmstart.data.views import VIEW_POLICIES
from warmstart.engines.build import Proven
from warmstart.errors import DataError
from warmstart.extraction.features import Extraction, columns, extract
from warmstart.extraction.prefixes import choose_engine, tapped_prefix
from warmstart.heads.selection import Choice, choose_head
from warmstart.records import Listing, Picture, Plan, Preprocessing
from warmstart.store.cache import Store
from warmstart.strategy.taps import candidate_taps
from warmstart.workflows.dataset import Dataset, halves_of_val, prepare, without
from warmstart.workflows.settings import TrainSettings
from warmstart.workflows.watch import Watcher


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A data set seen by a frozen backbone, and the head chosen for it. N pictures, D features over all taps."""

    plan: Plan  # with every 'auto' resolved
    dataset: Dataset
    backbone: Backbone
    preprocessing: Preprocessing
    proven: Proven
    rows: np.ndarray  # float16 or float32 (N, D)
    layout: tuple[tuple[str, int], ...]
    taps: tuple[str, ...]  # what the head reads
    choice: Choice  # with the head fitted on train
    extraction: Extraction
    extract_seconds: float
    fit_seconds: float

    def features(self, positions: np.ndarray) -> np.ndarray:
        """float32 (len(positions), D of the chosen taps)."""
        return columns(self.rows[positions], self.layout, self.taps)


def probe(
    listing: Listing,
    plan: Plan,
    settings: TrainSettings,
    store: Store,
    watcher: Watcher,
    *,
    strata: Mapping[str, Hashable] | None = None,
) -> Probe:
    """Everything up to the choice of taps and penalty. Raises what `train` raises."""
    dataset = prepare(listing, store, plan, watcher, strata=strata)
    backbone = load_backbone(
        plan.backbone, weights=plan.weights, download=settings.download, seed=plan.seed, announce=watcher.say
    )
    cut = backbone.resolve_cut(plan.cut)
    unfreeze = tuple(backbone.resolve_cut(name) for name in plan.unfreeze)
    plan = replace(plan, cut=cut, unfreeze=unfreeze, image_size_px=plan.image_size_px or backbone.spec.input_size_px)
    # A network that is trained learns from one view at a time; what it predicts may be averaged over several.
    seen_plan = replace(plan, views="none") if plan.trains_network else plan
    preprocessing = preprocessing_of(seen_plan)
    # A network that is trained right of the cut is read on both sides of it; another head reads the stage at the cut.
    cold = plan.weights == "random" and cut == "pixels"
    wanted = "pooled" if cold and plan.taps == "auto" else plan.taps  # random features have nothing to choose by
    tap_sets = candidate_taps(wanted, "pooled" if plan.trains_network else cut, backbone.tap_names)

    begin = time.perf_counter()
    proven, extraction = see(dataset.pictures, backbone, seen_plan, store, watcher)
    extract_seconds = time.perf_counter() - begin
    dataset, kept = without(dataset, extraction.broken)
    if settings.strict and dataset.problems:
        raise DataError(f"--strict: {len(dataset.problems)} problems, the first: {dataset.problems[0].message}")

    begin = time.perf_counter()
    rows = extraction.rows[kept]

    def reader(taps: tuple[str, ...]) -> Any:
        return lambda positions: columns(rows[positions], extraction.layout, taps)

    with machine.calm_blas():
        choice = choose_head(
            plan.head,
            {name: reader(taps) for name, taps in tap_sets.items()},
            dataset.labels,
            n_classes=len(dataset.class_names),
            train=dataset.positions("train"),
            val=halves_of_val(dataset, plan)[0],
            class_weight=plan.class_weight,
            seed=plan.seed,
        )
    taps = tap_sets[choice.tap_set]
    return Probe(
        plan=replace(plan, taps=",".join(taps), engine=proven.engine, precision=proven.precision),
        dataset=dataset,
        backbone=backbone,
        preprocessing=preprocessing,
        proven=proven,
        rows=rows,
        layout=extraction.layout,
        taps=taps,
        choice=choice,
        extraction=extraction,
        extract_seconds=extract_seconds,
        fit_seconds=time.perf_counter() - begin,
    )


def see(
    pictures: tuple[Picture, ...], backbone: Backbone, plan: Plan, store: Store, watcher: Watcher
) -> tuple[Proven, Extraction]:
    """All taps of these pictures by the engine that proved itself on them; ``plan`` with its image size resolved."""
    preprocessing = preprocessing_of(plan)
    prefix = tapped_prefix(backbone, preprocessing.size_px)
    graphs = machine.graphs_folder()
    proven = choose_engine(pictures, prefix, preprocessing, engine=plan.engine, precision=plan.precision, graphs=graphs)
    extraction = extract(
        pictures,
        prefix=prefix,
        engine=proven.engine,
        precision=proven.precision,
        preprocessing=preprocessing,
        store=store,
        graphs=graphs,
        on_progress=watcher.progress,
    )
    for note in (*proven.notes, *extraction.notes):
        watcher.say(note)
    return proven, extraction


def preprocessing_of(plan: Plan) -> Preprocessing:
    """How this plan prepares pictures. The plan's image size must be resolved."""
    assert plan.image_size_px is not None
    return Preprocessing(size_px=plan.image_size_px, resize=plan.resize, views=VIEW_POLICIES[plan.views])
