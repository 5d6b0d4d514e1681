"""The heads once more, in PyTorch, so that derivatives of their logits can be taken. Same numbers to rounding.

k nearest neighbours have none: their votes are counted, and a count does not change with a small step.

B batch, D features, H hidden units, M support vectors, K classes.
"""

import numpy as np
import torch
from torch import Tensor

from warmstart.errors import UsageError
from warmstart.heads.linear import LinearHead
from warmstart.heads.mlp import MlpHead
from warmstart.heads.protocol import Head
from warmstart.heads.ridge import RidgeHead
from warmstart.heads.svm_rbf import RbfSvmHead


def logits(head: Head, features: Tensor) -> Tensor:
    """(B, K) from (B, D), as `Head.logits`. Raises UsageError for a head without derivatives."""
    a = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in head.arrays().items()}
    match head:
        case LinearHead() | RidgeHead():
            return features @ a["coef"] + a["intercept"]
        case MlpHead():
            return torch.tanh(features @ a["coef1"] + a["intercept1"]) @ a["coef2"] + a["intercept2"]
        case RbfSvmHead():
            z = (features - a["mean"]) * a["scale"]
            dimensions = max(int(torch.count_nonzero(a["scale"])), 1)  # 1 / gamma; see `svm_rbf`
            squares = (z[:, None, :] - a["support"]).square().sum(dim=2)
            return torch.exp(-squares / dimensions) @ a["coef"] + a["intercept"]
        case _:
            raise UsageError(
                f"head {head.name!r} has no gradient, so there is no Grad-CAM of it; --method occlusion explains any head"
            )
