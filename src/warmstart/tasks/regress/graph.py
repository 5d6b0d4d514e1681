"""The linear map as a torch module, for exported files."""

import torch
from torch import Tensor, nn

from warmstart.heads.linear_map import LinearMap


class Numbers(nn.Module):
    """float32 features (B, D) → numbers (B, O)."""

    coef: Tensor
    intercept: Tensor

    def __init__(self, learnt: LinearMap) -> None:
        super().__init__()
        self.register_buffer("coef", torch.from_numpy(learnt.coef.copy()))
        self.register_buffer("intercept", torch.from_numpy(learnt.intercept.copy()))

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """The numbers."""
        return (features @ self.coef + self.intercept,)
