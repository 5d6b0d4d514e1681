"""What is minimised: cross-entropy with targets that are distributions, so smoothing, class weights and mixup are one formula.

    loss = -(1/B) Σ_i Σ_k t_ik log softmax(z_i)_k        t_i = w(y_i) · [(1-s) · onehot(y_i) + s/K]

The mean is over pictures and not over weights, so a sum over parts of a batch is the batch's loss.

B batch, N examples, K classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def soft_targets(
    labels: Tensor, n_classes: int, *, smoothing: float = 0.0, class_weights: Sequence[float] | None = None
) -> Tensor:
    """t above, float32 (B, K), for labels int64 (B,). ``smoothing`` s: C. Szegedy et al., CVPR 2016, §7."""
    targets = nn.functional.one_hot(labels, n_classes).to(torch.float32) * (1 - smoothing) + smoothing / n_classes
    if class_weights is None:
        return targets
    return targets * torch.tensor(class_weights, dtype=torch.float32, device=labels.device)[labels, None]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """The *sum* over the batch of -Σ_k t_k log p_k, for logits and targets (B, K): a scalar."""
    return -(targets * nn.functional.log_softmax(logits, dim=1)).sum()
