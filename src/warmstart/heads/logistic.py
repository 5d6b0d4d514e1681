"""Logistic regression onto several binary targets at once, each with its own weights, its own penalty and its own gaps.

    minimise, for each output o,   Σᵢ wᵢₒ log(1 + exp(-tᵢₒ zᵢₒ)) / Σᵢ wᵢₒ  +  ½ penaltyₒ ‖vₒ‖²       zᵢₒ = vₒ·standardised(xᵢ) + cₒ,  t = ±1

An entry of weight 0 has no part in it, nor in the mean and deviation that features are standardised by: the fit of an output is the one
without these examples. Every output of every fold is a problem of its own for `heads.lbfgs`; one matrix product serves all of them.

An output that has one kind of example only, as a rare one may in a fold, learns no weights: its logit is that of (n + ½) / (N + 1)
everywhere (R. Krichevsky, V. Trofimov, "The performance of universal encoding", IEEE Transactions on Information Theory 27, 1981).

N examples, D features, O outputs, F folds, P = F·O problems.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.lbfgs import minimise
from warmstart.heads.least_squares import FLOOR
from warmstart.heads.linear_map import LinearMap
from warmstart.heads.standardising import Array, StandardisedFeatures, floored

Entries = NDArray[np.floating]  # (N, O)

CLOSE = 1e-6  # of the loss, for a map that is kept
CLOSE_ENOUGH_TO_CHOOSE = 3e-3  # moves a held-out loss by less than a step of the penalties, in a third of the time


def binary_fit(X: Array, Y: Entries, W: Entries, penalties: NDArray[np.floating], *, tolerance: float = CLOSE) -> LinearMap:
    """The map to logits for raw features X (N, D), from targets 0 or 1 and their weights, (N, O) each. ``penalties`` (O,).

    Penalties stand beside the *mean* loss, so they mean the same for any number of examples; scikit-learn's C is 1 / (penalty · Σ w).
    """
    ((coef, intercept),) = _path(X, Y, W[None], [penalties], tolerance=tolerance)
    return LinearMap(coef=np.ascontiguousarray(coef[0].T), intercept=intercept[0])


def held_out_path(
    X: Array, Y: Entries, W: Entries, penalties: Sequence[float], fold_of: NDArray[np.int64]
) -> Iterator[NDArray[np.float64]]:
    """For each penalty, the strongest first, the logits (N, O) of every example by the fit without its fold. ``fold_of`` (N,)."""
    folds = np.unique(fold_of)
    weights = np.stack([np.where((fold_of == fold)[:, None], 0, W) for fold in folds])
    each = [np.full(Y.shape[1], penalty) for penalty in penalties]
    for coef, intercept in _path(X, Y, weights, each, tolerance=CLOSE_ENOUGH_TO_CHOOSE):
        logits = np.empty(Y.shape, np.float64)
        for f, fold in enumerate(folds):
            inside = fold_of == fold
            logits[inside] = X[inside] @ coef[f].T + intercept[f]
        yield logits


def log_losses(logits: Entries, Y: Entries) -> NDArray[np.float64]:
    """(N, O): of every entry, in nats: log(1 + exp(z)) - y z."""
    z = logits.astype(np.float64)
    return np.asarray(np.logaddexp(0, z) - Y * z)


def _path(
    X: Array, Y: Entries, W: NDArray[np.floating], penalties: Iterable[NDArray[np.floating]], *, tolerance: float
) -> Iterator[tuple[Array, Array]]:
    """For each of ``penalties`` (O,) the weights (F, O, D) and biases (F, O) for raw features, for entries weighted by W (F, N, O)."""
    (n, d), o, f = X.shape, Y.shape[1], len(W)
    y = np.ascontiguousarray(Y, np.float32)
    positive, total = (W * y).sum(axis=1), W.sum(axis=1)  # (F, O)
    learns = (positive > 0) & (positive < total)
    constant = np.log((positive + 0.5) / (total - positive + 0.5)).astype(np.float32)
    shares = np.where(learns[:, None], W / np.maximum(total, np.finfo(np.float32).tiny)[:, None], 0)
    shares = np.ascontiguousarray(shares.transpose(1, 0, 2).reshape(n, f * o), np.float32)  # (N, P)
    targets = np.tile(y, (1, f))
    features = _standardised(X, W)

    def loss_of(theta: Array) -> tuple[NDArray[np.float64], Array]:
        z = features.product(theta[:, None, :d], theta[:, d:])[:, :, 0]
        chance = np.exp(-np.abs(z))
        value = ((np.maximum(z, 0) + np.log1p(chance) - targets * z) * shares).sum(axis=0, dtype=np.float64)
        slope = (np.where(z >= 0, 1, chance) / (1 + chance) - targets) * shares
        by_V, by_c = features.gradient(slope[:, :, None])
        return value, np.concatenate([by_V[:, 0], by_c], axis=1)

    by_parameter = (
        np.concatenate([np.tile(np.repeat(each[:, None], d, axis=1), (f, 1)), np.zeros((f * o, 1))], axis=1).astype(np.float32)
        for each in penalties
    )
    memory = int(
        np.clip(0.3 * n / (2 * f * o), 2, 8)
    )  # a pair costs 2·P·D numbers, all of them less than a third of the features
    for theta in minimise(loss_of, np.zeros((f * o, d + 1), np.float32), by_parameter, tolerance=tolerance, memory=memory):
        coef, intercept = features.folded(theta[:, None, :d], theta[:, d:])
        coef, intercept = coef.reshape(f, o, d), intercept.reshape(f, o)
        yield np.where(learns[:, :, None], coef, 0), np.where(learns, intercept, constant)


def _standardised(X: Array, W: NDArray[np.floating]) -> StandardisedFeatures:
    """The features under the weights of every problem; no deviation far below the median one, so that no logit runs away."""
    f, n, o = W.shape
    weights = np.ascontiguousarray(W.transpose(0, 2, 1).reshape(f * o, n), np.float32)
    weights[weights.sum(axis=1) == 0] = 1
    # Without gaps all outputs of a fold have the same weights, and without folds too.
    different, place = np.unique(weights, axis=0, return_inverse=True)
    features = StandardisedFeatures(X, different)
    place = place.reshape(-1)
    features.mean = features.mean[place]
    features.scale = np.stack([floored(row, FLOOR) for row in features.scale])[place]
    return features
