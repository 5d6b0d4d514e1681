"""What the loop tells while it runs. The caller draws, logs, streams, or stops by not asking for the next one."""

from dataclasses import dataclass
from typing import Literal

from warmstart.training.objective import ValScores


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed:
    """The run goes on from a checkpoint. ``exact``: it ends with the very weights of an undisturbed run."""

    step: int
    epoch: int  # completed
    exact: bool
    differences: tuple[str, ...]  # why not: 'threads: 2 then, 4 now'


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One optimizer update was made."""

    step: int  # 1, 2, … over the whole run
    epoch: int  # 1, 2, …
    loss: float  # of this step's pictures, as it is minimised (smoothed, weighted, mixed)
    learning_rate: float  # as it was set and scheduled; head and stages have their shares of it
    pictures: int  # that it was made from
    images_per_second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """The network was evaluated on val: after an epoch, or before the first (epoch 0)."""

    epoch: int
    train_loss: float | None  # mean over the epoch's pictures as they were trained on; None for epoch 0
    val: ValScores
    best: bool  # so far; the last event with True is what the module holds in the end
    seconds: float  # training and evaluation of this epoch


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """The run ended early. The module holds its best weights."""

    kind: Literal["patience", "time", "diverged"]
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """All epochs were run. The module holds its best weights."""

    best_epoch: int  # 0: nothing was better on val than the start


Event = Resumed | Step | Epoch | Stopped | Finished
