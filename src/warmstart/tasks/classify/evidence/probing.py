"""A linear probe on frozen features, cross-validated on train: what it knows of pictures it has not learnt from.

N examples, D features, K classes, F folds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warmstart.evaluation.intervals import wilson
from warmstart.heads.folds import dealt
from warmstart.heads.standardising import Array
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.tasks.classify.heads.protocol import Labels
from warmstart.tasks.classify.metrics import SMALLEST_PROBABILITY
from warmstart.tasks.classify.temperature import fit_temperature, softmax

FOLDS = 5
# From strong to weak. Pooled features want the strong ones, the few features of an early stage the weak ones.
PENALTIES = (0.3, 0.1, 0.03, 0.01, 0.003)


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Every picture as a probe saw it that was fitted on the other folds."""

    penalty: float
    fold_of: NDArray[np.int64]  # (N,)
    heads: tuple[LinearHead, ...]  # one a fold, fitted on the others
    correct: NDArray[np.bool_]  # (N,)
    losses: NDArray[np.float64]  # (N,) -log p(true class) at the temperature that fits best, nats
    accuracy: float
    accuracy_ci95: tuple[float, float]


def cross_validated(
    X: Array,
    y: Labels,
    *,
    n_classes: int,
    seed: int,
    units: NDArray[np.int64] | None = None,
    penalties: Sequence[float] = PENALTIES,
) -> HeldOut:
    """The probe with the penalty of the lowest held-out log-loss. X float32 (N, D), y (N,); ``units`` as in `heads.folds`.

    The penalty is chosen on the same held-out pictures; among five that are half a decade apart this flatters by less than the interval.
    """
    fold_of = folds_of(y, seed, units)
    inside = [fold_of == fold for fold in range(int(fold_of.max()) + 1)]
    weights = np.stack([np.where(held_out, 0, 1) for held_out in inside]).astype(np.float32)
    path = LinearHead.fit_path(X, y, n_classes=n_classes, weights=weights, grid=[{"penalty": p} for p in penalties])
    best: HeldOut | None = None
    for penalty, fitted in zip(penalties, path, strict=True):
        heads = tuple(fitted)
        logits = np.empty((len(y), n_classes), np.float32)
        for held_out, head in zip(inside, heads, strict=True):
            logits[held_out] = head.logits(X[held_out])
        probabilities = softmax(logits, fit_temperature(logits, y))
        losses = -np.log(np.maximum(probabilities[np.arange(len(y)), y].astype(np.float64), SMALLEST_PROBABILITY))
        if best is not None and losses.mean() >= best.losses.mean():
            break  # the loss falls and then rises along the path
        correct = logits.argmax(axis=1) == y
        best = HeldOut(
            penalty=penalty,
            fold_of=fold_of,
            heads=heads,
            correct=correct,
            losses=losses,
            accuracy=float(correct.mean()),
            accuracy_ci95=accuracy_interval(correct, y),
        )
    assert best is not None
    return best


def folds_of(y: Labels, seed: int, units: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """(N,): the fold that holds each picture out, 0 … `FOLDS` - 1 where there are pictures enough. Two pictures of a small class are never
    held out together while folds last, unless they are of one unit.
    """
    fold_of = dealt(y, min(FOLDS, len(y)), seed, units)
    return np.unique(fold_of, return_inverse=True)[1].astype(np.int64)  # few units may leave a fold without any


def accuracy_interval(correct: NDArray[np.bool_], y: Labels, *, level: float = 0.95) -> tuple[float, float]:
    """Of the accuracy on pictures like these, 0 … 1 (see `evaluation.intervals`).

    A class with a single picture cannot be learnt while that picture is held out, so nothing is known of it: the lower end
    counts such pictures as wrong, the upper one as right.
    """
    known = np.bincount(y)[y] > 1
    share = float(known.mean())
    low, high = wilson(int(correct[known].sum()), int(known.sum()), level) if known.any() else (0.0, 1.0)
    return low * share, high * share + 1 - share
