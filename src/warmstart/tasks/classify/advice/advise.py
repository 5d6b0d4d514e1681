"""advise: measure how much data there is and how much of the source it uses, then say where to cut, why, and how long it takes.

    listing → digests → splits → size of the input → taps of train pictures, 1,200 at most → evidence → advice → speed → forecast

Every tap that is computed here is in the store when the plan is run. What was measured is kept as well (`store.memo`): asked again
about the same pictures, only the advice is made anew. Of test, no label is looked at.
"""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.atomic import require_writable
from warmstart.backbones.catalog import find
from warmstart.data.decoding import DECODER_ID
from warmstart.data.drawing import drawn
from warmstart.data.views import mode_of
from warmstart.engines.build import LIBRARIES
from warmstart.errors import DataError, UsageError
from warmstart.extraction.reader import Reader
from warmstart.plan import Plan
from warmstart.records import Listing, Picture
from warmstart.report.run_record import DataRecord
from warmstart.session.dataset import Dataset, prepare, stop_if_any_is_gone
from warmstart.session.forecasting import counted_work, measured_speed
from warmstart.session.probe import extracted, make_ready, own_size_px, readable, rows_of
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.run_folder import write_plan
from warmstart.session.run_state import Extracted, Ready
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.session.what_is_lost import before_blame
from warmstart.store.memo import remembered
from warmstart.strategy.forecast import Forecast, Speed, forecast
from warmstart.strategy.resize import ResizeChoice
from warmstart.tasks.classify.advice.backbone_competition import Competition, check_names, competition
from warmstart.tasks.classify.advice.rules import DEFAULT_BUDGET_S, OURS, Advice, Reason, input_size, recommended
from warmstart.tasks.classify.advice.rules import advise as advise_from
from warmstart.tasks.classify.evidence.gathering import MOST_PICTURES, Evidence, Seen, gather
from warmstart.tasks.classify.evidence.pictures import picture_signs
from warmstart.tasks.classify.listed import classified
from warmstart.tasks.classify.task import TASK
from warmstart.training.execution import default_execution

SPEED_KEEPS_S = 600.0  # how long a measured speed holds: what else the machine does changes it


@dataclass(frozen=True, kw_only=True)
class Advised:
    """The evidence, apart from the advice made of it, and what each plan would take."""

    data: DataRecord
    evidence: Evidence
    advice: Advice
    plan: Plan  # that is to gain most of those whose forecast fits ``budget_s``
    budget_s: float
    speed: Speed
    forecasts: tuple[Forecast, ...]  # of advice.plans, in their order
    competition: Competition | None
    seconds: Mapping[str, float]
    resize: ResizeChoice | None = None  # why pictures are shown as they are, where that was left open and the crop shows little

    @property
    def chosen(self) -> int:
        """Which of the plans is recommended."""
        return self.advice.plans.index(self.plan)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "data": self.data.to_dict(),
            "evidence": self.evidence.to_dict(),
            "advice": self.advice.to_dict(),
            "plan": self.plan.to_dict(),
            "budget_s": self.budget_s,
            "forecast": self.forecasts[self.chosen].to_dict(),
            "forecasts": [f.to_dict() for f in self.forecasts],
            "speed": self.speed.to_dict(),
            "resize": self.resize.to_dict() if self.resize else {},
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
    plot: Path | None = None,
    watcher: Watcher | None = None,
    seconds_before: float = 0.0,
) -> Advised:
    """Advice for a folder, manifest, list of (path, label) or DataFrame.

    ``plan`` gives what is not to be decided: backbone (unless ``backbones`` are to compete), weights, resize, splits, seed, and the
    image size if it has one. ``settings.budget_s`` is the time that the run may take; without one, `DEFAULT_BUDGET_S`. ``plot``: a
    folder for the picture of the depth profile. ``seconds_before``: what the process had taken before this call; a run that is started in a
    process of its own takes them again.
    Raises DataError, UsageError, BackboneError or StoreError, each saying what to do.
    """
    plan, settings, watcher = plan or Plan(), settings or TrainSettings(), watcher or NullProgress()
    begin = time.perf_counter()
    find(plan.backbone)
    check_names(backbones)
    _check_writable(plan_out, plot)
    listing = classified(data, settings, nested=plan.nested)
    with Session.opened(settings, TASK, watcher) as session:
        dataset = prepare(listing, plan, session)
        contest = None
        if backbones:
            split = _as_train_splits(listing, dataset, plan, session)
            shown = replace(plan, resize=split.resize)
            contest = competition(backbones, split, shown, session, size_of=partial(_input_size, split, shown))
            plan = replace(plan, backbone=contest.recommended)
        start = time.perf_counter()
        ready = make_ready(listing, dataset, plan_for_advice(dataset, plan, session), session)
        start_s = seconds_before + time.perf_counter() - start
        ready, looked_at = _looked_at(ready, session)
        result = advised(ready, looked_at, session, budget_s=settings.budget_s or DEFAULT_BUDGET_S, start_s=start_s)
    if plot is not None:
        draw_evidence(result.evidence, listing.source, plot)
    if plan_out is not None:
        write_plan(plan_out, result.plan, result.forecasts[result.chosen])
    total = time.perf_counter() - begin
    return replace(result, competition=contest, seconds={"extract": looked_at.seconds, **result.seconds, "total": total})


def plan_for_advice(dataset: Dataset, plan: Plan, session: Session) -> Plan:
    """The whole backbone, plain views, and an input that suits the pictures."""
    size_px = plan.image_size_px or _input_size(dataset, plan, own_size_px(plan, session))
    return replace(plan, cut="pooled", unfreeze=(), freeze=(), image_size_px=size_px, views="none")


@dataclass(frozen=True, kw_only=True)
class LookedAt:
    """Rows of the train pictures that evidence is read off. M pictures, D features over all taps."""

    dataset: Dataset  # all pictures, without those found broken
    positions: np.ndarray  # (M,) in it
    rows: np.ndarray  # (M, D)
    layout: tuple[tuple[str, int], ...]
    seconds: float


def of_all(seen: Extracted, seed: int) -> LookedAt:
    """Where every picture has its row."""
    train = _drawn(seen.dataset, seed)
    return LookedAt(
        dataset=seen.dataset, positions=train, rows=seen.rows[train], layout=seen.layout, seconds=seen.extract_seconds
    )


def _looked_at(ready: Ready, session: Session) -> tuple[Ready, LookedAt]:
    """Small data as `train` will see it, near copies and all; of larger data no more than evidence needs, unless copies are to be found."""
    if _is_looked_at_whole(ready.dataset, session.settings):
        seen = extracted(ready, session)
        return seen, of_all(seen, ready.plan.seed)
    begin = time.perf_counter()
    chosen = _drawn(ready.dataset, ready.plan.seed)
    extraction = rows_of([ready.dataset.pictures[i] for i in chosen], ready.recipe, ready.proven, session)
    looked_at = ready.dataset.with_losses({int(chosen[i]): loss for i, loss in extraction.losses.items()})
    dataset, kept = readable(looked_at, {int(chosen[i]): why for i, why in extraction.broken.items()}, session.settings)
    left = np.isin(chosen, kept)
    return ready, LookedAt(
        dataset=dataset,
        positions=np.searchsorted(kept, chosen[left]),
        rows=extraction.rows[left],
        layout=extraction.layout,
        seconds=time.perf_counter() - begin,
    )


def _is_looked_at_whole(dataset: Dataset, settings: TrainSettings) -> bool:
    return bool(settings.group_duplicates) or len(dataset.pictures) <= MOST_PICTURES


def _as_train_splits(listing: Listing, dataset: Dataset, plan: Plan, session: Session) -> Dataset:
    """Near copies together, as far as they are looked for: backbones should not compete on what will be test."""
    if not _is_looked_at_whole(dataset, session.settings) or session.settings.group_duplicates is False:
        return dataset
    return extracted(make_ready(listing, dataset, plan_for_advice(dataset, plan, session), session), session).dataset


def _drawn(dataset: Dataset, seed: int) -> np.ndarray:
    train = dataset.positions("train")
    return train[drawn([dataset.pictures[i] for i in train], dataset.targets.labels[train], MOST_PICTURES, seed)]


def advised(ready: Ready, looked_at: LookedAt, session: Session, *, budget_s: float, start_s: float) -> Advised:
    """Evidence from train pictures alone, the advice that follows from it, and what each plan will take.

    start_s: what a run of such a plan has spent before it extracts anything.
    """
    begin = time.perf_counter()
    plan, backbone, dataset = ready.plan, ready.backbone, looked_at.dataset
    train = dataset.positions("train")
    shown = Seen(
        backbone=backbone,
        pretrained=plan.weights == "default",
        preprocessing=ready.recipe.preprocessing,
        pictures=tuple(dataset.pictures[i] for i in looked_at.positions),
        labels=dataset.targets.labels[looked_at.positions],
        class_names=dataset.targets.class_names,
        rows=looked_at.rows,
        layout=looked_at.layout,
        units=dataset.units[looked_at.positions],
        counts=np.bincount(dataset.targets.labels[train], minlength=len(dataset.targets.class_names)),
        duplicates=len(train) - len({dataset.pictures[i].digest for i in train}),
    )

    def rows_in_view(pictures: Sequence[Picture], view: str) -> np.ndarray:
        extraction = Reader(recipe=ready.recipe.in_views([view]), workspace=session.workspace).rows(pictures)
        stop_if_any_is_gone(extraction.broken)
        return extraction.rows

    def measure_evidence() -> _Measured:
        steps = _Steps(session.watcher)
        with machine.calm_blas():
            gathered = gather(shown, rows_in_view, seed=plan.seed, on_progress=steps.progress)
        return _Measured(evidence=gathered, tap_sets_s=steps.between(1, 2))

    question = _question(ready, shown)
    kept = session.workspace.evidence
    measured = remembered(kept, question, _Measured, measure_evidence, lasting=lambda: _all_there(shown.pictures))
    evidence = measured.evidence
    advice = advise_from(evidence.measured(backbone.cuts[1:-1], val_images=len(dataset.positions("val"))), plan)
    if (first := _of_the_crop(dataset)) is not None:
        advice = replace(advice, reasons=(Reason(text=first, source=OURS), *advice.reasons))
    probe_s = time.perf_counter() - begin

    begin = time.perf_counter()
    cuts = [candidate.cut for candidate in advice.plans if candidate.trains_network]
    reader = session.reader(ready.recipe)

    def measure_speed() -> Speed:
        session.watcher.say("measuring how fast this machine decodes, extracts and trains")
        speed = measured_speed(shown.pictures, backbone, reader, cuts)
        if speed is None:  # their rows are there, so they could be decoded once
            raise DataError(f"{dataset.source}: none of its pictures can be read any more. Bring them back, then ask again.")
        return speed

    here = question | {"cuts": cuts, "training": default_execution().describe()}
    speed = remembered(kept, here, Speed, measure_speed, keep_s=SPEED_KEEPS_S)
    work = counted_work(
        dataset,
        backbone,
        ready.recipe,
        ready.proven,
        missing_taps=reader.missing(dataset.pictures),
        start_s=start_s,
        # What a run's choice of taps does, on some pictures: the time of both grows with their number.
        fit_s=measured.tap_sets_s * evidence.train_images / evidence.probed_images,
    )
    forecasts = tuple(forecast(candidate, speed, work) for candidate in advice.plans)
    return Advised(
        data=dataset.record(),
        evidence=evidence,
        advice=advice,
        plan=advice.plans[recommended(advice.gains, [f.longest_s for f in forecasts], budget_s)],
        budget_s=budget_s,
        speed=speed,
        forecasts=forecasts,
        competition=None,
        seconds={"probe": probe_s, "measure": time.perf_counter() - begin},
        resize=dataset.choice,
    )


def _of_the_crop(dataset: Dataset) -> str | None:
    """What is to be said first, where the centre crop shows little of the pictures."""
    if dataset.choice is None or not dataset.choice.modes:
        return before_blame(dataset.seen())
    said = dataset.choice.in_words()
    return f"{said[:1].upper()}{said[1:]}."


def draw_evidence(evidence: Evidence, source: str, folder: Path) -> tuple[Path, Path]:
    """folder/depth-profile.png and .svg."""
    from warmstart.tasks.classify.report.depth_profile import draw_depth_profile

    return draw_depth_profile(
        evidence.depth.stages,
        majority_accuracy=evidence.majority_accuracy,
        distances=evidence.shift.stages if evidence.shift else {},
        title=f"{Path(source).resolve().name}: what each stage knows of the classes",
        folder=folder,
    )


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What is kept of the evidence."""

    evidence: Evidence
    tap_sets_s: float  # that choosing among the sets of taps took


def _question(ready: Ready, shown: Seen) -> dict[str, Any]:
    """All that the evidence hangs on, as plain JSON."""
    pictures = hashlib.sha256()
    units = np.unique(shown.units, return_inverse=True)[1]  # their numbers say nothing, who shares one does
    for picture, label, unit in zip(shown.pictures, shown.labels, units, strict=True):
        pictures.update(picture.digest + int(label).to_bytes(4, "little") + int(unit).to_bytes(4, "little"))
    return {
        "prefix": ready.recipe.prefix.key,
        "engine": ready.recipe.engine,
        "precision": ready.recipe.precision,
        "resize": shown.preprocessing.resize,
        "pretrained": shown.pretrained,
        "seed": ready.plan.seed,
        "class_names": list(shown.class_names),
        "counts": shown.counts.tolist(),
        "duplicates": shown.duplicates,
        "pictures": pictures.hexdigest(),
        # What was computed of them stands for itself; what is computed beside it, in other views and of the pixels, for its makers.
        "rows": hashlib.sha256(np.ascontiguousarray(shown.rows).data).hexdigest(),
        "row_type": [shown.rows.dtype.str, list(shown.rows.shape)],
        "layout": [list(tap) for tap in shown.layout],
        "decoder": DECODER_ID,
        "versions": machine.versions(*LIBRARIES, "pillow", "numpy", "scipy", "scikit-learn"),
        "machine": machine.describe(),  # the time that choosing took is measured with it
    }


def _all_there(pictures: Sequence[Picture]) -> bool:
    """Whether none was taken away while it was looked at: evidence from what was left would be another's."""
    return all(picture.content is not None or os.access(picture.path, os.R_OK) for picture in pictures)


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


def _check_writable(plan_out: Path | None, plot: Path | None) -> None:
    """Before a minute's work, not after it."""
    if plan_out is not None:
        require_writable("--plan-out", plan_out)
    if plot is not None and not (plot.is_dir() and os.access(plot, os.W_OK)):
        raise UsageError(f"--plot {str(plot)!r} is no folder that can be written to: name one, such as .")


def _input_size(dataset: Dataset, plan: Plan, own: int) -> int:
    paths = [dataset.pictures[i].path for i in dataset.positions("train")]
    signs = picture_signs(paths, size_px=own, resize=mode_of(plan.resize), seed=plan.seed)
    return input_size(signs.shorter_side_px[1], own) if signs else own
