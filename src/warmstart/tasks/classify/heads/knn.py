"""k nearest neighbours by cosine of standardised features; logits are the logarithm of smoothed vote shares.

N examples, M training examples, D features, K classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from warmstart.heads.standardising import Array, blocks, mean_and_scale
from warmstart.heads.stored_arrays import checked_arrays
from warmstart.tasks.classify.heads.protocol import (
    Labels,
    Settings,
    checked_settings,
    fit_one_by_one,
    without_weightless,
)


class KnnHead:
    """k-NN: ``neighbours`` vote with their sample weight; one vote more is spread evenly over the classes (Laplace), so that no
    probability is 0.
    """

    name: ClassVar[str] = "knn"

    def __init__(self, *, neighbours: int = 10) -> None:
        self.neighbours = neighbours

    def fit(self, X: Array, y: Labels, *, n_classes: int, sample_weight: Array | None = None) -> Self:
        """See `Head.fit`; a weight counts votes and does not make an example nearer. Memory besides X: N·D·4 bytes."""
        X, y, weights = without_weightless(X, y, sample_weight)
        mean, scale = mean_and_scale(X, weights[None])
        self.mean_, self.scale_ = mean[0], scale[0]
        self.examples_ = self._directions(X)
        self.votes_ = weights[:, None] * (y[:, None] == np.arange(n_classes)).astype(np.float32)
        return self

    def logits(self, X: Array) -> Array:
        """See `Head.logits`."""
        k = min(self.neighbours, len(self.examples_))
        logits = np.empty((len(X), self.votes_.shape[1]), np.float32)
        for rows in blocks(len(X)):
            likeness = self._directions(X[rows]) @ self.examples_.T
            nearest = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
            votes = self.votes_[nearest].sum(axis=1) + 1 / self.votes_.shape[1]
            logits[rows] = np.log(votes / votes.sum(axis=1, keepdims=True))
        return logits

    def margin(self, X: Array, label: int) -> Array:
        """float32 (N,), -2 … 2: mean cosine to the k nearest examples of a class minus that to the k nearest of all others.

        What votes are counted from. It moves with every feature, where the count moves only when a neighbour changes.
        """
        likeness = self._directions(X) @ self.examples_.T  # (N, M)
        of_class = self.votes_[:, label] > 0
        return self._nearest_mean(likeness[:, of_class]) - self._nearest_mean(likeness[:, ~of_class])

    def settings(self) -> dict[str, Any]:
        """See `Head.settings`."""
        return {"neighbours": self.neighbours}

    def arrays(self) -> dict[str, Array]:
        """The training examples as unit vectors (M, D), their votes (M, K), and the standardisation (D,), (D,)."""
        return {"examples": self.examples_, "votes": self.votes_, "mean": self.mean_, "scale": self.scale_}

    @classmethod
    def from_arrays(cls, settings: Settings, arrays: Mapping[str, Array]) -> Self:
        """See `Head.from_arrays`."""
        head = cls(**checked_settings(cls, settings))
        shapes = {"examples": "MD", "votes": "MK", "mean": "D", "scale": "D"}
        head.examples_, head.votes_, head.mean_, head.scale_ = checked_arrays(arrays, shapes)
        if len(head.examples_) == 0 or (head.votes_ < 0).any():
            raise ValueError("'head.votes', expected at least one row and no number below 0")
        return head

    @classmethod
    def fit_path(
        cls, X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
    ) -> Iterator[Iterable[Self]]:
        """See `Head.fit_path`."""
        return fit_one_by_one(cls, X, y, n_classes=n_classes, weights=weights, grid=grid)

    def _nearest_mean(self, likeness: Array) -> Array:
        k = min(self.neighbours, likeness.shape[1])
        if k == 0:
            return np.full(len(likeness), -1, np.float32)  # a class without examples is as far as can be
        mean: Array = -np.partition(-likeness, k - 1, axis=1)[:, :k].mean(axis=1)
        return mean

    def _directions(self, X: Array) -> Array:
        out: Array = (X - self.mean_) * self.scale_
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return out
