"""compare: several plans on the same data, each in the same wall-clock budget, and what transfer brought.

    plans → for each: train into its own folder → run.json, history.csv, predictions.csv → curves, table, sentences

A comparison is a folder of run folders. What is finished in it is not done again: `resume` goes on with the plan that was interrupted.
"""

import csv
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.atomic import write_bytes, write_json
from warmstart.backbones.weights import load_backbone
from warmstart.csv_cells import text_of
from warmstart.errors import InputError, UsageError
from warmstart.evaluation.intervals import paired_bootstrap
from warmstart.evaluation.learning_curves import CurvePoint, LearningCurve, Shape, compare_shapes, overfitting, shape
from warmstart.plan import Plan
from warmstart.records import SPLITS, Listing, Scores, read_json
from warmstart.report.run_record import RunRecord, read_record
from warmstart.session.dataset import prepare
from warmstart.session.history import read_history
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.run_folder import checkpoint_path, is_finished, new_run_folder
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.strategy.plan_names import default_names, plans_by_name
from warmstart.tasks.classify.explain.saliency_examples import LIMIT_S
from warmstart.tasks.classify.listed import classified
from warmstart.tasks.classify.report.run_files import FINDINGS, points_of
from warmstart.tasks.classify.task import TASK
from warmstart.training.frozen import with_cut
from warmstart.workflows.report import report
from warmstart.workflows.train import resume as resume_run
from warmstart.workflows.train import train

START, RESULT = "start.json", "compare.json"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One plan and how it did."""

    name: str
    record: RunRecord
    curve: LearningCurve
    shape: Shape
    gain: float | None  # test accuracy minus that of the reference; None for the reference itself
    gain_ci95: tuple[float, float] | None  # by a paired bootstrap over the test pictures
    overfitting: str | None  # in words, where it did

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return _shallow(self) | {"record": self.record.to_dict(), "curve": asdict(self.curve), "shape": asdict(self.shape)}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All plans, and what follows."""

    folder: str
    budget_s: float
    contestants: tuple[Contestant, ...]
    reference: str  # whose test accuracy gains are against
    best: str  # the plan with the lowest log-loss on val: chosen without test
    majority_accuracy: float  # on test
    majority_val: float
    transfer: tuple[str, ...]  # what starting warm brought against starting cold, in words; empty without both
    curves: tuple[str, ...]  # PNG and SVG

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return _shallow(self) | {"contestants": [contestant.to_dict() for contestant in self.contestants]}


def compare(
    data: Any,
    plans: Sequence[str] | Mapping[str, Plan] = (),
    plan: Plan | None = None,
    settings: TrainSettings | None = None,
    *,
    watcher: Watcher | None = None,
) -> Comparison:
    """Run each plan within ``settings.budget_s`` seconds.

    plans: short names, for which see `strategy.plan_names` (none: the usual four), or any plans by names of one's own.
    plan: what the plans named in short share. Raises what `train` raises, and UsageError where val or test would be empty.
    """
    base, settings, watcher = plan or Plan(), settings or TrainSettings(), watcher or NullProgress()
    if settings.budget_s is None:
        raise UsageError("a comparison needs a time for each plan: --budget 10m, or budget_s in the settings")
    listing = classified(data, settings, nested=_nested(plans, base))
    if not isinstance(plans, Mapping):
        cuts = load_backbone(base.backbone, weights="random", announce=watcher.say).cuts
        plans = plans_by_name(plans or default_names(cuts), base, cuts)
    for name, each in plans.items():
        if not re.fullmatch(r"[\w.+@-]+", name) or name.startswith("."):
            raise UsageError(f"plan name {name!r} is no name for a folder; use letters, digits and any of . + @ - _")
        with_cut(each).require_runnable()
    _check_splits(listing, plans, settings, watcher)
    folder = new_run_folder(settings.runs, f"{listing.source}-compare")
    start = {
        "data": str(Path(listing.source).resolve()),
        "plans": {name: each.to_dict() for name, each in plans.items()},
        **settings.kept(),
    }
    write_json(folder / START, start)
    return _run(folder, listing, plans, settings, watcher)


def resume(
    folder: Path,
    *,
    data: Listing | None = None,
    watcher: Watcher | None = None,
    download: bool = False,
) -> Comparison:
    """Go on with a comparison: finished plans are kept, an interrupted one is resumed. Raises InputError where there is none."""
    path = folder / START
    if not path.is_file():
        done = "it is finished" if (folder / RESULT).is_file() else f"there is no {START} in it"
        raise InputError(f"{folder} holds no comparison to go on with: {done}.")
    try:
        start = read_json(path, errors="surrogateescape")
        settings = TrainSettings.from_kept(start, runs=folder.parent, download=download)
        plans = {name: Plan.from_dict(values) for name, values in start["plans"].items()}
        named = start["data"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as reason:
        raise InputError(f"{path} cannot be read ({type(reason).__name__}: {reason}): start a new comparison.") from reason
    listing = classified(data or named, settings, nested=_nested(plans, Plan()))
    watcher = watcher or NullProgress()
    _check_splits(listing, plans, settings, watcher)
    return _run(folder, listing, plans, settings, watcher)


def _nested(plans: Mapping[str, Plan] | Sequence[str], base: Plan) -> bool:
    """How folders are read, for all plans; ``base``: of those that are named in short. Raises UsageError where plans say both."""
    said = {plan.nested for plan in plans.values()} if isinstance(plans, Mapping) and plans else {base.nested}
    if len(said) > 1:
        raise UsageError(
            "plans are compared on the same classes, and some of these have nested and some not: give it to all or none"
        )
    return said.pop()


def _run(folder: Path, listing: Listing, plans: Mapping[str, Plan], settings: TrainSettings, watcher: Watcher) -> Comparison:
    """Whatever is missing, then the result."""
    # All learn from the same pictures: the first network that knows something looks at them, for every report.
    examiner = next((name for name, plan in plans.items() if plan.weights != "random"), next(iter(plans)))
    for number, (name, plan) in enumerate(plans.items(), 1):
        run = folder / name
        if is_finished(run):
            watcher.say(f"plan {number} of {len(plans)}, {name}: finished before")
            continue
        watcher.say(f"plan {number} of {len(plans)}: {name}")
        if any(run.glob(checkpoint_path(run, "*").name)):
            resume_run(run, data=listing, watcher=watcher, download=settings.download, stop_keeps=False)
            continue
        shutil.rmtree(run, ignore_errors=True)  # what a run leaves that was stopped before its first checkpoint
        run.mkdir()
        # The reports come last: each shows its run beside the best one from random weights.
        of_run = replace(settings, report=False, findings=settings.findings and name == examiner)
        made = train(listing, plan, of_run, watcher=watcher, folder=run, stop_keeps=False)
        _check_held_out(listing.source, made.record.data.splits)  # near copies and broken pictures are known by now
    comparison = _result(folder, tuple(plans), settings.budget_s or 0.0)
    write_json(folder / RESULT, comparison.to_dict())
    if settings.report:
        for name in plans:
            if name != examiner and (folder / examiner / FINDINGS).is_file():
                write_bytes(folder / name / FINDINGS, (folder / examiner / FINDINGS).read_bytes())
            report(folder / name, heat_maps=settings.heat_maps, limit_s=LIMIT_S)
        path = report(folder).path
        watcher.say(f"report: {path}")
    (folder / START).unlink(missing_ok=True)
    return comparison


def _check_splits(listing: Listing, plans: Mapping[str, Plan], settings: TrainSettings, watcher: Watcher) -> None:
    """Before anything is trained. Raises UsageError where a plan would have no val or no test."""
    with Session.opened(settings, TASK, watcher) as session:
        for plan in {(plan.fractions, plan.seed): plan for plan in plans.values()}.values():
            splits = prepare(listing, plan, session).splits
            _check_held_out(listing.source, {split: splits.count(split) for split in SPLITS})


def _check_held_out(source: str, splits: Mapping[str, int]) -> None:
    empty = [split for split in ("val", "test") if not splits[split]]
    if empty:
        counts = ", ".join(f"{split} {splits[split]:,}" for split in SPLITS)
        raise UsageError(
            f"{source} has no pictures in {' and '.join(empty)} ({counts}); a comparison chooses the best plan on val and measures it on "
            "test, so it needs some in both: give all three a share, such as --split 70/15/15, or add pictures"
        )


def _result(folder: Path, names: Sequence[str], budget_s: float) -> Comparison:
    """Read the run folders and put them side by side."""
    from warmstart.tasks.classify.report.curves import draw_curves

    records = {name: read_record(folder / name) for name in names}
    reference = next((name for name in names if records[name].plan.cut == "pooled"), names[0])
    right = {name: _right(folder / name) for name in names}
    contestants = []
    for name in names:
        curve = LearningCurve(
            name=name,
            points=points_of(read_history(folder / name)) or (_only_point(records[name]),),
        )
        apart = name != reference
        contestants.append(
            Contestant(
                name=name,
                record=records[name],
                curve=curve,
                shape=shape(curve),
                gain=float(right[name].mean() - right[reference].mean()) if apart else None,
                gain_ci95=paired_bootstrap(right[name], right[reference]) if apart else None,
                overfitting=overfitting(curve.points),
            )
        )
    majority = {split: scores.majority_accuracy for split, scores in records[reference].scores.items()}
    pictures = draw_curves(
        [contestant.curve for contestant in contestants],
        majority_accuracy=majority["val"],
        budget_s=budget_s,
        title=f"{Path(records[reference].data.source).name}: accuracy on val while each plan trains",
        folder=folder,
    )
    best = min(contestants, key=lambda contestant: contestant.record.scores["val"].log_loss)
    return Comparison(
        folder=str(folder),
        budget_s=budget_s,
        contestants=tuple(contestants),
        reference=reference,
        best=best.name,
        majority_accuracy=majority["test"],
        majority_val=majority["val"],
        transfer=_transfer(contestants),
        curves=tuple(str(path) for path in pictures),
    )


def _right(run: Path) -> np.ndarray:
    """bool (N,): which test pictures the run's model names rightly, in the order of their paths."""
    with (run / "predictions.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = sorted((text_of(row["path"]), row["true"] == row["predicted"]) for row in csv.DictReader(file))
    return np.array([correct for _, correct in rows])


def _only_point(record: RunRecord) -> CurvePoint:
    """A frozen plan's: its head, fitted."""
    val: Scores = record.scores["val"]
    return CurvePoint(
        epoch=0,
        seconds=record.seconds["total"],
        train_loss=None,
        val_loss=val.log_loss,
        val_accuracy=val.accuracy,
    )


def _choosing(record: RunRecord) -> int:
    """How many pictures of val a plan's curve is drawn from: those that calibrate a trained network are kept out of it."""
    calibration = record.trust.get("calibration", {})
    apart = calibration.get("pictures", 0) if record.training and calibration.get("apart") else 0
    return int(record.data.splits["val"]) - apart


def _transfer(contestants: Sequence[Contestant]) -> tuple[str, ...]:
    """The best trained plan from pretrained weights against the best one from random ones."""
    trained = [contestant for contestant in contestants if len(contestant.curve.points) > 1]
    cold = [contestant for contestant in trained if contestant.record.plan.weights == "random"]
    warm = [contestant for contestant in trained if contestant not in cold] or [c for c in contestants if c not in cold]
    if not warm or not cold:
        return ()

    def loss(contestant: Contestant) -> float:
        return float(contestant.record.scores["val"].log_loss)

    n_val = min(_choosing(contestant.record) for contestant in (*warm, *cold))
    return compare_shapes(min(warm, key=loss).curve, min(cold, key=loss).curve, val_pictures=n_val).sentences


def _shallow(part: Any) -> dict[str, Any]:
    """Its fields, as they are."""
    return {field.name: getattr(part, field.name) for field in fields(part)}
