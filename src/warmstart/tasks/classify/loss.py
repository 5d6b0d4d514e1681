"""What is minimised: cross-entropy with targets that are distributions, so smoothing, class weights and mixup are one formula.

    loss = -(1/B) Σ_i Σ_k t_ik log softmax(z_i)_k        t_i = w(y_i) · [(1-s) · onehot(y_i) + s/K]

The mean is over pictures and not over weights, so a sum over parts of a batch is the batch's loss.

B batch, N examples, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.errors import UsageError
from warmstart.tasks.classify.metrics import log_loss
from warmstart.tasks.classify.temperature import fit_temperature, softmax
from warmstart.training.objective import ValScores
from warmstart.training_settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class ClassObjective:
    """Labels int64 (B,) and logits (B, K); see `training.objective.Objective`."""

    n_classes: int
    smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    choose_by: Literal["loss", "accuracy"] = "loss"

    @classmethod
    def of(cls, n_classes: int, settings: TrainingSettings) -> Self:
        """As the settings have it. Raises UsageError for class weights that are not one a class."""
        weights = settings.class_weights
        if weights is not None and len(weights) != n_classes:
            raise UsageError(f"found {len(weights)} class weights for {n_classes} classes; give one a class.")
        return cls(n_classes=n_classes, smoothing=settings.label_smoothing, class_weights=weights, choose_by=settings.choose_by)

    def targets(self, collated: Tensor) -> Tensor:
        """Distributions (B, K)."""
        return soft_targets(collated, self.n_classes, smoothing=self.smoothing, class_weights=self.class_weights)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy."""
        return cross_entropy(outputs, targets)

    def scores(self, outputs: Sequence[Tensor], collated: Sequence[Tensor]) -> ValScores:
        """Log-loss, log-loss at the temperature that fits best, accuracy.

        By 'loss' calibrated losses are compared. Accuracy on a few hundred pictures moves in steps of half a point, and the best of many
        epochs is then the luckiest; plain log-loss grows with overconfidence, long before predictions get worse (C. Guo et al., ICML 2017,
        §3), and the model is saved with a temperature anyway. By 'accuracy' the same loss decides ties.
        """
        logits = np.concatenate([part.numpy() for part in outputs])
        labels = np.concatenate([part.numpy() for part in collated])
        accuracy = float(np.mean(logits.argmax(axis=1) == labels))
        loss = calibrated = float("nan")
        if np.isfinite(logits).all():
            wide = logits.astype(np.float64)
            loss = log_loss(softmax(wide), labels)
            calibrated = log_loss(softmax(wide, fit_temperature(wide, labels)), labels)
        return ValScores(
            loss=loss,
            rank=(-accuracy, calibrated) if self.choose_by == "accuracy" else (calibrated,),
            named={"calibrated_loss": calibrated, "accuracy": accuracy},
        )


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
