"""Labels that the rest of the data contradicts: confident learning on out-of-fold probabilities.

    features, read two ways → a probe each, cross-validated → both stacked, cross-validated → joint counts → ranking

C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", J. Artificial Intelligence
Research 2021: a picture is *suspect* when some other class is predicted with at least the confidence that this class's own
pictures have on average (§3.1). Suspects are ranked by the probability of the given label (self-confidence, §3.2).

Stacked (D. Wolpert, Neural Networks 1992), because a probe's probabilities know nothing of its own mistakes. Where it takes every
second longsleeve for a shirt, a shirt that is called longsleeve is no news; a second probe on the first one's log-probabilities
learns that. See docs/doctor.md for what it brings. It is taken only where its held-out log-loss is lower.

N pictures, K classes, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array
from warmstart.tasks.classify.evidence.probing import HeldOut, cross_validated
from warmstart.tasks.classify.heads.protocol import Labels
from warmstart.tasks.classify.metrics import log_loss
from warmstart.tasks.classify.temperature import fit_temperature, softmax

FEWEST = 5  # pictures of a class, below which nothing said about its labels would be worth reading
STACK_PENALTIES = (1e-2, 1e-3, 1e-4)
PENALTIES = (0.3, 0.1, 0.03)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelErrors:
    """What the data says of its labels."""

    probabilities: Array  # (N, K), held out
    plain: Array  # (N, K), of the first probe alone
    given: Array  # (N,) probability of the label that stands there
    likely: NDArray[np.int64]  # (N,) the class that it looks like instead
    suspect: NDArray[np.bool_]  # (N,)
    stacked: bool
    accuracy: float  # of the first probe, held out
    log_loss: tuple[float, float]  # of the first probe, of what is used

    @property
    def ranked(self) -> NDArray[np.int64]:
        """Every picture, the label that is least believed first."""
        return np.argsort(self.given, kind="stable")


def label_errors(
    feature_sets: Sequence[Array], y: Labels, *, n_classes: int, seed: int, same_as: NDArray[np.int64] | None = None
) -> LabelErrors:
    """Of y (N,), from features (N, D) read in several ways, the first of them the best.

    same_as (N,): for each picture the first of its group of copies, itself where there is none. Probes learn from one picture
    of each group, and copies are judged by the probe that has seen none of them: a copy must not vouch for its own label.
    """
    first = np.flatnonzero(same_as == np.arange(len(y))) if same_as is not None else np.arange(len(y))
    position = np.zeros(len(y), np.int64)
    position[first] = np.arange(len(first))
    judge = position[same_as] if same_as is not None else position  # (N,) whose fold a picture shares
    probes = [cross_validated(X[first], y[first], n_classes=n_classes, seed=seed, penalties=PENALTIES) for X in feature_sets]
    plain, *others = (_held_out(probe, X, y, judge) for probe, X in zip(probes, feature_sets, strict=True))
    logs = np.log(np.maximum(np.concatenate([plain, *others], axis=1), 1e-6)).astype(np.float32)
    stack = cross_validated(logs[first], y[first], n_classes=n_classes, seed=seed + 1, penalties=STACK_PENALTIES)
    stacked = _held_out(stack, logs, y, judge)
    losses = log_loss(plain, y), log_loss(stacked, y)
    best = stacked if losses[1] < losses[0] else plain
    suspect, likely = confident(best, y)
    return LabelErrors(
        probabilities=best,
        plain=plain,
        given=best[np.arange(len(y)), y],
        likely=likely,
        suspect=suspect,
        stacked=best is stacked,
        accuracy=float(np.mean(plain.argmax(axis=1) == y)),
        log_loss=(losses[0], min(losses)),
    )


def confident(probabilities: Array, y: Labels) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each picture lies off the diagonal of the confident joint (N,), and the class it is counted under (N,).

    A class's threshold is the mean probability that its own pictures give it; of the classes whose threshold is reached the most
    probable counts, and where there is none the picture is no suspect. Classes under `FEWEST` pictures are neither suspects nor counted.
    """
    n, k = probabilities.shape
    count = np.bincount(y, minlength=k)
    own = np.bincount(y, weights=probabilities[np.arange(n), y], minlength=k)
    threshold = np.where(count >= FEWEST, own / np.maximum(count, 1), np.inf)
    reached = np.where(probabilities >= threshold, probabilities, -1)
    counted = reached.argmax(axis=1)
    suspect = (reached.max(axis=1) >= 0) & (counted != y) & (count[y] >= FEWEST)
    other = np.where(np.arange(k) == y[:, None], -1, probabilities).argmax(axis=1)
    return suspect, np.where(suspect, counted, other)


def _held_out(probe: HeldOut, X: Array, y: Labels, judge: NDArray[np.int64]) -> Array:
    """Probabilities (N, K) at the temperature that fits best, each row by the head that has not seen the picture or a copy of it."""
    fold_of = probe.fold_of[judge]
    logits = np.empty((len(X), probe.heads[0].coef_.shape[1]), np.float32)
    for fold, head in enumerate(probe.heads):
        logits[fold_of == fold] = head.logits(X[fold_of == fold])
    return np.asarray(softmax(logits, fit_temperature(logits, y)))
