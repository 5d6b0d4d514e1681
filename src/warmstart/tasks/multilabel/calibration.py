"""From logits to probabilities that mean what they say, a label at a time, rare labels leaning on the others.

    p = σ(a z + b)      J. Platt, "Probabilistic outputs for support vector machines", 1999; his targets (n₊ + 1)/(n₊ + 2) and 1/(n₋ + 2),
                        a mistake that may just not have been seen yet

One a and b are fitted to all labels together, then those of each label with a normal prior around them, of the weight of `PRIOR` entries
whose logits are as large as they usually are: what few pictures say of a label moves little. A slope is never below `LEAST_SLOPE`:
calibration changes no order.

N pictures, O labels.
"""

import numpy as np
from numpy.typing import NDArray

PRIOR = 10.0
LEAST_SLOPE = 0.05
STEPS = 50


def sigmoid(z: NDArray[np.floating]) -> NDArray[np.floating]:
    """1 / (1 + exp(-z)), which overflows nowhere, in the type of z."""
    chance = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1, chance) / (1 + chance), dtype=z.dtype)


def logit(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """The inverse, finite also at 0 and 1."""
    inside = np.clip(p.astype(np.float64), 1e-12, 1 - 1e-12)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def platt(logits: NDArray[np.floating], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, O): a and b, for logits and truth (N, O), 1, 0 or NaN where it is unknown."""
    around, z = shared(logits, truth), logits.astype(np.float64)
    prior = PRIOR * np.array([np.square(z[~np.isnan(truth)]).mean(), 1.0])
    each = [
        _fitted(z[at, o], _softened(column)[at], around, prior=prior)
        for o, (column, at) in enumerate(zip(truth.T, (~np.isnan(truth)).T, strict=True))
    ]
    found = np.array(each).T.reshape(2, -1)
    found[0] = np.maximum(found[0], LEAST_SLOPE)
    return found


def shared(logits: NDArray[np.floating], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,): the same a and b for all labels."""
    known = ~np.isnan(truth)
    targets = np.stack([_softened(column) for column in truth.T], axis=1)
    return _fitted(logits[known].astype(np.float64), targets[known], np.array([1.0, 0.0]), prior=np.full(2, 1e-3))


def calibration_error(probabilities: NDArray[np.floating], truth: NDArray[np.float64], *, bins: int = 15) -> float:
    """Expected calibration error over all entries whose truth is known, 0 … 1 (C. Guo et al., ICML 2017, equation 3, of p itself)."""
    known = ~np.isnan(truth)
    p, y = probabilities[known].astype(np.float64), truth[known]
    place = np.clip(np.ceil(p * bins).astype(np.int64) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(place, p - y, bins)).sum() / max(len(p), 1))


def _softened(column: NDArray[np.float64]) -> NDArray[np.float64]:
    has, lacks = (column == 1).sum(), (column == 0).sum()
    return np.asarray(np.where(column == 1, (has + 1) / (has + 2), 1 / (lacks + 2)))


def _fitted(
    z: NDArray[np.float64], y: NDArray[np.float64], around: NDArray[np.float64], *, prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Smallest log-loss Σ log(1 + exp(az + b)) - y(az + b), and ½ Σ prior · ((a, b) - around)²: convex; Newton's steps, halved at need."""
    if not len(z):
        return around
    rows = np.stack([z, np.ones_like(z)])

    def cost(at: NDArray[np.float64]) -> float:
        return _loss(at @ rows, y) + 0.5 * float(np.square(at - around) @ prior)

    found, value = around.copy(), cost(around)
    for _ in range(STEPS):
        p = sigmoid(found @ rows)
        gradient = rows @ (p - y) + prior * (found - around)
        curvature = (rows * (p * (1 - p))) @ rows.T + np.diag(prior)
        step = np.linalg.solve(curvature, gradient)
        for _ in range(STEPS):
            ahead = found - step
            if (ahead_value := cost(ahead)) <= value:
                break
            step /= 2
        else:
            break
        found, gained, value = ahead, value - ahead_value, ahead_value
        if gained <= 1e-10 * max(value, 1e-12):
            break
    return found


def _loss(score: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0, score) - y * score).sum())
