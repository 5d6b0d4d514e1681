"""The linear map with its thresholds, and what makes its logits probabilities, as a torch module, for exported files."""

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.heads.cumulative import LEAST_GAP
from warmstart.heads.linear_map import LinearMap


class Values(nn.Module):
    """float32 features (B, D) → probabilities (B, K), by the formula of `heads.cumulative`, in which nothing cancels."""

    coef: Tensor
    intercept: Tensor
    apart: Tensor

    def __init__(self, learnt: LinearMap, temperature: float) -> None:
        super().__init__()
        intercept = learnt.intercept.astype(np.float64) / temperature
        ends = np.ones(len(intercept) + 1)
        ends[1:-1] = -np.expm1(-np.maximum(np.diff(intercept), LEAST_GAP))
        self.register_buffer("coef", torch.from_numpy((learnt.coef / temperature).astype(np.float32)))
        self.register_buffer("intercept", torch.from_numpy(intercept.astype(np.float32)))
        self.register_buffer("apart", torch.from_numpy(ends.astype(np.float32)))

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """The probabilities."""
        logits = features @ self.coef + self.intercept
        one = torch.ones_like(logits[:, :1])
        below = torch.cat([torch.sigmoid(logits), one], dim=1)
        above = torch.cat([one, torch.sigmoid(-logits)], dim=1)
        return (below * above * self.apart,)
