"""Support vector machine with a Gaussian kernel, one class against the rest, on standardised features.

    decision_k(x) = Σₘ aₘₖ exp(-gamma ‖z - zₘ‖²) + bₖ        gamma = 1 / D, scikit-learn's 'scale' for unit variance

libsvm solves it (through scikit-learn) on a kernel matrix that we compute once with one matrix product and share between the K
classes. Prediction is the formula above, in numpy.

N examples, M support vectors, D features, K classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from warmstart.errors import UsageError
from warmstart.heads.standardising import Array, blocks, mean_and_scale
from warmstart.heads.stored_arrays import checked_arrays
from warmstart.tasks.classify.heads.protocol import (
    Labels,
    Settings,
    checked_settings,
    fit_one_by_one,
    without_weightless,
)

MOST_EXAMPLES = 10_000  # the kernel matrix then takes 800 MB


class RbfSvmHead:
    """SVM with a Gaussian kernel; ``cost`` is libsvm's C."""

    name: ClassVar[str] = "svm-rbf"

    def __init__(self, *, cost: float = 10.0) -> None:
        self.cost = cost

    def fit(self, X: Array, y: Labels, *, n_classes: int, sample_weight: Array | None = None) -> Self:
        """See `Head.fit`. Memory besides X: N·D·4 + N²·8 bytes.

        Raises UsageError for more than `MOST_EXAMPLES` examples.
        """
        X, y, weights = without_weightless(X, y, sample_weight)
        if len(X) > MOST_EXAMPLES:
            raise UsageError(
                f"head 'svm-rbf' needs memory for all pairs of pictures: {len(X):,} training pictures are too many, "
                f"{MOST_EXAMPLES:,} is the most. Use --head svm or --head linear."
            )
        from sklearn.svm import SVC

        mean, scale = mean_and_scale(X, weights[None])
        self.mean_, self.scale_ = mean[0], scale[0]
        Z = (X - self.mean_) * self.scale_
        kernel = self._kernel(Z, Z).astype(np.float64)
        coef = np.zeros((len(X), n_classes), np.float32)
        self.intercept_ = np.full(n_classes, -1, np.float32)  # a class that is absent says no to everything
        for label in range(n_classes):
            if label == 1 and n_classes == 2:
                coef[:, 1], self.intercept_[1] = -coef[:, 0], -self.intercept_[0]
                break
            mine = y == label
            if mine.all():
                self.intercept_[label] = 1
            elif mine.any():
                machine = SVC(kernel="precomputed", C=self.cost).fit(kernel, mine, sample_weight=weights)
                coef[machine.support_, label] = machine.dual_coef_[0]
                self.intercept_[label] = machine.intercept_[0]
        supports = (coef != 0).any(axis=1)
        self.support_, self.coef_ = Z[supports], coef[supports]
        return self

    def logits(self, X: Array) -> Array:
        """See `Head.logits`: the decision values."""
        out = np.empty((len(X), len(self.intercept_)), np.float32)
        for rows in blocks(len(X)):
            kernel = self._kernel((X[rows] - self.mean_) * self.scale_, self.support_)
            out[rows] = kernel @ self.coef_ + self.intercept_
        return out

    def settings(self) -> dict[str, Any]:
        """See `Head.settings`."""
        return {"cost": self.cost}

    def arrays(self) -> dict[str, Array]:
        """Support vectors (M, D), their coefficients (M, K), biases (K,), and the standardisation (D,), (D,)."""
        return {
            "support": self.support_,
            "coef": self.coef_,
            "intercept": self.intercept_,
            "mean": self.mean_,
            "scale": self.scale_,
        }

    @classmethod
    def from_arrays(cls, settings: Settings, arrays: Mapping[str, Array]) -> Self:
        """See `Head.from_arrays`."""
        head = cls(**checked_settings(cls, settings))
        shapes = {"support": "MD", "coef": "MK", "intercept": "K", "mean": "D", "scale": "D"}
        head.support_, head.coef_, head.intercept_, head.mean_, head.scale_ = checked_arrays(arrays, shapes)
        return head

    @classmethod
    def fit_path(
        cls, X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
    ) -> Iterator[Iterable[Self]]:
        """See `Head.fit_path`."""
        return fit_one_by_one(cls, X, y, n_classes=n_classes, weights=weights, grid=grid)

    def _kernel(self, A: Array, B: Array) -> Array:
        """exp(-‖a - b‖² / D) for all pairs, by ‖a - b‖² = ‖a‖² + ‖b‖² - 2 a·b."""
        squares: Array = np.vecdot(A, A)[:, None] + np.vecdot(B, B) - 2 * (A @ B.T)
        dimensions = np.float32(max(int(np.count_nonzero(self.scale_)), 1))  # features that do not vary are none
        kernel: Array = np.exp(-np.maximum(squares, 0) / dimensions)
        return kernel
