"""Training right of a cut towards labels: binary cross-entropy, or the asymmetric loss. What is unknown costs nothing.

    bce         Σ  -t log p - (1 - t) log(1 - p)
    asymmetric  Σ  -t log p - (1 - t) q⁴ log(1 - q),  q = max(p - 0.05, 0)      T. Ridnik et al., "Asymmetric Loss For Multi-Label
                Classification", ICCV 2021, equation 8 with γ₊ = 0, γ₋ = 4, m = 0.05, as section 4.1 has them

B batch, N examples, O labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.tasks.multilabel.calibration import shared
from warmstart.tasks.multilabel.scores import average_precisions
from warmstart.training.objective import ValScores

FOCUS, MARGIN = 4, 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelObjective:
    """Labels float32 (B, O), NaN where unknown, and logits (B, O); see `training.objective.Objective`."""

    kind: Literal["bce", "asymmetric"] = "bce"
    smoothing: float = 0.0

    def targets(self, collated: Tensor) -> Tensor:
        """As they are, or smoothed; what is mixed with something unknown is unknown."""
        return collated * (1 - self.smoothing) + self.smoothing / 2

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Summed over the batch and the labels."""
        known = ~torch.isnan(targets)
        t = torch.where(known, targets, torch.zeros_like(targets))
        if self.kind == "bce":
            each = nn.functional.binary_cross_entropy_with_logits(outputs, t, reduction="none")
        else:
            q = (torch.sigmoid(outputs) - MARGIN).clamp(min=0)
            each = -t * nn.functional.logsigmoid(outputs) - (1 - t) * q**FOCUS * torch.log((1 - q).clamp(min=1e-8))
        return (each * known).sum()

    def scores(self, outputs: Sequence[Tensor], collated: Sequence[Tensor]) -> ValScores:
        """The loss; log-loss at the one slope and offset that fit best, by which epochs are compared; mAP."""
        logits, truth = torch.cat(list(outputs)).double(), torch.cat(list(collated)).double()
        loss = float(self.loss(logits, self.targets(truth))) / len(truth)
        calibrated = mean_ap = float("nan")
        if bool(torch.isfinite(logits).all()):
            z, y = logits.numpy(), truth.numpy()
            slope, offset = shared(z, y)
            calibrated = float(LabelObjective().loss(torch.from_numpy(z * slope + offset), truth)) / len(truth)
            found = average_precisions(z, y)
            mean_ap = float(np.nanmean(found)) if not np.isnan(found).all() else 0.0
        return ValScores(loss=loss, rank=(calibrated,), named={"calibrated_loss": calibrated, "map_macro": mean_ap})
