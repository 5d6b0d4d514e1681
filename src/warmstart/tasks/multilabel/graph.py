"""The linear map and what makes its logits probabilities as a torch module, for exported files."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from warmstart.heads.linear_map import LinearMap


class Labels(nn.Module):
    """float32 features (B, D) → probabilities (B, O)."""

    coef: Tensor
    intercept: Tensor

    def __init__(self, learnt: LinearMap, scale: NDArray[np.float64]) -> None:
        super().__init__()
        slope, offset = scale
        self.register_buffer("coef", torch.from_numpy((learnt.coef * slope).astype(np.float32)))
        self.register_buffer("intercept", torch.from_numpy((learnt.intercept * slope + offset).astype(np.float32)))

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """The probabilities."""
        return (torch.sigmoid(features @ self.coef + self.intercept),)
