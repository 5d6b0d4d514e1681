"""Estimators that were handed over, once more in PyTorch: see `heads.written`, whose numbers these are to rounding.

B batch, D features, O outputs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.heads.written import Written


class _Module(nn.Module):
    """What all have: buffers that are the arrays, and the front."""

    shift: Tensor
    scale: Tensor
    front: Tensor
    coef: Tensor
    intercept: Tensor
    support: Tensor
    examples: Tensor
    votes: Tensor
    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    shares: Tensor

    def __init__(self, written: Written) -> None:
        super().__init__()
        for name, array in written.arrays.items():
            self.register_buffer(name, torch.from_numpy(np.array(array, np.float32)))
        self.values: dict[str, Any] = dict(written.values)

    def front_of(self, features: Tensor) -> Tensor:
        centred = features - self.shift
        found: Tensor = centred @ self.front if "front" in self._buffers else centred * self.scale
        return found


class _Linear(_Module):
    def forward(self, features: Tensor) -> Tensor:
        return self.front_of(features) @ self.coef + self.intercept


class _Kernel(_Module):
    def forward(self, features: Tensor) -> Tensor:
        z, values = self.front_of(features), self.values
        products = z @ self.support.T
        if values["kernel"] == "rbf":
            squares = z.square().sum(dim=1, keepdim=True) + self.support.square().sum(dim=1) - 2 * products
            kernel = torch.exp(-values["gamma"] * squares.clamp(min=0))
        elif values["kernel"] == "poly":
            kernel = (values["gamma"] * products + values["coef0"]) ** values["degree"]
        elif values["kernel"] == "sigmoid":
            kernel = torch.tanh(values["gamma"] * products + values["coef0"])
        else:
            kernel = products
        return kernel @ self.coef + self.intercept


class _Neighbours(_Module):
    def forward(self, features: Tensor) -> Tensor:
        z = self.front_of(features)
        squares = z.square().sum(dim=1, keepdim=True) + self.examples.square().sum(dim=1) - 2 * (z @ self.examples.T)
        nearest = squares.topk(min(self.values["k"], len(self.examples)), dim=1, largest=False)
        votes = self.votes[nearest.indices]
        if not self.values["by_distance"]:
            return votes.mean(dim=1)
        weights = 1 / nearest.values.clamp(min=1e-12).sqrt()
        return (votes * weights.unsqueeze(2)).sum(dim=1) / weights.sum(dim=1, keepdim=True)


class _Trees(_Module):
    def forward(self, features: Tensor) -> Tensor:
        z = self.front_of(features)
        trees, nodes, outputs = self.shares.shape
        first = torch.arange(trees) * nodes  # of each tree, where all nodes stand in one row
        feature, left, right = (array.reshape(-1).to(torch.int64) for array in (self.feature, self.left, self.right))
        threshold = self.threshold.reshape(-1)
        node = first.repeat(z.shape[0], 1)  # (B, T)
        for _ in range(self.values["depth"]):
            below = torch.gather(z, 1, feature[node]) <= threshold[node]
            node = torch.where(below, left[node], right[node]) + first
        return self.shares.reshape(-1, outputs)[node].mean(dim=1)


def written_module(written: Written) -> nn.Module:
    """float32 (B, D) → (B, O)."""
    return _MODULES[written.kind](written)


_MODULES: Mapping[str, type[_Module]] = {"linear": _Linear, "kernel": _Kernel, "neighbours": _Neighbours, "trees": _Trees}
