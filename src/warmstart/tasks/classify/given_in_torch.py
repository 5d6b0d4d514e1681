"""Heads that were handed over, once more in PyTorch: see `heads.given`, whose numbers these are to rounding.

B batch, D features, K classes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.tasks.classify.heads.given import SMOOTHING, GivenHead


class _Given(nn.Module):
    """What all have: buffers that are the arrays of the head, and the front."""

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

    def __init__(self, head: GivenHead) -> None:
        super().__init__()
        for name, array in head.arrays().items():
            self.register_buffer(name, torch.from_numpy(np.array(array, np.float32)))
        self.values: dict[str, Any] = dict(head.values)
        self.n_classes = head.n_classes

    def front_of(self, features: Tensor) -> Tensor:
        centred = features - self.shift
        found: Tensor = centred @ self.front if "front" in self._buffers else centred * self.scale
        return found


class _Linear(_Given):
    def forward(self, features: Tensor) -> Tensor:
        return self.front_of(features) @ self.coef + self.intercept


class _Kernel(_Given):
    def forward(self, features: Tensor) -> Tensor:
        z, values, k = self.front_of(features), self.values, self.n_classes
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
        decisions = kernel @ self.coef + self.intercept
        if k == 2:
            return torch.cat([-decisions, decisions], dim=1) / 2
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        sign = torch.zeros(len(pairs), k)
        for number, (i, j) in enumerate(pairs):
            sign[number, i], sign[number, j] = 1, -1
        first, second = sign.clamp(min=0), (-sign).clamp(min=0)
        won = (decisions >= 0).to(decisions.dtype)
        votes = won @ first + (1 - won) @ second
        confidences = decisions @ sign
        return votes + confidences / (3 * (confidences.abs() + 1))


class _Neighbours(_Given):
    def forward(self, features: Tensor) -> Tensor:
        z = self.front_of(features)
        squares = z.square().sum(dim=1, keepdim=True) + self.examples.square().sum(dim=1) - 2 * (z @ self.examples.T)
        nearest = squares.topk(min(self.values["k"], len(self.examples)), dim=1, largest=False)
        votes = self.votes[nearest.indices]
        if self.values["by_distance"]:
            votes = votes / nearest.values.clamp(min=1e-12).sqrt().unsqueeze(2)
        return _log_shares(votes.sum(dim=1))


class _Trees(_Given):
    def forward(self, features: Tensor) -> Tensor:
        z = self.front_of(features)
        trees, nodes, k = self.shares.shape
        first = torch.arange(trees) * nodes  # of each tree, where all nodes stand in one row
        feature, left, right = (array.reshape(-1).to(torch.int64) for array in (self.feature, self.left, self.right))
        threshold = self.threshold.reshape(-1)
        node = first.repeat(z.shape[0], 1)  # (B, T)
        for _ in range(self.values["depth"]):
            below = torch.gather(z, 1, feature[node]) <= threshold[node]
            node = torch.where(below, left[node], right[node]) + first
        return _log_shares(self.shares.reshape(-1, k)[node].sum(dim=1))


def _log_shares(votes: Tensor) -> Tensor:
    shares = votes / votes.sum(dim=1, keepdim=True).clamp(min=1e-30)
    return torch.log((shares + SMOOTHING) / (1 + SMOOTHING * votes.shape[1]))


MODULES: Mapping[str, type[_Given]] = {"linear": _Linear, "kernel": _Kernel, "neighbours": _Neighbours, "trees": _Trees}
