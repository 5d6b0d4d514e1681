"""advise: measure how much data there is and how much of the source it uses, then say where to cut, why, and how long it takes.

    listing → digests → splits → size of the input → taps of every picture, once → evidence on train → advice → speed → forecast

Every tap that is computed here is in the store when the plan is run. Of test, no label is looked at.
"""

import resource
import sys
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.backbones.describe import describe
from warmstart.backbones.weights import load_backbone
from warmstart.data.listing import read_listing
from warmstart.engines.build import Proven, open_engine
from warmstart.errors import DataError, PictureError, UsageError
from warmstart.extraction.features import extract
from warmstart.extraction.prefixes import tapped_prefix
from warmstart.extraction.rendering import render
from warmstart.inspection.evidence import Evidence, Seen, gather
from warmstart.inspection.pictures import picture_signs
from warmstart.inspection.speed import decoding_per_second, engine_per_second, measure
from warmstart.records import Listing, Picture, Plan, to_json
from warmstart.store.cache import Store
from warmstart.strategy.advice import DEFAULT_BUDGET_S, Advice, first_that_fits, input_size
from warmstart.strategy.advice import advise as advised
from warmstart.strategy.forecast import Forecast, Speed, Work, forecast
from warmstart.workflows.backbone_competition import RANDOM, Competition, competition
from warmstart.workflows.dataset import Dataset, prepare, without
from warmstart.workflows.probe import preprocessing_of, see
from warmstart.workflows.settings import TrainSettings
from warmstart.workflows.watch import Nobody, Watcher

MEASURED_PICTURES = 24
OPEN_S = 6.0  # converting and proving a prefix on an idle machine of two cores; used where everything was there already


@dataclass(frozen=True, kw_only=True)
class Advised:
    """The evidence, apart from the advice made of it, and what each plan would take."""

    data: Mapping[str, Any]
    evidence: Evidence
    advice: Advice
    plan: Plan  # the boldest whose forecast fits ``budget_s``
    budget_s: float
    speed: Speed
    forecasts: tuple[Forecast, ...]  # of advice.plans, in their order
    competition: Competition | None
    seconds: Mapping[str, float]

    @property
    def chosen(self) -> int:
        """Which of the plans is recommended."""
        return self.advice.plans.index(self.plan)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "data": dict(self.data),
            "evidence": self.evidence.to_dict(),
            "advice": self.advice.to_dict(),
            "plan": self.plan.to_dict(),
            "budget_s": self.budget_s,
            "forecast": self.forecasts[self.chosen].to_dict(),
            "forecasts": [f.to_dict() for f in self.forecasts],
            "speed": self.speed.to_dict(),
            "backbones": self.competition.to_dict() if self.competition else None,
            "seconds": dict(self.seconds),
            "machine": machine.describe(),
        }


def advise(
    data: Any,
    plan: Plan | None = None,
    settings: TrainSettings | None = None,
    *,
    backbones: Sequence[str] = (),
    plan_out: Path | None = None,
    watcher: Watcher | None = None,
    strata: Mapping[str, Hashable] | None = None,
) -> Advised:
    """Advice for a folder, manifest, list of (path, label) or DataFrame.

    ``plan`` gives what is not to be decided: backbone (unless ``backbones`` are to compete), weights, resize, splits, seed, and the
    image size if it has one. ``settings.budget_s`` is the time that the run may take; without one, `DEFAULT_BUDGET_S`.
    Raises DataError, UsageError, BackboneError or StoreError, each saying what to do.
    """
    plan, settings, watcher = plan or Plan(), settings or TrainSettings(), watcher or Nobody()
    begin, start_s = time.perf_counter(), machine.process_seconds()
    for name in (plan.backbone, *backbones):
        find(name.removesuffix(RANDOM))
    _check_writable(plan_out)
    listing = data if isinstance(data, Listing) else read_listing(data, exclude=settings.exclude)
    with Store(machine.store_folder(), settings.store_bytes) as store:
        dataset = prepare(listing, store, plan, watcher, strata=strata)
        contest = competition(backbones, dataset, plan, settings, store, watcher) if backbones else None
        if contest and contest.places:
            plan = replace(plan, backbone=contest.recommended)
        load_begin = time.perf_counter()
        backbone = load_backbone(
            plan.backbone, weights=plan.weights, download=settings.download, seed=plan.seed, announce=watcher.say
        )
        load_s = time.perf_counter() - load_begin
        plan = replace(plan, image_size_px=plan.image_size_px or _input_size(dataset, backbone, plan), views="none")

        extract_begin = time.perf_counter()
        proven, extraction = see(dataset.pictures, backbone, plan, store, watcher)
        extract_s = time.perf_counter() - extract_begin
        dataset, kept = without(dataset, extraction.broken)
        if settings.strict and dataset.problems:
            raise DataError(f"--strict: {len(dataset.problems)} problems, the first: {dataset.problems[0].message}")

        probe_begin = time.perf_counter()
        train = dataset.positions("train")
        seen = Seen(
            backbone=backbone,
            pretrained=plan.weights == "default",
            preprocessing=preprocessing_of(plan),
            pictures=tuple(dataset.pictures[i] for i in train),
            labels=dataset.labels[train],
            class_names=dataset.class_names,
            rows=extraction.rows[kept[train]],
            layout=extraction.layout,
        )

        def rows_of(pictures: Sequence[Picture], view: str) -> np.ndarray:
            return _rows_in_view(pictures, view, backbone, plan, proven, store)

        steps = _Steps(watcher)
        with machine.calm_blas():
            evidence = gather(seen, rows_of, seed=plan.seed, on_progress=steps.progress)
    probe_s = time.perf_counter() - probe_begin
    advice = advised(evidence.measured(backbone.cuts[1:-1]), plan)

    measure_begin = time.perf_counter()
    watcher.say("measuring how fast this machine decodes, extracts and trains")
    speed = _measure(seen, plan, proven, [p.cut for p in advice.plans if p.trains_network])
    work = _work(
        dataset,
        backbone,
        plan,
        extraction.layout,
        start_s=start_s + load_s,
        # What a run's choice of taps does, on a sample: the time of both grows with the number of pictures.
        fit_s=steps.between(1, 2) * evidence.train_images / evidence.probed_images,
    )
    forecasts = tuple(forecast(candidate, speed, work, stored=True) for candidate in advice.plans)
    budget_s = settings.budget_s or DEFAULT_BUDGET_S
    chosen = advice.plans[first_that_fits([f.longest_s for f in forecasts], budget_s)]
    if plan_out is not None:
        plan_out.write_text(to_json(chosen.to_dict()), "utf-8")
    return Advised(
        data=dataset.summary(),
        evidence=evidence,
        advice=advice,
        plan=chosen,
        budget_s=budget_s,
        speed=speed,
        forecasts=forecasts,
        competition=contest,
        seconds={
            "extract": extract_s,
            "probe": probe_s,
            "measure": time.perf_counter() - measure_begin,
            "total": time.perf_counter() - begin,
        },
    )


@dataclass
class _Steps:
    """Passes progress on and remembers when each step was done."""

    watcher: Watcher
    at: dict[int, float] = field(default_factory=dict)

    def progress(self, phase: str, done: int, total: int) -> None:
        self.at[done] = time.perf_counter()
        self.watcher.progress(phase, done, total)

    def between(self, first: int, then: int) -> float:
        """Seconds."""
        return self.at[then] - self.at[first]


def _check_writable(plan_out: Path | None) -> None:
    """Before a minute's work, not after it."""
    if plan_out is not None and (plan_out.is_dir() or not plan_out.absolute().parent.is_dir()):
        raise UsageError(f"--plan-out {str(plan_out)!r} cannot be written: name a file in a folder that is there")


def _input_size(dataset: Dataset, backbone: Backbone, plan: Plan) -> int:
    own = backbone.spec.input_size_px
    paths = [dataset.pictures[i].path for i in dataset.positions("train")]
    readable = [path for path in paths if _has_header(path)]
    if not readable:
        return own
    signs = picture_signs(readable, size_px=own, resize=plan.resize, seed=plan.seed)
    return input_size(signs.shorter_side_px[1], own)


def _has_header(path: str) -> bool:
    from warmstart.data.decoding import read_header

    try:
        read_header(path)
    except PictureError:
        return False
    return True


def _rows_in_view(
    pictures: Sequence[Picture], view: str, backbone: Backbone, plan: Plan, proven: Proven, store: Store
) -> np.ndarray:
    preprocessing = replace(preprocessing_of(plan), views=(view,))
    return extract(
        pictures,
        prefix=tapped_prefix(backbone, preprocessing.size_px),
        engine=proven.engine,
        precision=proven.precision,
        preprocessing=preprocessing,
        store=store,
        graphs=machine.graphs_folder(),
    ).rows


def _measure(seen: Seen, plan: Plan, proven: Proven, cuts: Sequence[str]) -> Speed:
    pictures = seen.pictures[:MEASURED_PICTURES]
    decode = decoding_per_second(pictures, seen.preprocessing)
    pixels = np.stack([render(picture.source, seen.preprocessing) for picture in pictures])
    prefix = tapped_prefix(seen.backbone, seen.preprocessing.size_px)
    engine = open_engine(prefix, proven.engine, proven.precision, folder=machine.graphs_folder())
    return measure(seen.backbone, pixels, cuts, decode=decode, engine=engine_per_second(engine, pixels))


def _work(
    dataset: Dataset, backbone: Backbone, plan: Plan, layout: tuple[tuple[str, int], ...], *, start_s: float, fit_s: float
) -> Work:
    rows = describe(backbone, plan.image_size_px)
    return Work(
        images={split: len(dataset.positions(split)) for split in ("train", "val", "test")},
        start_s=start_s,
        fit_s=fit_s,
        open_s=OPEN_S,
        activations={row.cut: int(np.prod(row.shape)) for row in rows},
        features=sum(width for _, width in layout),
        params_right={row.cut: row.params_right for row in rows},
        base_bytes=_peak_bytes(),
    )


def _peak_bytes() -> int:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
