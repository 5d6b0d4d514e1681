"""Training right of a cut towards numbers: half squared errors in deviations of train, or Huber's loss.

    loss = Σ_i Σ_o ½ e²                         e = (y - ŷ) / deviation of the target in train
           where robust: |e| - ½ beyond 1       P. Huber, Annals of Mathematical Statistics 35, 1964

The head gives numbers in deviations, so that what AdamW steps by suits every target; `LinearMap`s of it are in the targets' own units.

B batch, N examples, O targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from warmstart.training.objective import ValScores


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberObjective:
    """Numbers float32 (B, O), and what the head says of them; see `training.objective.Objective`."""

    mean: NDArray[np.float64]  # (O,), of train
    deviation: NDArray[np.float64]  # (O,)
    robust: bool

    def targets(self, collated: Tensor) -> Tensor:
        """In deviations."""
        mean, deviation = (
            torch.from_numpy(values.astype(np.float32)).to(collated.device) for values in (self.mean, self.deviation)
        )
        return (collated - mean) / deviation

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Summed over the batch and the targets."""
        if self.robust:
            return nn.functional.huber_loss(outputs, targets, reduction="sum", delta=1.0)
        return nn.functional.mse_loss(outputs, targets, reduction="sum") / 2

    def scores(self, outputs: Sequence[Tensor], collated: Sequence[Tensor]) -> ValScores:
        """The loss, by which epochs are compared; R², the mean over targets."""
        found = torch.cat(list(outputs)).double()
        truth = self.targets(torch.cat(list(collated))).double()
        loss = float(self.loss(found, truth)) / len(truth)
        squares = np.square((truth - found).numpy()).sum(axis=0)
        spread = np.square((truth - truth.mean(dim=0)).numpy()).sum(axis=0)
        r2 = float(np.mean(1 - squares / np.maximum(spread, np.finfo(np.float64).tiny)))
        return ValScores(loss=loss, rank=(loss,), named={"r2": max(r2, -1e6)})
