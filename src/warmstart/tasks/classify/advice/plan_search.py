"""The plans of an advice, run one after the other within a time, each measured on val against the probe it starts from.

the one that is to gain most first → fits the time? → tune → losses on val → better by more than chance? → the best so far
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from warmstart.backbones.freezing import parameters_of
from warmstart.extraction.features import Rows
from warmstart.plan import Plan
from warmstart.session.outcome import Trained, tuned
from warmstart.session.run_folder import candidate_folder
from warmstart.session.run_state import Probe
from warmstart.session.session import Session
from warmstart.strategy.forecast import Forecast, fits
from warmstart.tasks.classify.advice.rules import FEWEST_VAL, Advice, better_on_val, by_gain
from warmstart.tasks.classify.metrics import log_losses
from warmstart.tasks.classify.temperature import fit_temperature, softmax
from warmstart.training.tuned import split_taps

RIGHT_ON_ALL = 1.0  # accuracy of the probe on val from which val has nothing more to say


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One plan of the advice: what it was to take, what it took and brought."""

    cut: str
    forecast_s: float
    measured_s: float | None = None  # None: it was not run to its end
    val_accuracy: float | None = None
    val_log_loss: float | None = None  # at the temperature that fits val best
    outcome: str  # 'kept', or why not
    by_val: bool = False  # whether labels of val had a say in that


@dataclass(frozen=True, kw_only=True, eq=False)
class OnVal:
    """A model, the probe it was made from, and how it does on the part of val that chooses, N pictures."""

    probe: Probe  # with the plan that was run
    trained: Trained
    losses: np.ndarray  # float64 (N,), nats
    accuracy: float

    @property
    def log_loss(self) -> float:
        """Mean over val."""
        return float(self.losses.mean())


def on_val(probe: Probe, trained: Trained) -> OnVal:
    """Of a data set that has val pictures, on those that choose. Losses of two models on the same pictures can be paired.

    The temperature allows for a mistake that was not seen: without, a model that is right on all of them could be made as sure as one
    likes, and two such would differ by numerical dust.
    """
    val = probe.choosing
    labels = probe.dataset.targets.labels[val]
    logits = trained.of_val.outputs(Rows(values=trained.rows[val], layout=trained.model.layout)).logits
    probabilities = softmax(logits.astype(np.float64), fit_temperature(logits, labels, doubt=1 / (len(val) + 2)))
    return OnVal(
        probe=probe,
        trained=trained,
        losses=log_losses(probabilities, labels),
        accuracy=float(np.mean(logits.argmax(axis=1) == labels)),
    )


def ranked(advice: Advice, forecasts: Sequence[Forecast], probe: Probe) -> list[tuple[Plan, Forecast]]:
    """The plans that train the network, the one that is to gain most first. They start as the probe, so they read its taps."""
    own = probe.plan
    order = [i for i in by_gain(advice.gains) if advice.plans[i].trains_network]
    return [(replace(advice.plans[i], taps=own.taps, engine=own.engine, precision=own.precision), forecasts[i]) for i in order]


def try_each(
    candidates: Sequence[tuple[Plan, Forecast]],
    first: OnVal,
    session: Session,
    folder: Path,
) -> Iterator[tuple[Tried, OnVal | None]]:
    """What became of each, and the model where there is one; the caller saves it while the next one waits.

    ``folder`` is the run's; each candidate has its own in it for history and checkpoint. In a session that resumes, one that has begun is
    gone on with, from its checkpoint, whatever the time. Raises KeyboardInterrupt after one whose training it ended.
    """
    for plan, needed in candidates:
        home = candidate_folder(folder, plan.cut)
        begun = session.resumes and home.is_dir()
        forecast_s = needed.seconds["total"]
        left_s = math.inf if (left := session.clock.left()) is None else left
        obstacle = None if begun else _obstacle(plan, needed, first, left_s)
        if obstacle:
            yield Tried(cut=plan.cut, forecast_s=forecast_s, outcome=obstacle, by_val=obstacle == _right_on_all(first)), None
            continue
        session.watcher.say(f"training right of {plan.cut}; expected to take {min(forecast_s, left_s):.0f} s")
        start = time.perf_counter()
        home.mkdir(parents=True, exist_ok=True)
        result = _run(plan, needed, first, replace(session, resumes=begun), home)
        kept = better_on_val(result.losses, first.losses)
        tried = Tried(
            cut=plan.cut,
            forecast_s=forecast_s,
            measured_s=time.perf_counter() - start,
            val_accuracy=result.accuracy,
            val_log_loss=result.log_loss,
            by_val=True,
            outcome="better on val" if kept else "not better on val than the probe by more than chance",
        )
        yield tried, result if kept else None
        if result.trained.stopped:
            raise KeyboardInterrupt


def _run(plan: Plan, needed: Forecast, first: OnVal, session: Session, home: Path) -> OnVal:
    own = replace(first.probe, plan=plan)
    return on_val(own, tuned(own, session.sparing(needed.test_s), home))


def _obstacle(plan: Plan, needed: Forecast, first: OnVal, left_s: float) -> str | None:
    """Why this plan is not run, in words."""
    if len(first.losses) < FEWEST_VAL:
        return (
            f"val has {len(first.losses)} pictures, too few to tell whether training helped; from {FEWEST_VAL} on it is tried"
        )
    if first.accuracy >= RIGHT_ON_ALL:
        return _right_on_all(first)
    if not split_taps(first.probe.backbone, plan.cut, first.probe.taps)[1]:
        return f"the head reads {', '.join(first.probe.taps)}, all left of this cut"
    backbone = first.probe.backbone
    right_of = backbone.stages[backbone.cuts.index(backbone.resolve_cut(plan.cut)) :]
    if not any(parameters_of(backbone, stage) for stage in right_of):
        return "nothing right of this cut has weights"
    if not fits(needed, left_s):
        return f"does not fit in the {max(0.0, left_s):.0f} s that are left"
    return None


def _right_on_all(first: OnVal) -> str:
    return f"the probe is right on all {len(first.losses)} val pictures, so they cannot tell whether training helps"
