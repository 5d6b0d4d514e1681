"""Heads of the form logits = X W + b: one path of fits for any smooth loss, from strong penalty to weak.

    minimise   Σᵢ wᵢ loss(zᵢ, yᵢ) / Σᵢ wᵢ  +  ½ penalty ‖V‖²      zᵢ = V·standardised(xᵢ) + c

Each penalty starts where the stronger one ended, parameters and curvature both, so a path of five costs about as much as two
fits. Besides X, which is read where it lies, a fit needs a few blocks of F·K·D numbers.

N examples, D features, K classes, F weightings.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.lbfgs import minimise
from warmstart.heads.standardising import Array, StandardisedFeatures
from warmstart.tasks.classify.heads.protocol import Labels

# logits (N, F, K), labels (N,), shares (N, F) → value (F,) and its slope by the logits (N, F, K)
Loss = Callable[[Array, Labels, Array], tuple[NDArray[np.float64], Array]]

CLOSE = 1e-5  # for a head that is kept: within 0.1 % of the smallest loss on 3,068 pictures of 10 classes
CLOSE_ENOUGH_TO_CHOOSE = 3e-3  # moves held-out log-loss by about 1 %, less than a step of the grid, in a third of the time


def affine_path(
    X: Array, y: Labels, *, n_classes: int, weights: Array, penalties: Sequence[float], loss: Loss, tolerance: float
) -> Iterator[tuple[Array, Array]]:
    """For each penalty (strongest first) the weights (F, K, D) and biases (F, K) for raw features, one for each row of
    ``weights`` (F, N).
    """
    n, d = X.shape
    f, k = len(weights), n_classes
    features = StandardisedFeatures(X, weights)
    shares = shares_of(weights)

    def loss_of(theta: Array) -> tuple[NDArray[np.float64], Array]:
        value, slope = loss(features.product(theta[:, : k * d].reshape(f, k, d), theta[:, k * d :]), y, shares)
        by_V, by_c = features.gradient(slope)
        return value, np.concatenate([by_V.reshape(f, k * d), by_c], axis=1)

    is_weight = np.arange(k * (d + 1)) < k * d  # biases are free
    start = np.zeros((f, k * (d + 1)), np.float32)
    by_parameter = (np.where(is_weight, np.float32(penalty), np.float32(0)) for penalty in penalties)
    for theta in minimise(loss_of, start, by_parameter, tolerance=tolerance, memory=lbfgs_memory(n, f * k)):
        yield features.folded(theta[:, : k * d].reshape(f, k, d), theta[:, k * d :])


def lbfgs_memory(examples: int, outputs: int) -> int:
    """How many pairs L-BFGS may keep, 2 … 8, for F·K ``outputs``.

    A pair costs 2·F·K·D numbers. Many classes on few pictures get a shorter memory, so that all pairs stay below 0.3 N·D
    wherever F·K is below N / 13.
    """
    return int(np.clip(0.3 * examples / (2 * outputs), 2, 8))


def shares_of(weights: Array) -> Array:
    """(N, F): each column the weights (F, N) of one weighting, scaled to sum to 1."""
    return np.ascontiguousarray((weights / weights.sum(axis=1, keepdims=True)).T)


def softmax_loss(logits: Array, y: Labels, shares: Array) -> tuple[NDArray[np.float64], Array]:
    """Multinomial log-loss: value log Σ exp z - z_y, slope softmax(z) - onehot(y)."""
    logits = logits - logits.max(axis=2, keepdims=True)
    of_label = np.arange(len(y)), slice(None), y
    z_label = logits[of_label]
    exp = np.exp(logits, out=logits)
    total = exp.sum(axis=2)
    value = ((np.log(total) - z_label) * shares).sum(axis=0, dtype=np.float64)
    exp *= (shares / total)[:, :, None]
    exp[of_label] -= shares
    return value, exp


def squared_hinge_loss(logits: Array, y: Labels, shares: Array) -> tuple[NDArray[np.float64], Array]:
    """One-against-rest squared hinge, summed over classes: max(0, 1 - t z)², t = +1 for the example's class, -1 for others."""
    sign = np.full((len(y), 1, logits.shape[2]), -1, np.float32)
    sign[np.arange(len(y)), 0, y] = 1
    short = np.maximum(1 - sign * logits, 0)
    value = ((short * short).sum(axis=2) * shares).sum(axis=0, dtype=np.float64)
    return value, -2 * sign * short * shares[:, :, None]
