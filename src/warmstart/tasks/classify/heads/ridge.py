"""Ridge regression onto ±1 targets, one column a class, in closed form.

    minimise  Σᵢ sᵢ ‖tᵢ - V zᵢ - c‖²  +  penalty ‖V‖²       z standardised, s = w / Σ w, t = +1 for the class, -1 for others

With rows √s·z stacked in A and √s·(t - mean t) in T:   V = (AᵀA + penalty)⁻¹ AᵀT  =  Aᵀ (AAᵀ + penalty)⁻¹ T.
The smaller of the two Gram matrices is built once from blocks and factored for every penalty (Cholesky, which for a handful of
penalties is far cheaper than one eigen-decomposition).

N examples, D features, K classes, F fits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from warmstart.errors import UsageError
from warmstart.heads.standardising import Array, blocks, mean_and_scale
from warmstart.heads.stored_arrays import checked_arrays
from warmstart.tasks.classify.heads.affine import shares_of
from warmstart.tasks.classify.heads.protocol import Labels, Settings, checked_settings, one_weighting


class RidgeHead:
    """Closed-form ridge classifier; scikit-learn's RidgeClassifier with alpha = penalty · N on standardised features."""

    name: ClassVar[str] = "ridge"

    def __init__(self, *, penalty: float = 1.0) -> None:
        self.penalty = penalty

    def fit(self, X: Array, y: Labels, *, n_classes: int, sample_weight: Array | None = None) -> Self:
        """See `Head.fit`. Memory besides X: min(N, D)²·4 bytes."""
        (head,) = _solve(X, y, n_classes, one_weighting(y, sample_weight)[0], [self.penalty])
        return self._learnt(*head)

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
        return cls(**checked_settings(cls, settings))._learnt(*checked_arrays(arrays, {"coef": "DK", "intercept": "K"}))

    @classmethod
    def fit_path(
        cls, X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
    ) -> Iterator[Iterable[Self]]:
        """See `Head.fit_path`. The whole grid at once for each weighting, because its Gram matrix is the cost and F of them
        would not fit.
        """
        penalties = [settings["penalty"] for settings in grid]
        by_weighting = [_solve(X, y, n_classes, w, penalties) for w in weights]
        for i, settings in enumerate(grid):
            yield tuple(cls(**settings)._learnt(*solutions[i]) for solutions in by_weighting)

    def _learnt(self, coef: Array, intercept: Array) -> Self:
        self.coef_, self.intercept_ = coef, intercept
        return self


def _solve(X: Array, y: Labels, n_classes: int, weights: Array, penalties: Sequence[float]) -> list[tuple[Array, Array]]:
    """Weights (D, K) and biases (K,) for raw features, for each penalty."""
    mean, scale = (row[0] for row in mean_and_scale(X, weights[None]))
    root = np.sqrt(shares_of(weights[None]))  # (N, 1)
    target = np.where(y[:, None] == np.arange(n_classes), 1, -1).astype(np.float32)
    target_mean = (root**2 * target).sum(axis=0)
    T = root * (target - target_mean)

    from scipy.linalg.blas import ssyrk  # adds A Aᵀ in place, to the upper triangle only

    n, d = X.shape
    by_feature = d <= n
    gram = np.zeros((min(n, d),) * 2, np.float32, order="F")
    AT = np.zeros((d, n_classes), np.float32)
    if by_feature:
        for rows in blocks(n):
            A = root[rows] * ((X[rows] - mean) * scale)
            gram = ssyrk(1, A.T, beta=1, c=gram, overwrite_c=True)
            AT += A.T @ T[rows]
    else:
        for columns in blocks(d):
            A = root * ((X[:, columns] - mean[columns]) * scale[columns])
            gram = ssyrk(1, A.T, beta=1, c=gram, overwrite_c=True, trans=True)

    out = []
    for solution in _solutions(gram, AT if by_feature else T, penalties):
        if by_feature:
            W = solution * scale[:, None]
        else:  # Aᵀ α, with A's standardisation moved to the small side
            rooted = root * solution
            W = (X.T @ rooted - np.outer(mean, rooted.sum(axis=0))) * np.square(scale)[:, None]
        out.append((np.ascontiguousarray(W), (target_mean - mean @ W).astype(np.float32)))
    return out


def _solutions(gram: Array, right: Array, penalties: Sequence[float]) -> Iterator[Array]:
    """(gram + penalty)⁻¹ right for each penalty, in the memory of one matrix.

    ``gram``, given up to this function and column-major as LAPACK needs it to work in place, is read from its upper triangle;
    each factor overwrites the lower one.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    diagonal = gram.diagonal().copy()
    for penalty in penalties:
        for i in range(len(gram) - 1):
            gram[i + 1 :, i] = gram[i, i + 1 :]
        np.fill_diagonal(gram, diagonal + np.float32(penalty))
        try:
            factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        except LinAlgError:
            raise UsageError(f"ridge penalty {penalty} is too small for these features in float32; try 0.01 or more") from None
        yield cho_solve(factor, right, check_finite=False)
