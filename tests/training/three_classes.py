"""The loop and what it is made of, for the objective of the three classes that are drawn here: its mistakes are looked for elsewhere."""

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from warmstart.tasks.classify.loss import ClassObjective
from warmstart.training import loop, lr_find, pace, validation
from warmstart.training import update as of_one_step
from warmstart.training.batches import Batch, BatchSource, Read, TrainBatches, ValBatches, ValSource
from warmstart.training.events import Event
from warmstart.training.execution import Execution
from warmstart.training.learner import Learner
from warmstart.training.objective import ValScores
from warmstart.training_settings import TrainingSettings

CLASSES = 3


def labels_of(labels: np.ndarray) -> Callable[[np.ndarray, np.ndarray], Tensor]:
    """What a batch brings beside its inputs."""
    return lambda chosen, views: torch.from_numpy(labels[chosen])


def train_batches(labels: np.ndarray, read: Read, *, balanced: bool = False, **settings: Any) -> TrainBatches:
    """Of pictures with these labels."""
    kinds = labels if balanced else None
    return TrainBatches(n=len(labels), read=read, collate=labels_of(labels), kinds=kinds, **settings)


def val_batches(labels: np.ndarray, read: Read, *, batch_size: int) -> ValBatches:
    """Of pictures with these labels."""
    return ValBatches(n=len(labels), read=read, collate=labels_of(labels), batch_size=batch_size)


def fine_tune(
    module: Learner, batches: BatchSource, val: ValSource, settings: TrainingSettings, **options: Any
) -> Generator[Event]:
    return loop.fine_tune(module, batches, val, ClassObjective.of(CLASSES, settings), settings, **options)


def validate(module: Learner, val: ValSource, execution: Execution) -> ValScores:
    return validation.validate(module, val, ClassObjective(n_classes=CLASSES), execution)


def update(
    module: Learner,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Batch],
    settings: TrainingSettings,
    execution: Execution,
    *,
    step: int,
) -> float:
    objective = ClassObjective.of(CLASSES, settings)
    return of_one_step.update(module, optimizer, batches, objective, settings, execution, step=step)


def find_learning_rate(
    module: Learner, batches: BatchSource, settings: TrainingSettings, **options: Any
) -> lr_find.LearningRateCurve:
    return lr_find.find_learning_rate(module, batches, ClassObjective.of(CLASSES, settings), settings, **options)


def seconds_per_epoch(
    module: Learner, batches: BatchSource, val: ValSource, settings: TrainingSettings, execution: Execution, **options: Any
) -> float:
    return pace.seconds_per_epoch(module, batches, val, ClassObjective.of(CLASSES, settings), settings, execution, **options)
