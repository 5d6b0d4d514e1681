"""Training right of a cut towards values in an order: the loss of the cumulative link model, as `heads.cumulative` has it.

    logits of y ≤ k = prior logits + what the head says        its outputs share one row of weights, and each has its own bias
    loss = Σ_i Σ_k t_ik [log(1 + e⁻ᵇ) + log(1 + eᵃ) - log(1 - e^-(b - a))]

The head starts from the prior, which says the shares of train whatever the picture, so that one that starts at zero has thresholds too.
Where a step has brought two nearer than `NEAR`, or swapped them, the last term goes on as a straight line, which leads them apart again.

B batch, N examples, K values.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from warmstart.heads.cumulative import log_losses, log_probabilities
from warmstart.tasks.ordinal.calibration import fit_temperature
from warmstart.tasks.ordinal.scores import kappa, table_of
from warmstart.tasks.ordinal.sets import decide
from warmstart.training.objective import ValScores

NEAR = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderObjective:
    """Places of values int64 (B,), and what the head says (B, K - 1); see `training.objective.Objective`."""

    rank_of: NDArray[np.int64]  # (K,): place of a value in the targets' names → its rank
    prior: NDArray[np.float64]  # (K - 1,)

    def targets(self, collated: Tensor) -> Tensor:
        """Distributions (B, K), which can be mixed."""
        ranks = torch.from_numpy(self.rank_of).to(collated.device)[collated]
        return nn.functional.one_hot(ranks, len(self.rank_of)).to(torch.float32)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Summed over the batch."""
        logits = self._logits(outputs)
        gaps = logits[:, 1:] - logits[:, :-1]
        held = gaps.clamp(min=NEAR)
        between = (held - gaps) / math.expm1(NEAR) - torch.log(-torch.expm1(-held))
        loss = (targets[:, :-1] * nn.functional.softplus(-logits)).sum() + (
            targets[:, 1:] * nn.functional.softplus(logits)
        ).sum()
        return loss + (targets[:, 1:-1] * between).sum()

    def scores(self, outputs: Sequence[Tensor], collated: Sequence[Tensor]) -> ValScores:
        """The loss; log-loss at the temperature that fits best, by which epochs are compared; quadratic kappa."""
        found, labels = torch.cat(list(outputs)).double(), torch.cat(list(collated))
        logits, y = self._logits(found).numpy(), self.rank_of[labels.numpy()]
        loss = calibrated = float("nan")
        agreement: float | None = None
        if np.isfinite(logits).all():
            loss = float(self.loss(found, self.targets(labels))) / len(y)
            logits = np.maximum.accumulate(logits, axis=1)
            calibrated = float(log_losses(logits / fit_temperature(logits, y), y).mean())
            agreement = kappa(table_of(y, decide(np.exp(log_probabilities(logits))), len(self.rank_of)))
        return ValScores(
            loss=loss, rank=(calibrated,), named={"calibrated_loss": calibrated, "qwk": 0.0 if agreement is None else agreement}
        )

    def _logits(self, outputs: Tensor) -> Tensor:
        return outputs + torch.from_numpy(self.prior).to(outputs)
