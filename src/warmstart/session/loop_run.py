"""The training loop as a part of a run: its settings within the time, its checkpoints and resume, its history, what it tells."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from warmstart.data.decoding import DECODER_ID
from warmstart.plan import Plan
from warmstart.report.run_record import HistoryRow, TrainingRecord
from warmstart.session.dataset import Dataset
from warmstart.session.history import History, read_history
from warmstart.session.progress import Watcher
from warmstart.session.run_folder import checkpoint_path
from warmstart.session.session import Session
from warmstart.training.batches import TrainBatches, ValBatches
from warmstart.training.checkpoint import Checkpoint, Position, read_checkpoint, write_checkpoint
from warmstart.training.events import Epoch, Event, Resumed, Step
from warmstart.training.execution import Execution, default_execution
from warmstart.training.learner import Learner
from warmstart.training.loggers import opened
from warmstart.training.loop import fine_tune
from warmstart.training.objective import Objective
from warmstart.training.pace import seconds_per_epoch
from warmstart.training_settings import TrainingSettings

SPARE = 0.95  # of the time that is left is planned for; the rest is for a machine that has other work as well


class LoopInputs(Protocol):
    """What is trained, and on what."""

    @property
    def module(self) -> Learner:
        """What learns."""
        ...

    @property
    def batches(self) -> TrainBatches:
        """Of train."""
        ...

    @property
    def val(self) -> ValBatches:
        """Of val."""
        ...

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        ...

    @property
    def settings(self) -> TrainingSettings:
        """As asked for; a budget may make fewer epochs of it."""
        ...


@dataclass(frozen=True, kw_only=True)
class LoopRun:
    """What became of it. The module holds its best weights on val."""

    settings: TrainingSettings  # with the number of epochs that fitted the time
    end: str  # why it ended, in words
    stopped: bool  # by Ctrl-C
    execution: dict[str, Any]
    seconds: float
    pictures: int  # that went through, forward and back
    history: tuple[HistoryRow, ...]  # of this run and of what it goes on with

    def record(self) -> TrainingRecord:
        """For the run record, of a module of the task's own."""
        return TrainingRecord(
            end=self.end,
            best_epoch=max(row.epoch for row in self.history if row.best),
            epochs=self.history,
            settings=self.settings.to_dict(),
            execution=self.execution,
            images_per_second=self.pictures / max(self.seconds, 1e-9),
        )


def run_identity(plan: Plan, dataset: Dataset) -> dict[str, Any]:
    """What must be the same for a run that was interrupted to go on."""
    return {
        "plan": plan.to_dict(),
        "data": dataset.fingerprint(),
        **dataset.targets.identity(),
        "decoder": DECODER_ID,
    }


def run_loop(
    inputs: LoopInputs,
    session: Session,
    folder: Path,
    history: History,
    *,
    cut: str,
    identity: Mapping[str, Any],
    share: float = 1.0,
    known: Sequence[HistoryRow] = (),
) -> LoopRun:
    """Train in ``share`` of the time that is left. ``known``: the history of this cut before the run was interrupted."""
    path = checkpoint_path(folder, cut)
    checkpoint = read_checkpoint(path, identity) if session.resumes else None
    for row in _up_to(checkpoint.position, known, cut) if checkpoint else ():
        history.write(row)
    # Fixed for a kind of device, not measured in each run: a measurement that once turns out otherwise would change the numbers.
    execution = _same_execution(checkpoint) if checkpoint else default_execution()
    left = session.clock.left()
    if checkpoint:
        settings = checkpoint.training_settings()
    elif left is not None:
        settings = _within(max(0.0, left) * share, inputs, execution, session.watcher)
    else:
        settings = inputs.settings

    def save(state: Checkpoint) -> None:
        write_checkpoint(path, state, identity)

    start = time.perf_counter()
    events = fine_tune(
        inputs.module,
        inputs.batches,
        inputs.val,
        inputs.objective,
        settings,
        execution=execution,
        resume=checkpoint,
        save=save,
    )
    with opened(session.settings.logger, folder) as loggers:
        listeners: list[Callable[[Event], object]] = [*loggers]
        if session.own.on_event is not None:
            listeners.append(session.own.on_event)
        end, pictures, stopped = _follow(events, session, history, listeners, cut=cut, settings=settings, n=inputs.batches.n)
    return LoopRun(
        settings=settings,
        end=end,
        stopped=stopped,
        execution=execution.describe(),
        seconds=time.perf_counter() - start,
        pictures=pictures,
        history=read_history(folder),
    )


def _up_to(position: Position, known: Sequence[HistoryRow], cut: str) -> list[HistoryRow]:
    """The history at a checkpoint: a kill may have come between the checkpoint and the row of its epoch."""
    rows = [row for row in known if row.epoch <= position.epoch]
    if position.last is not None and all(row.epoch != position.epoch for row in rows):
        event = Epoch(
            epoch=position.epoch,
            train_loss=position.last_train_loss,
            val=position.last,
            best=position.best_epoch == position.epoch,
            seconds=0.0,
        )
        elapsed = max([position.seconds, *(row.elapsed_seconds for row in known)])
        rows.append(HistoryRow.of(event, cut=cut, step=position.step, learning_rate=0.0, elapsed_seconds=elapsed))
    return rows


def _within(seconds: float, inputs: LoopInputs, execution: Execution, watcher: Watcher) -> TrainingSettings:
    """The settings with as many of their epochs as fit: the schedule then comes to its end, and is not cut off."""
    wanted = inputs.settings
    begin = time.perf_counter()
    pace = seconds_per_epoch(inputs.module, inputs.batches, inputs.val, inputs.objective, wanted, execution)
    seconds -= time.perf_counter() - begin
    epochs = max(1, min(wanted.epochs, int(SPARE * seconds / pace)))
    watcher.say(f"{epochs} of {wanted.epochs} epochs in {max(0, seconds):.0f} s: one takes about {pace:.1f} s")
    return replace(wanted, epochs=epochs, time_limit_s=max(1.0, seconds))


def _same_execution(checkpoint: Checkpoint) -> Execution:
    """As the run was started: other kernels round otherwise."""
    then = checkpoint.execution
    return Execution(device=default_execution().device, precision=then["precision"], channels_last=then["channels last"])


def _follow(
    events: Generator[Event],
    session: Session,
    history: History,
    listeners: Sequence[Callable[[Event], object]],
    *,
    cut: str,
    settings: TrainingSettings,
    n: int,
) -> tuple[str, int, bool]:
    """Write the history and tell the watcher. Returns why training ended, how many pictures went through, and whether Ctrl-C ended it."""
    watcher = session.watcher
    end, done, pictures, step, rate = "every epoch was run", 0, 0, 0, 0.0
    epoch: Epoch | None = None
    row: HistoryRow | None = None
    stopped = False
    try:
        for event in events:
            match event:
                case Step():
                    step, rate = event.step, event.learning_rate
                    pictures += event.pictures
                    done += event.pictures
                    watched = " · val {} {:.3f}".format(*row.watched) if row else ""
                    watcher.progress("training", done, settings.epochs * n, note=f"loss {event.loss:.3f}{watched}")
                case Epoch():
                    epoch = event
                    row = HistoryRow.of(event, cut=cut, step=step, learning_rate=rate, elapsed_seconds=session.clock.elapsed())
                    history.write(row)
                    watcher.epoch(row)
                    watcher.say(_line(row))
                case Resumed():
                    how = "exactly" if event.exact else f"not exactly ({'; '.join(event.differences)})"
                    done = event.epoch * n
                    watcher.say(f"resumed at step {event.step}, {how}")
                case _:
                    end = getattr(event, "reason", end)
            wanted = [listener(event) is True for listener in listeners]  # each is told
            if any(wanted) and epoch is not None:
                events.close()  # which puts the best weights back
                end = f"ended by on_event after epoch {epoch.epoch}"
                break
    except KeyboardInterrupt:
        if epoch is None or not session.stop_keeps:
            raise
        events.close()  # which puts the best weights back
        stopped, end = True, f"stopped on request after epoch {epoch.epoch}"
    else:
        watcher.progress("training", settings.epochs * n, settings.epochs * n)
    watcher.say(end)
    return end, pictures, stopped


def _line(row: HistoryRow) -> str:
    loss = "start, as the frozen head" if row.train_loss is None else f"train loss {row.train_loss:.3f}"
    return (
        f"{row.cut}, epoch {row.epoch:>2}: {loss} · val loss {row.val_loss:.3f}, {'{} {:.3f}'.format(*row.watched)}"
        f"{' ← best' if row.best else ''} · {row.seconds:.1f} s"
    )
