"""How long an epoch takes here: a few steps on a copy, timed."""

import copy
import itertools
import time
from collections.abc import Callable

from warmstart.training.batches import BatchSource, ValSource
from warmstart.training.execution import Execution
from warmstart.training.learner import Learner
from warmstart.training.objective import Objective
from warmstart.training.optimisation import make_optimizer, set_learning_rate
from warmstart.training.tuned import set_training
from warmstart.training.update import update
from warmstart.training.validation import settle, validate
from warmstart.training_settings import TrainingSettings

WARM_UP = 1  # steps in which kernels are chosen and memory is fetched
STEPS = 4


def seconds_per_epoch(
    module: Learner,
    batches: BatchSource,
    val: ValSource,
    objective: Objective,
    settings: TrainingSettings,
    execution: Execution,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds for all batches, forward and back, and one look at val. ``module`` is not touched: the steps are a copy's."""
    trial = copy.deepcopy(module)
    execution.adopt(trial)
    set_training(trial, settings.batch_norm, settings.head_norm)
    optimizer = make_optimizer(trial, settings)
    set_learning_rate(optimizer, 0.0)
    start, steps = clock(), 0
    for number, batch in enumerate(itertools.islice(batches.epoch(0, 0), WARM_UP + STEPS), 1):
        update(trial, optimizer, [batch], objective, settings, execution, step=number)
        steps += 1
        if number == WARM_UP < len(batches):  # before the next batch is read: reading counts as often as training
            start, steps = clock(), 0
    training = (clock() - start) / steps * len(batches)
    start = clock()
    if settings.head_norm == "update":
        settle(trial, batches, 0, execution)
    validate(trial, val, objective, execution)
    return training + clock() - start
