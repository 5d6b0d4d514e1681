"""The heads once more, in PyTorch: so that derivatives of their logits can be taken, and so that they can be part of an exported graph.

Same numbers to rounding. B batch, D features, H hidden units, M support vectors or examples, K classes.
"""

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.errors import UsageError
from warmstart.export.written_in_torch import written_module
from warmstart.tasks.classify.heads.given import SMOOTHING, GivenHead
from warmstart.tasks.classify.heads.knn import KnnHead
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.tasks.classify.heads.mlp import MlpHead
from warmstart.tasks.classify.heads.module import ModuleHead
from warmstart.tasks.classify.heads.protocol import Head
from warmstart.tasks.classify.heads.ridge import RidgeHead
from warmstart.tasks.classify.heads.svm_rbf import RbfSvmHead
from warmstart.training.own_head import Standardised


def logits(head: Head, features: Tensor) -> Tensor:
    """(B, K) from (B, D), as `Head.logits`. Raises UsageError for a head without derivatives: k nearest neighbours count votes, and a
    count does not change with a small step.
    """
    if isinstance(head, KnnHead) or (isinstance(head, GivenHead) and head.kind in ("neighbours", "trees")):
        raise UsageError(
            f"head {head.name!r} has no gradient, so there is no Grad-CAM of it; --method occlusion explains any head"
        )
    result: Tensor = head_module(head)(features)
    return result


def head_module(head: Head) -> nn.Module:
    """float32 (B, D) → logits (B, K), as `Head.logits`. What was learnt becomes buffers."""
    match head:
        case LinearHead() | RidgeHead():  # the linear SVM is a LinearHead too
            return _Affine(head)
        case MlpHead():
            return _Mlp(head)
        case RbfSvmHead():
            return _RbfSvm(head)
        case KnnHead():
            return _Knn(head)
        case GivenHead():
            return _Given(head)
        case ModuleHead():
            return Standardised(head.module, *head.front)
        case _:
            raise UsageError(
                f"head {head.name!r} cannot be written in PyTorch; known: linear, svm, svm-rbf, ridge, knn, mlp, given, module"
            )


class Probabilities(nn.Module):
    """float32 features (B, D) → probabilities (B, K), logits (B, K) before the temperature."""

    def __init__(self, head: Head, temperature: float) -> None:
        super().__init__()
        self.head, self.temperature = head_module(head), temperature

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities, then logits."""
        logits = self.head(features)
        return torch.softmax(logits / self.temperature, dim=1), logits


class _Learnt(nn.Module):
    """A module whose buffers are the arrays of a head."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        for name, array in head.arrays().items():
            self.register_buffer(name, torch.from_numpy(np.array(array, np.float32)))


class _Affine(_Learnt):
    coef: Tensor
    intercept: Tensor

    def forward(self, features: Tensor) -> Tensor:
        return features @ self.coef + self.intercept


class _Mlp(_Learnt):
    coef1: Tensor
    intercept1: Tensor
    coef2: Tensor
    intercept2: Tensor

    def forward(self, features: Tensor) -> Tensor:
        return torch.tanh(features @ self.coef1 + self.intercept1) @ self.coef2 + self.intercept2


class _RbfSvm(_Learnt):
    mean: Tensor
    scale: Tensor
    support: Tensor
    coef: Tensor
    intercept: Tensor

    def __init__(self, head: RbfSvmHead) -> None:
        super().__init__(head)
        self.dimensions = max(int(np.count_nonzero(head.scale_)), 1)  # 1 / gamma; see `heads.svm_rbf`

    def forward(self, features: Tensor) -> Tensor:
        z = (features - self.mean) * self.scale
        # ‖a - b‖² = ‖a‖² + ‖b‖² - 2 a·b: no block of B × M × D numbers
        squares = z.square().sum(dim=1, keepdim=True) + self.support.square().sum(dim=1) - 2 * (z @ self.support.T)
        return torch.exp(-squares.clamp(min=0) / self.dimensions) @ self.coef + self.intercept


class _Knn(_Learnt):
    mean: Tensor
    scale: Tensor
    examples: Tensor
    votes: Tensor

    def __init__(self, head: KnnHead) -> None:
        super().__init__(head)
        self.neighbours = min(head.neighbours, len(head.examples_))

    def forward(self, features: Tensor) -> Tensor:
        z = (features - self.mean) * self.scale
        directions = z / z.square().sum(dim=1, keepdim=True).sqrt().clamp(min=torch.finfo(torch.float32).tiny)
        nearest = (directions @ self.examples.T).topk(self.neighbours, dim=1).indices  # (B, neighbours)
        votes = self.votes[nearest].sum(dim=1) + 1 / self.votes.shape[1]
        return torch.log(votes / votes.sum(dim=1, keepdim=True))


class _Given(nn.Module):
    def __init__(self, head: GivenHead) -> None:
        super().__init__()
        self.written, self.kind, self.n_classes = written_module(head.written), head.kind, head.n_classes

    def forward(self, features: Tensor) -> Tensor:
        said: Tensor = self.written(features)
        match self.kind:
            case "kernel":
                return _by_pairs(said, self.n_classes)
            case "neighbours" | "trees":
                shares = said / said.sum(dim=1, keepdim=True).clamp(min=1e-30)
                return torch.log((shares + SMOOTHING) / (1 + SMOOTHING * said.shape[1]))
        return said


def _by_pairs(decisions: Tensor, k: int) -> Tensor:
    """See `heads.given.by_pairs`."""
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
