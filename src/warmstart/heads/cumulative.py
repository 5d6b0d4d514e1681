"""The cumulative link model: values in an order, told apart by thresholds on one scale (proportional odds).

    P(y ≤ k | x) = σ(θₖ - z),  z = v·standardised(x),  k = 0 … K - 2
    minimise   -Σᵢ wᵢ log P(yᵢ | xᵢ) / Σᵢ wᵢ  +  ½ penalty ‖v‖²           P. McCullagh, "Regression models for ordinal data", Journal of the
                                                                          Royal Statistical Society B 42, 1980, section 2

With b = θ_y - z above a picture and a = θ_{y-1} - z below it,

    -log P(y) = log(1 + e⁻ᵇ) + log(1 + eᵃ) - log(1 - e^-(θ_y - θ_{y-1}))

(the lowest value lacks the second and the third term, the highest the first and the third), in which nothing cancels. Each term is convex
in (v, θ), and the third grows without bound where two thresholds meet: so there is one optimum, and its thresholds stand in order without
being made to. A step that would swap two costs infinity, and is halved.

A value that no picture of a fold has would let its thresholds run away; it counts as half a picture with mean features (R. Krichevsky,
V. Trofimov, "The performance of universal encoding", IEEE Transactions on Information Theory 27, 1981).

N examples, D features, K values, F folds.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.lbfgs import minimise
from warmstart.heads.least_squares import FLOOR
from warmstart.heads.linear_map import LinearMap
from warmstart.heads.standardising import Array, StandardisedFeatures, floored

Ranks = NDArray[np.int64]  # (N,), 0 … K - 1

CLOSE = 1e-6  # of the loss, for a map that is kept
CLOSE_ENOUGH_TO_CHOOSE = 3e-3  # as of `heads.logistic`
LEAST_GAP = 1e-12  # between thresholds, where logits come from elsewhere


def cumulative_fit(X: Array, y: Ranks, n_values: int, penalty: float, *, tolerance: float = CLOSE) -> LinearMap:
    """The map from raw features X (N, D) to logits of y ≤ k: coef (D, 1), the same for all, and intercept (K - 1,), ascending.

    The penalty stands beside the *mean* loss, so it means the same for any number of examples.
    """
    ((coef, intercept),) = _path(X, y, n_values, np.ones((1, len(y)), np.float32), [penalty], tolerance=tolerance)
    return LinearMap(coef=np.ascontiguousarray(coef.T), intercept=intercept[0])


def held_out_path(
    X: Array, y: Ranks, n_values: int, penalties: Sequence[float], fold_of: NDArray[np.int64]
) -> Iterator[NDArray[np.float64]]:
    """For each penalty, the strongest first, the logits (N, K - 1) of every example by the fit without its fold. ``fold_of`` (N,)."""
    folds = np.unique(fold_of)
    weights = np.stack([fold_of != fold for fold in folds]).astype(np.float32)
    for coef, intercept in _path(X, y, n_values, weights, penalties, tolerance=CLOSE_ENOUGH_TO_CHOOSE):
        logits = np.empty((len(y), n_values - 1), np.float64)
        for f, fold in enumerate(folds):
            inside = fold_of == fold
            logits[inside] = (X[inside] @ coef[f])[:, None] + intercept[f]
        yield logits


def log_probabilities(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, K): log P(y = k), for logits of y ≤ k (N, K - 1), each row ascending."""
    c = logits.astype(np.float64)
    found = np.zeros((len(c), c.shape[1] + 1))
    found[:, :-1] -= np.logaddexp(0, -c)
    found[:, 1:] -= np.logaddexp(0, c)
    found[:, 1:-1] += np.log(-np.expm1(-np.maximum(np.diff(c, axis=1), LEAST_GAP)))
    return found


def log_losses(logits: NDArray[np.floating], y: Ranks) -> NDArray[np.float64]:
    """(N,): -log P(y) of each example, in nats."""
    return -log_probabilities(logits)[np.arange(len(y)), y]


def prior_logits(y: Ranks, n_values: int) -> NDArray[np.float64]:
    """(K - 1,): the logits that say the shares of these examples, whatever the picture. Each value has one."""
    share = np.cumsum(np.bincount(y, minlength=n_values))[:-1] / len(y)
    return np.asarray(np.log(share) - np.log1p(-share))


def _path(
    X: Array, y: Ranks, n_values: int, W: Array, penalties: Iterable[float], *, tolerance: float
) -> Iterator[tuple[Array, Array]]:
    """For each penalty the coefficients (F, D) and intercepts (F, K - 1) for raw features, for examples weighted by W (F, N)."""
    (n, d), f = X.shape, len(W)
    total = W.sum(axis=1, dtype=np.float64)[:, None]
    is_value = np.zeros((n, n_values), np.float32)
    is_value[np.arange(n), y] = 1
    shares = np.ascontiguousarray((W / total).T, np.float32)  # (N, F)
    counts = W.astype(np.float64) @ is_value
    lacking = np.where(counts == 0, 0.5, 0) / total  # (F, K)
    mass = counts / total + lacking
    features = StandardisedFeatures(X, W)
    features.scale = np.stack([floored(row, FLOOR) for row in features.scale])
    nothing = np.zeros((f, 1), np.float32)

    def loss_of(theta: Array) -> tuple[NDArray[np.float64], Array]:
        z = features.product(theta[:, None, :d], nothing)[:, :, 0]
        ends = np.concatenate([np.full((f, 1), -np.inf), theta[:, d:], np.full((f, 1), np.inf)], axis=1)  # (F, K + 1)
        of_picture = ends.astype(np.float32)
        above, below = of_picture[:, y + 1].T - z, of_picture[:, y].T - z  # (N, F)
        gaps = np.diff(ends[:, 1:-1], axis=1)
        ordered = (gaps > 0).all(axis=1)
        gaps = np.clip(gaps, LEAST_GAP, 50.0)  # e⁻⁵⁰ is nothing beside 1
        value = ((_softplus(-above) + _softplus(below)) * shares).sum(axis=0, dtype=np.float64)
        value += (lacking * (_softplus(-ends[:, 1:]) + _softplus(ends[:, :-1]))).sum(axis=1)
        value -= (mass[:, 1:-1] * np.log(-np.expm1(-gaps))).sum(axis=1)
        by_above, by_below = _sigmoid(-above) * shares, _sigmoid(below) * shares
        from_above = by_above.T @ is_value + lacking * _sigmoid(-ends[:, 1:])  # (F, K)
        from_below = by_below.T @ is_value + lacking * _sigmoid(ends[:, :-1])
        by_ends = from_below[:, 1:] - from_above[:, :-1]
        apart = mass[:, 1:-1] / np.expm1(gaps)
        by_ends[:, 1:] -= apart
        by_ends[:, :-1] += apart
        by_V, _ = features.gradient((by_above - by_below)[:, :, None])
        gradient = np.concatenate([by_V[:, 0], by_ends.astype(np.float32)], axis=1)
        return np.where(ordered, value, np.inf), gradient

    start = np.zeros((f, d + n_values - 1), np.float32)
    so_far = np.cumsum(mass, axis=1)
    start[:, d:] = np.log(so_far[:, :-1]) - np.log(so_far[:, -1:] - so_far[:, :-1])  # the best without any feature
    by_parameter = (np.r_[np.full(d, each), np.zeros(n_values - 1)].astype(np.float32) for each in penalties)
    memory = int(np.clip(0.3 * n / (2 * f), 2, 8))  # as of `heads.logistic`
    for theta in minimise(loss_of, start, by_parameter, tolerance=tolerance, memory=memory):
        coef, offset = features.folded(theta[:, None, :d], nothing)
        yield -coef[:, 0], theta[:, d:] - offset


def _softplus(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _sigmoid(x: NDArray[np.floating]) -> NDArray[np.floating]:
    chance = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, chance) / (1 + chance))
