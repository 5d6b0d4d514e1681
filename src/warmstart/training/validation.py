"""How good the module is on val, and which of two epochs is kept.

N examples, K classes.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from warmstart.evaluation.calibration import fit_temperature, softmax
from warmstart.evaluation.metrics import log_loss
from warmstart.training.batches import BatchSource, ValSource
from warmstart.training.execution import Execution
from warmstart.training.feature_norm import SETTLING_BATCHES
from warmstart.training.tuned import TunedSuffix


@dataclass(frozen=True, kw_only=True)
class ValScores:
    """Scores on val; the losses are NaN when a logit is not finite."""

    loss: float  # log-loss
    calibrated_loss: float  # log-loss with the temperature that fits best
    accuracy: float

    def better_than(self, other: "ValScores", by: Literal["loss", "accuracy"]) -> bool:
        """Strictly; never with a loss that is not finite.

        'loss' compares calibrated losses. Accuracy on a few hundred pictures moves in steps of half a point, and the best
        of many epochs is then the luckiest; plain log-loss grows with overconfidence, long before predictions get worse (C.
        Guo et al., ICML 2017, §3), and the model is saved with a temperature anyway. 'accuracy' decides ties by the same
        loss.
        """
        if not np.isfinite(self.calibrated_loss):
            return False
        if by == "accuracy" and self.accuracy != other.accuracy:
            return self.accuracy > other.accuracy
        return self.calibrated_loss < other.calibrated_loss


def settle(module: TunedSuffix, batches: BatchSource, epoch: int, execution: Execution) -> None:
    """Take the statistics before the head from the first batches of an epoch. The module is left in eval mode."""
    module.eval()
    with module.norm.settling():
        for batch in itertools.islice(batches.epoch(epoch, 0), SETTLING_BATCHES):
            inputs, _ = execution.place(batch)
            with execution.autocast():
                module(*inputs)


def validate(module: nn.Module, val: ValSource, execution: Execution) -> ValScores:
    """Scores of the module, which is left in eval mode."""
    module.eval()
    logits, labels = [], []
    with torch.inference_mode():
        for batch in val.batches():
            inputs, batch_labels = execution.place(batch)
            with execution.autocast():
                logits.append(module(*inputs).cpu().numpy())
            labels.append(batch_labels.cpu().numpy())
    return _scores(np.concatenate(logits), np.concatenate(labels))


def _scores(logits: np.ndarray, labels: np.ndarray) -> ValScores:
    accuracy = float(np.mean(logits.argmax(axis=1) == labels))
    if not np.isfinite(logits).all():
        return ValScores(loss=float("nan"), calibrated_loss=float("nan"), accuracy=accuracy)
    wide = logits.astype(np.float64)
    calibrated = softmax(wide, fit_temperature(wide, labels))
    return ValScores(loss=log_loss(softmax(wide), labels), calibrated_loss=log_loss(calibrated, labels), accuracy=accuracy)
