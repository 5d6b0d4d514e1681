"""A regressor that was handed over: any of scikit-learn's that comes down to a linear map of the features, pipelines included.

    for each set of taps: folds of train → what is said of held-out pictures → the lowest loss → fitted on all → a linear map, checked

What a map is, is asked of the regressor itself: what it says of 0 and of each unit vector. N pictures, D features, O targets.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.heads.folds import dealt
from warmstart.heads.linear_map import LinearMap

FOLDS = 5
LARGEST_ERROR = 1e-2  # of the map, in deviations of what the regressor says of its own training pictures


def fitted_map(estimator: Any, X: NDArray[np.float32], Y: NDArray[np.float64]) -> LinearMap:
    """The regressor fitted to X (N, D) and Y (N, O), as a map. Raises UsageError where it is none."""
    made = _fitted(estimator, X, Y)
    zero = _said(made, np.zeros((1, X.shape[1])))
    coef = _said(made, np.eye(X.shape[1])) - zero
    found = LinearMap(coef=coef.astype(np.float32), intercept=zero[0].astype(np.float32))
    said = _said(made, X)
    apart = np.abs(X.astype(np.float64) @ coef + zero - said).max(axis=0) / np.maximum(said.std(axis=0), 1e-12)
    if apart.max() > LARGEST_ERROR:
        raise UsageError(
            f"{type(estimator).__name__} is no linear map of the features, so it cannot be saved as arrays. Linear regressors can: Ridge, "
            "Lasso, ElasticNet, HuberRegressor, BayesianRidge, PLSRegression, with scalers or PCA before them"
        )
    return found


def held_out(
    estimator: Any, X: NDArray[np.float32], Y: NDArray[np.float64], units: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """(N, O): what is said of each picture by a fit that has not seen it, nor one of its unit."""
    fold_of = dealt(np.zeros(len(Y), np.int64), min(FOLDS, len(Y)), seed, units)
    out = np.empty_like(Y)
    for fold in np.unique(fold_of):
        inside = fold_of == fold
        out[inside] = _said(_fitted(estimator, X[~inside], Y[~inside]), X[inside])
    return out


def require_regressor(estimator: Any) -> None:
    """Raises UsageError for what scikit-learn does not call a regressor."""
    from sklearn.base import is_regressor

    if isinstance(estimator, type) or not hasattr(estimator, "fit") or not is_regressor(estimator):
        raise UsageError(
            f"{estimator!r:.80} is no scikit-learn regressor: head takes one whose predictions are linear in the features"
        )


def _fitted(estimator: Any, X: NDArray[np.floating], Y: NDArray[np.float64]) -> Any:
    from sklearn.base import clone

    try:
        return clone(estimator).fit(X.astype(np.float64), Y[:, 0] if Y.shape[1] == 1 else Y)
    except ValueError as reason:
        if Y.shape[1] == 1:
            raise
        raise UsageError(
            f"{type(estimator).__name__} does not take {Y.shape[1]} targets ({str(reason).splitlines()[0]:.120}): wrap it in "
            "sklearn.multioutput.MultiOutputRegressor"
        ) from reason


def _said(made: Any, X: NDArray[np.floating]) -> NDArray[np.float64]:
    found = np.asarray(made.predict(X.astype(np.float64)), np.float64)
    return found.reshape(len(X), -1)
