"""How good the module is on val. Which of two epochs is kept: `ValScores.better_than`. N examples."""

import itertools
from typing import Any

import torch
from torch import nn

from warmstart.training.batches import BatchSource, ValSource
from warmstart.training.execution import Execution
from warmstart.training.feature_norm import SETTLING_BATCHES
from warmstart.training.learner import Learner
from warmstart.training.objective import Objective, ValScores, mapped


def settle(module: Learner, batches: BatchSource, epoch: int, execution: Execution) -> None:
    """Take the statistics of a norm before the head from the first batches of an epoch. The module is left in eval mode."""
    module.eval()
    norm = module.feature_norm()
    if norm is None:
        return
    with norm.settling():
        for batch in itertools.islice(batches.epoch(epoch, 0), SETTLING_BATCHES):
            inputs, _ = execution.place(batch)
            with execution.autocast():
                module(*inputs)


def validate(module: nn.Module, val: ValSource, objective: Objective, execution: Execution) -> ValScores:
    """Scores of the module, which is left in eval mode."""
    module.eval()
    outputs: list[Any] = []
    targets: list[Any] = []
    with torch.inference_mode():
        for inputs, collated in val.batches():
            with execution.autocast():
                outputs.append(mapped(module(*execution.inputs(inputs)), lambda x: x.cpu()))
            targets.append(collated)
    return objective.scores(outputs, targets)
