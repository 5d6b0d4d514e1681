"""The map as a torch module, for exported files."""

import torch
from torch import Tensor, nn

from warmstart.export.written_in_torch import written_module
from warmstart.heads.linear_map import LinearMap
from warmstart.heads.written import Written
from warmstart.training.kept_module import KeptModule
from warmstart.training.own_head import Standardised


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


class GivenNumbers(nn.Module):
    """The same of what was handed over."""

    def __init__(self, learnt: Written | KeptModule) -> None:
        super().__init__()
        self.given = written_module(learnt) if isinstance(learnt, Written) else Standardised(learnt.module, *learnt.front)

    def forward(self, features: Tensor) -> tuple[Tensor]:
        """The numbers."""
        return (self.given(features),)
