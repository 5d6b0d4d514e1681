"""Mixup: train on straight lines between pairs of pictures (H. Zhang, M. Cisse, Y. Dauphin, D. Lopez-Paz, ICLR 2018).

It works on whatever the inputs are. With activations at a cut it is manifold mixup with a fixed layer (V. Verma et al., ICML
2019); prefix taps are mixed by the same λ, so that both inputs stay those of one mixture.

B batch.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from warmstart.errors import UsageError
from warmstart.training.batches import Inputs


def mixup(inputs: Inputs, targets: Any, *, alpha: float, random: np.random.Generator) -> tuple[Inputs, Tensor]:
    """λ · batch + (1-λ) · shuffled batch for inputs and targets (B, …), with one λ ~ Beta(alpha, alpha).

    Raises UsageError for targets that no straight line joins.
    """
    if not isinstance(targets, Tensor) or not targets.is_floating_point():
        raise UsageError("mixup_alpha is above 0, and the targets of this task cannot be mixed. Leave it at 0.")
    share = float(random.beta(alpha, alpha))
    partner = torch.from_numpy(random.permutation(len(targets))).to(targets.device)

    def mixed(x: Tensor) -> Tensor:
        return torch.lerp(x[partner], x, share)

    return tuple(mixed(x) for x in inputs), mixed(targets)
