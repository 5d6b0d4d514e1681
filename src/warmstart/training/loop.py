"""The training loop, a generator of events.

    for event in fine_tune(module, batches, val, objective, settings):
        log(event)

Evaluate the start; then epoch after epoch: steps, evaluation on val, checkpoint. However it ends (all epochs done, patience
or time at an end, a loss that is not finite, the caller stops listening) the module then holds the weights that were best
on val, and the start counts as a candidate: training never makes the model worse on val than the frozen one it started
from.
"""

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

from torch import Tensor
from torch.optim import Optimizer

from warmstart.errors import InputError
from warmstart.training.batches import Batch, BatchSource, ValSource
from warmstart.training.checkpoint import Checkpoint, Position, differences, refuse_changes
from warmstart.training.events import Epoch, Event, Finished, Resumed, Step, Stopped
from warmstart.training.execution import Execution
from warmstart.training.learner import Learner
from warmstart.training.objective import Objective, ValScores
from warmstart.training.optimisation import (
    WeightAverage,
    copied_state,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    set_learning_rate,
)
from warmstart.training.schedule import multiplier
from warmstart.training.tuned import set_training
from warmstart.training.update import update
from warmstart.training.validation import settle, validate
from warmstart.training_settings import TrainingSettings

SAVE_EVERY_S = 120.0  # a kill loses at most this much training, or one step


def fine_tune(
    module: Learner,
    batches: BatchSource,
    val: ValSource,
    objective: Objective,
    settings: TrainingSettings,
    *,
    execution: Execution | None = None,
    resume: Checkpoint | None = None,
    save: Callable[[Checkpoint], None] | None = None,
    save_every_s: float = SAVE_EVERY_S,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Event]:
    """Train ``module`` in place; see above for what it holds in the end. It is left on the CPU, in eval mode.

    ``save`` is called after every epoch and every ``save_every_s`` seconds with all that is needed to go on (``resume``).
    Time between events, when the caller has control, counts neither as training nor towards the time limit. Raises
    UsageError when ``resume`` was made under other settings, InputError when the start gives scores that are not finite.
    """
    watch = _Watch(clock)
    execution = execution or Execution()
    execution.adopt(module)
    run = _resumed(module, batches, settings, resume) if resume else _started(module, val, objective, settings, execution)
    conditions = _conditions(batches, settings)
    reason: Stopped | None = None
    total_steps = settings.epochs * -(-len(batches) // settings.accumulate)
    saved_at = run.position.seconds

    def snapshot() -> Checkpoint:
        return Checkpoint(position=run.position, settings=conditions, execution=execution.describe(), tensors=run.tensors())

    try:
        if resume:
            changes = differences(resume.execution, execution.describe())
            yield Resumed(step=run.position.step, epoch=run.position.epoch, exact=not changes, differences=changes)
        else:
            yield _epoch_event(0, None, run.position.best, best=True, seconds=watch.lap())
        watch.lap()
        while run.position.epoch < settings.epochs and not (reason := _early_end(run.position, settings)):
            set_training(module, settings.batch_norm, settings.head_norm)
            for group in _groups(batches.epoch(run.position.epoch, run.position.batch), settings.accumulate):
                step = run.position.step
                rate = settings.learning_rate * multiplier(settings.schedule, step, total_steps, warmup=settings.warmup)
                set_learning_rate(run.optimizer, rate)
                loss = update(module, run.optimizer, group, objective, settings, execution, step=step)
                if not math.isfinite(loss):
                    yield _diverged(loss, step=step + 1, rate=rate)
                    return
                if run.average:
                    run.average.update(module, step)
                seconds, n = watch.lap(), sum(len(inputs[0]) for inputs, _ in group)
                run.position = _after_step(run.position, loss, n_pictures=n, n_batches=len(group), seconds=seconds)
                if save and run.position.seconds - saved_at >= save_every_s:
                    save(snapshot())
                    saved_at = run.position.seconds
                yield Step(
                    step=step + 1,
                    epoch=run.position.epoch + 1,
                    loss=loss,
                    learning_rate=rate,
                    pictures=n,
                    images_per_second=n / max(seconds, 1e-9),
                )
                watch.lap()
                if _out_of_time(run.position, settings):
                    break
            scores, weights = run.evaluated(batches, val, objective, settings, execution)
            is_best = scores.better_than(run.position.best)
            if is_best:
                run.best = weights
            ended = run.position
            train_loss = ended.loss_sum / max(ended.pictures, 1)
            run.position = _after_epoch(ended, scores, train_loss, best=is_best, seconds=watch.lap())
            if save:
                save(snapshot())
                saved_at = run.position.seconds
            yield _epoch_event(
                run.position.epoch,
                train_loss,
                scores,
                best=is_best,
                seconds=ended.epoch_seconds + run.position.seconds - ended.seconds,
            )
            watch.lap()
        if reason:
            yield reason
        else:
            yield Finished(best_epoch=run.position.best_epoch)
    finally:
        module.load_state_dict(run.best)
        Execution(channels_last=False).adopt(module)  # the network's modules are shared; they go back as they came
        module.eval()


@dataclass
class _Run:
    """What changes while it trains, apart from the module's own weights."""

    module: Learner
    optimizer: Optimizer
    average: WeightAverage | None
    best: dict[str, Tensor]
    position: Position

    def tensors(self) -> dict[str, Tensor]:
        """Copies of everything, as a checkpoint names it."""
        parts = {
            "module": self.module.state_dict(),
            "best": self.best,
            "average": self.average.tensors if self.average else {},
            "optimizer": optimizer_tensors(self.optimizer, self.module),
        }
        return {
            f"{part}/{name}": tensor.detach().clone() for part, tensors in parts.items() for name, tensor in tensors.items()
        }

    def evaluated(
        self, batches: BatchSource, val: ValSource, objective: Objective, settings: TrainingSettings, execution: Execution
    ) -> tuple[ValScores, dict[str, Tensor]]:
        """Scores on val and the weights that have them: the average's where there is one."""
        with self.average.inside(self.module) if self.average else nullcontext():
            if settings.head_norm == "update":
                settle(self.module, batches, self.position.epoch, execution)
            return validate(self.module, val, objective, execution), copied_state(self.module)


class _Watch:
    """Seconds since it was last asked."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.last = clock, clock()

    def lap(self) -> float:
        now = self.clock()
        passed, self.last = now - self.last, now
        return passed


def _started(module: Learner, val: ValSource, objective: Objective, settings: TrainingSettings, execution: Execution) -> _Run:
    scores = validate(module, val, objective, execution)
    if not math.isfinite(scores.loss):
        raise InputError(
            "the network gives scores that are not finite on val before any training: its weights or the stored activations "
            "are damaged. Clear the cache (warmstart cache) and check the weights file."
        )
    average = WeightAverage(module, settings.average_decay) if settings.average_decay else None
    return _Run(module, make_optimizer(module, settings), average, copied_state(module), Position(best=scores))


def _resumed(module: Learner, batches: BatchSource, settings: TrainingSettings, checkpoint: Checkpoint) -> _Run:
    refuse_changes(checkpoint.settings, _conditions(batches, settings))
    module.load_state_dict(checkpoint.part("module"))
    device = next(module.parameters()).device
    average = WeightAverage(module, settings.average_decay) if settings.average_decay else None
    if average:
        average.tensors = {name: tensor.to(device) for name, tensor in checkpoint.part("average").items()}
    optimizer = make_optimizer(module, settings)
    load_optimizer_tensors(optimizer, module, checkpoint.part("optimizer"))
    best = {name: tensor.to(device) for name, tensor in checkpoint.part("best").items()}
    return _Run(module, optimizer, average, best, checkpoint.position)


def _conditions(batches: BatchSource, settings: TrainingSettings) -> dict[str, object]:
    """What must be the same for a run to go on."""
    return {**settings.to_dict(), "batches per epoch": len(batches)}


def _groups(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Lists of ``size`` batches, the last one of an epoch shorter."""
    source = iter(batches)
    while group := list(itertools.islice(source, size)):
        yield group


def _after_step(position: Position, loss: float, *, n_pictures: int, n_batches: int, seconds: float) -> Position:
    return replace(
        position,
        batch=position.batch + n_batches,
        step=position.step + 1,
        loss_sum=position.loss_sum + loss * n_pictures,
        pictures=position.pictures + n_pictures,
        epoch_seconds=position.epoch_seconds + seconds,
        seconds=position.seconds + seconds,
    )


def _after_epoch(position: Position, scores: ValScores, train_loss: float, *, best: bool, seconds: float) -> Position:
    epoch = position.epoch + 1
    return replace(
        position,
        epoch=epoch,
        batch=0,
        loss_sum=0.0,
        pictures=0,
        epoch_seconds=0.0,
        seconds=position.seconds + seconds,
        best_epoch=epoch if best else position.best_epoch,
        best=scores if best else position.best,
        last=scores,
        last_train_loss=train_loss,
    )


def _epoch_event(epoch: int, train_loss: float | None, scores: ValScores, *, best: bool, seconds: float) -> Epoch:
    return Epoch(
        epoch=epoch,
        train_loss=train_loss,
        val=scores,
        best=best,
        seconds=seconds,
    )


def _early_end(position: Position, settings: TrainingSettings) -> Stopped | None:
    """Whether to stop before the next epoch. A function of the position, so a resumed run stops where it would have stopped."""
    waited = position.epoch - position.best_epoch
    if settings.patience is not None and waited >= settings.patience:
        return Stopped(kind="patience", reason=f"no better epoch on val since epoch {position.best_epoch}, {waited} epochs ago")
    if _out_of_time(position, settings):
        return Stopped(kind="time", reason=f"{position.seconds:.0f} s of training, the limit is {settings.time_limit_s:.0f} s")
    return None


def _out_of_time(position: Position, settings: TrainingSettings) -> bool:
    return settings.time_limit_s is not None and position.seconds >= settings.time_limit_s


def _diverged(loss: float, *, step: int, rate: float) -> Stopped:
    return Stopped(
        kind="diverged",
        reason=(
            f"loss or gradient is {loss} at step {step} with learning rate {rate:.3g}; the last good weights are kept. "
            f"Train with a smaller rate, such as {rate / 10:.1g}; `warmstart lr-find` shows what the network bears."
        ),
    )
