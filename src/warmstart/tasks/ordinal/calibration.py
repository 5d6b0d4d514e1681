"""How sure is sure: one temperature for all thresholds, from what was said of held-out pictures.

    P(y ≤ k) = σ((θₖ - z) / T)

T is where held-out log-loss is smallest (after C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2). In
β = 1/T each term of `heads.cumulative` is convex, so its slope has one zero, which is found by halving. Whatever T is, the median of a
picture stays: it is where θₖ - z changes its sign.

N pictures, K values.
"""

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.cumulative import LEAST_GAP, Ranks

TEMPERATURES = (0.05, 20.0)  # where all is right, or nothing, the best is 0 or infinity; we stop here
HALVINGS = 60


def fit_temperature(logits: NDArray[np.floating], y: Ranks, *, doubt: float = 0.0) -> float:
    """T, for logits of y ≤ k (N, K - 1) and ranks (N,).

    ``doubt`` is a share of each picture that counts as one of the other values, all alike: a mistake that may just not have been seen
    yet (J. Platt, "Probabilistic outputs for support vector machines", 1999, section 2.2).
    """
    c = logits.astype(np.float64)
    n, k = len(c), c.shape[1] + 1
    weight = np.full((n, k), doubt / (k - 1))
    weight[np.arange(n), y] = 1 - doubt
    gaps = np.maximum(np.diff(c, axis=1), LEAST_GAP)

    def slope(beta: float) -> float:
        """Of the loss, by β."""
        found = np.zeros((n, k))
        found[:, :-1] -= c * _sigmoid(-beta * c)
        found[:, 1:] += c * _sigmoid(beta * c)
        found[:, 1:-1] -= gaps / np.expm1(np.minimum(beta * gaps, 500.0))
        return float((found * weight).sum())

    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(HALVINGS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / float(np.sqrt(low * high))


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    chance = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, chance) / (1 + chance))
