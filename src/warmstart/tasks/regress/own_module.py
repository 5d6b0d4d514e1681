"""A module of the user's for numbers: it learns them in deviations of train, as a network right of a cut does, and says them in units.

    for each number of steps: folds of train → held-out pictures → the lowest loss → fitted on all

N pictures, D features, O targets.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from warmstart.heads.folds import dealt
from warmstart.heads.standardising import Array, mean_and_scale
from warmstart.tasks.regress.given import FOLDS
from warmstart.training.own_head import STEPS, OwnHead, fitted, made


class InUnits(nn.Module):
    """Numbers (B, O) in deviations → in the targets' units."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, module: nn.Module, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float32)))
        self.register_buffer("deviation", torch.from_numpy(deviation.astype(np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        """Once more by the mean and deviation of train."""
        found: Tensor = self.module(x) * self.deviation + self.mean
        return found


def in_units(own: OwnHead, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> OwnHead:
    """What says deviations, as what says units."""
    return OwnHead(module=InUnits(own.module, mean, deviation).eval(), mean=own.mean, scale=own.scale)


def in_deviations(own: OwnHead) -> OwnHead:
    """The inverse of `in_units`."""
    assert isinstance(own.module, InUnits)
    return OwnHead(module=own.module.module, mean=own.mean, scale=own.scale)


def learnt(module: nn.Module, X: Array, Y: NDArray[np.float64], *, robust: bool, steps: int, seed: int) -> OwnHead:
    """Fitted to X (N, D) and Y (N, O), which are in deviations: squares, or Huber's loss, summed over targets."""
    mean, scale = mean_and_scale(X, np.ones((1, len(X)), np.float32))
    targets = torch.from_numpy(Y.astype(np.float32))
    loss_of = nn.functional.smooth_l1_loss if robust else nn.functional.mse_loss

    def loss(out: Tensor, at: Any) -> Tensor:
        return loss_of(out, targets[at], reduction="none").sum(dim=1).mean()

    return fitted(made(module, X.shape[1]), X, loss, mean=mean[0], scale=scale[0], steps=steps, seed=seed)


def held_out(
    module: nn.Module, X: Array, Y: NDArray[np.float64], units: NDArray[np.int64], *, robust: bool, seed: int
) -> dict[int, NDArray[np.float64]]:
    """Number of steps → (N, O): what is said of each picture by a fit that has not seen it, nor one of its unit."""
    fold_of = dealt(np.zeros(len(Y), np.int64), min(FOLDS, len(Y)), seed, units)
    said = {steps: np.empty_like(Y) for steps in STEPS}
    for steps, out in said.items():
        for fold in np.unique(fold_of):
            inside = fold_of == fold
            out[inside] = learnt(module, X[~inside], Y[~inside], robust=robust, steps=steps, seed=seed)(X[inside])
    return said
