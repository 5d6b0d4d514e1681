"""How many pictures have a class that their nearest others name: a head that needs no fit. N examples, D features."""

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array
from warmstart.tasks.classify.heads.protocol import Labels

NEIGHBOURS = 10
ROWS_AT_ONCE = 512


def knn_accuracy(
    features: Array, labels: Labels, *, neighbours: int = NEIGHBOURS, units: NDArray[np.int64] | None = None
) -> float:
    """Share of examples whose class is named by most of their nearest others (cosine of standardised features), 0 … 1.

    Nobody votes for itself, nor for another of its unit, where ``units`` (N,) are given: copies of a picture, a group. Of equal votes the
    class of the nearer neighbours wins.
    """
    X = features.astype(np.float32)
    X = X - X.mean(axis=0)
    X /= np.maximum(X.std(axis=0), np.finfo(np.float32).tiny ** 0.5)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    k = min(neighbours, len(X) - 1)
    right = 0
    for start in range(0, len(X), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(X)))
        likeness = X[rows] @ X.T
        likeness[np.arange(len(rows)), rows] = -np.inf
        if units is not None:
            likeness[units[rows][:, None] == units] = -np.inf
        nearest = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(rows), int(labels.max()) + 1))
        closeness = np.take_along_axis(likeness, nearest, axis=1)
        for column in range(k):  # likeness is within ±1, so its share decides ties and nothing else
            vote = np.where(np.isfinite(closeness[:, column]), 1 + closeness[:, column] / (4 * k), 0)
            votes[np.arange(len(rows)), labels[nearest[:, column]]] += vote
        right += int(np.sum(votes.argmax(axis=1) == labels[rows]))
    return right / len(X)
