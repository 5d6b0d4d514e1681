"""A head that was handed over: what a scikit-learn classifier has learnt, as arrays (`heads.written`), and logits of what they say.

    linear      as it is
    kernel      of each pair of classes; votes, and confidences where these are equal, as scikit-learn's SVC has them with break_ties=True
    neighbours  log of the smoothed vote shares of the k nearest
    trees       log of the smoothed mean of the leaves' shares

N examples, D features, K classes, Q pairs of classes.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array
from warmstart.heads.written import Written
from warmstart.tasks.classify.heads.protocol import Settings

NAME = "given"
SMOOTHING = 1e-3  # of a share that is 0; what the temperature then makes of it is fitted on held-out pictures


class GivenHead:
    """See the top."""

    name: ClassVar[str] = NAME
    written: Written  # once fitted

    def logits(self, X: Array) -> Array:
        """See `Head.logits`."""
        said = self.written(X)
        match self.kind:
            case "kernel":
                return by_pairs(said, self.n_classes).astype(np.float32)
            case "neighbours" | "trees":
                return log_shares(said)
        return said.astype(np.float32)

    @property
    def kind(self) -> str:
        """Of what was written."""
        return self.written.kind

    @property
    def n_classes(self) -> int:
        """K."""
        outputs = self.written.n_outputs
        return round((1 + float(np.sqrt(1 + 8 * outputs))) / 2) if self.kind == "kernel" else outputs

    def settings(self) -> dict[str, Any]:
        """See `Head.settings`."""
        return self.written.settings()

    def arrays(self) -> dict[str, Array]:
        """See `Head.arrays`."""
        return dict(self.written.arrays)

    @classmethod
    def from_arrays(cls, settings: Settings, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """See `Head.from_arrays`."""
        return cls.of(Written.from_arrays(settings, arrays))

    @classmethod
    def of(cls, written: Written) -> Self:
        """What was learnt. Raises ValueError where it says no classes."""
        head = cls()
        head.written = written
        pairs, k = written.n_outputs, head.n_classes
        if written.kind == "kernel" and k * (k - 1) // 2 != pairs:
            raise ValueError(f"'head.intercept' of {pairs} pairs, which no number of classes has")
        for kind, name in (("trees", "shares"), ("neighbours", "votes")):
            if written.kind == kind and (written.arrays[name] < 0).any():
                raise ValueError(f"'head.{name}', expected no number below 0")
        return head


def by_pairs(decisions: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """(N, K) from (N, Q), pair (i, j) > 0 for class i: votes, and within them confidences below a third, as scikit-learn's 'ovr' has it.

    Of two classes the one number d is for the second: (-d / 2, d / 2).
    """
    if k == 2:
        return np.concatenate([-decisions, decisions], axis=1) / 2
    votes, confidences = np.zeros((len(decisions), k)), np.zeros((len(decisions), k))
    for number, (i, j) in enumerate(combinations(range(k), 2)):
        d = decisions[:, number]
        confidences[:, i] += d
        confidences[:, j] -= d
        votes[:, i] += d >= 0
        votes[:, j] += d < 0
    counted: NDArray[np.float64] = votes + confidences / (3 * (np.abs(confidences) + 1))
    return counted


def log_shares(votes: NDArray[Any]) -> Array:
    """(N, K): logarithm of shares, none of them 0."""
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1e-30)
    logarithms: Array = np.log((shares + SMOOTHING) / (1 + SMOOTHING * votes.shape[1])).astype(np.float32)
    return logarithms
