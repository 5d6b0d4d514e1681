"""The two heads of the form logits = X W + b that are fitted step by step: logistic regression (the default) and linear SVM.

N examples, D features, K classes, F fits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.linear_map import LinearMap
from warmstart.heads.standardising import Array
from warmstart.heads.stored_arrays import checked_arrays
from warmstart.tasks.classify.heads.affine import CLOSE, CLOSE_ENOUGH_TO_CHOOSE, affine_path, softmax_loss, squared_hinge_loss
from warmstart.tasks.classify.heads.protocol import Labels, Settings, checked_settings, one_weighting


class LinearHead:
    """Multinomial logistic regression.

    ``penalty`` is on the weights of standardised features and stands beside the *mean* loss, so it means the same for any
    number of pictures; scikit-learn's C is 1 / (N · penalty).
    """

    name: ClassVar[str] = "linear"

    def __init__(self, *, penalty: float = 0.03) -> None:
        self.penalty = penalty

    @staticmethod
    def loss(logits: Array, y: Labels, shares: Array) -> tuple[NDArray[np.float64], Array]:
        """What is minimised; see `affine.Loss`."""
        return softmax_loss(logits, y, shares)

    def fit(self, X: Array, y: Labels, *, n_classes: int, sample_weight: Array | None = None) -> Self:
        """See `Head.fit`."""
        weights = one_weighting(y, sample_weight)
        ((W, b),) = affine_path(
            X, y, n_classes=n_classes, weights=weights, penalties=[self.penalty], loss=self.loss, tolerance=CLOSE
        )
        return self._learnt(W[0], b[0])

    def logits(self, X: Array) -> Array:
        """See `Head.logits`."""
        return X @ self.coef_ + self.intercept_

    def settings(self) -> dict[str, Any]:
        """See `Head.settings`."""
        return {"penalty": self.penalty}

    def arrays(self) -> dict[str, Array]:
        """Weights (D, K) and biases (K,), both for raw features."""
        return {"coef": self.coef_, "intercept": self.intercept_}

    @classmethod
    def from_arrays(cls, settings: Settings, arrays: Mapping[str, Array]) -> Self:
        """See `Head.from_arrays`."""
        head = cls(**checked_settings(cls, settings))
        head.coef_, head.intercept_ = checked_arrays(arrays, {"coef": "DK", "intercept": "K"})
        return head

    @property
    def map(self) -> LinearMap:
        """What it does with raw features."""
        return LinearMap(coef=self.coef_, intercept=self.intercept_)

    @classmethod
    def of_map(cls, learnt: LinearMap, **settings: Any) -> Self:
        """The head that does this."""
        head = cls(**settings)
        head.coef_, head.intercept_ = learnt.coef, learnt.intercept
        return head

    @classmethod
    def fit_path(
        cls, X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
    ) -> Iterator[Iterable[Self]]:
        """See `Head.fit_path`: all F weightings in one optimisation, each penalty starting where the one before ended."""
        path = affine_path(
            X,
            y,
            n_classes=n_classes,
            weights=weights,
            penalties=[settings["penalty"] for settings in grid],
            loss=cls.loss,
            tolerance=CLOSE_ENOUGH_TO_CHOOSE,
        )
        for settings, (W, b) in zip(grid, path, strict=True):
            yield tuple(cls(**settings)._learnt(W_f, b_f) for W_f, b_f in zip(W, b, strict=True))

    def _learnt(self, W: Array, b: Array) -> Self:
        self.coef_ = np.ascontiguousarray(W.T)
        self.intercept_ = b.copy()
        return self


class LinearSvmHead(LinearHead):
    """Linear support vector machine: one class against the rest, squared hinge (what scikit-learn's LinearSVC minimises, but
    with a free bias). ``penalty`` as in `LinearHead`; LinearSVC's C is 1 / (N · penalty).
    """

    name: ClassVar[str] = "svm"

    @staticmethod
    def loss(logits: Array, y: Labels, shares: Array) -> tuple[NDArray[np.float64], Array]:
        """What is minimised; see `affine.Loss`."""
        return squared_hinge_loss(logits, y, shares)
