"""Which learning rate a module bears: train a copy of it for a few steps under a growing rate and look at the loss.

L. Smith, "Cyclical learning rates for training neural networks", WACV 2017, §3.3.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from warmstart.errors import UsageError
from warmstart.training.batches import Batch, BatchSource
from warmstart.training.execution import Execution
from warmstart.training.learner import Learner
from warmstart.training.objective import Objective
from warmstart.training.optimisation import make_optimizer, set_learning_rate
from warmstart.training.tuned import set_training
from warmstart.training.update import update
from warmstart.training_settings import TrainingSettings

SMOOTHING = 0.9  # of the loss from step to step
DIVERGED = 3.0  # the search ends when the smoothed loss is this many times its smallest value


@dataclass(frozen=True, kw_only=True)
class LearningRateCurve:
    """Loss by learning rate, and what follows from it."""

    rates: tuple[float, ...]  # rising
    losses: tuple[float, ...]  # of the step made at each rate, before it
    smoothed: tuple[float, ...]
    suggestion: float
    reason: str


def find_learning_rate(
    module: Learner,
    batches: BatchSource,
    objective: Objective,
    settings: TrainingSettings,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    execution: Execution | None = None,
    on_step: Callable[[int], None] = lambda done: None,
) -> LearningRateCurve:
    """The curve over rates from ``lowest`` to ``highest``, evenly spaced in logarithm. ``module`` itself is not touched.

    ``settings`` are those of the run to come; its learning rate and schedule are not used. Raises UsageError for an empty
    range.
    """
    if not 0 < lowest < highest or steps < 10:
        raise UsageError(
            f"{steps} rates from {lowest} to {highest} are no range; give 0 < lowest < highest and 10 steps or more."
        )
    execution = execution or Execution()
    trial = copy.deepcopy(module)
    execution.adopt(trial)
    set_training(trial, settings.batch_norm, settings.head_norm)
    optimizer = make_optimizer(trial, settings)
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    rates = np.geomspace(lowest, highest, steps).tolist()
    for step, (rate, batch) in enumerate(zip(rates, _endless(batches), strict=False)):
        set_learning_rate(optimizer, rate)
        loss = update(trial, optimizer, [batch], objective, settings, execution, step=step)
        if not math.isfinite(loss):
            break
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        losses.append(loss)
        on_step(step + 1)
        smoothed.append(average / (1 - SMOOTHING ** (step + 1)))
        if smoothed[-1] > DIVERGED * min(smoothed):
            break
    suggestion, reason = suggest(rates[: len(smoothed)], smoothed)
    return LearningRateCurve(
        rates=tuple(rates[: len(losses)]), losses=tuple(losses), smoothed=tuple(smoothed), suggestion=suggestion, reason=reason
    )


def suggest(rates: list[float], smoothed: list[float]) -> tuple[float, str]:
    """A learning rate for this curve, and why.

    Where the loss falls: the rate at which it falls fastest. A head that starts as the frozen one leaves little to fall;
    where the curve only stays and rises: a tenth of the rate at which it begins to rise.
    """
    if len(rates) < 2:
        raise UsageError("the loss is not finite from the first steps on; search from a lower rate, or check the activations.")
    lowest_at = int(np.argmin(smoothed))
    fall = 1 - smoothed[lowest_at] / smoothed[0] if smoothed[0] > 0 else 0.0
    if fall > 0.05 and lowest_at >= 1:
        slope = np.gradient(np.asarray(smoothed[: lowest_at + 1]), np.log(rates[: lowest_at + 1]))
        return rates[int(np.argmin(slope))], f"the loss falls fastest here, by {fall:.0%} in all"
    limit = next(
        (rate for rate, loss in zip(rates[lowest_at:], smoothed[lowest_at:], strict=True) if loss > 1.05 * smoothed[lowest_at]),
        rates[-1],
    )
    return limit / 10, f"a tenth of {limit:.1g}, where the loss begins to rise"


def _endless(batches: BatchSource) -> Iterator[Batch]:
    for epoch in itertools.count():
        yield from batches.epoch(epoch, 0)
