"""A regressor that was handed over: any of scikit-learn's that comes down to a linear map of the features, pipelines included, and those
with kernels, neighbours and trees, as arrays.

    for each set of taps: folds of train → what is said of held-out pictures → the lowest loss → fitted on all → as arrays, checked

What a map is, is asked of the regressor itself: what it says of 0 and of each unit vector. N pictures, D features, M support vectors or
examples, O targets.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.heads.folds import dealt
from warmstart.heads.from_sklearn import (
    FRONTS_IN_WORDS,
    dense_dual,
    kernel_values,
    neighbour_values,
    require_known_distance,
    require_known_front,
    require_known_kernel,
    steps_of,
    tree_arrays,
    written,
)
from warmstart.heads.linear_map import LinearMap
from warmstart.heads.written import Written

FOLDS = 5
LARGEST_ERROR = 1e-2  # in deviations of what the regressor says of its own training pictures
LEAST_AGREEMENT = 0.99  # of these within that error; a linear map must have all. Ties of distances are broken otherwise
KNOWN = (
    "linear regressors (Ridge, Lasso, ElasticNet, HuberRegressor, BayesianRidge, PLSRegression …), SVR, KernelRidge, KNeighborsRegressor, "
    f"decision trees, forests and GradientBoostingRegressor; before them {FRONTS_IN_WORDS} in a Pipeline"
)
_TREES = ("DecisionTreeRegressor", "ExtraTreeRegressor", "RandomForestRegressor", "ExtraTreesRegressor")
_KERNELS = ("SVR", "NuSVR", "KernelRidge")
_NEIGHBOURS, _BOOSTED, _EACH_ALONE = "KNeighborsRegressor", "GradientBoostingRegressor", "MultiOutputRegressor"
# Of scikit-learn, what may be linear and is tried; all else of it is refused before it is fitted.
_MAYBE_LINEAR = ("linear_model", "cross_decomposition", "svm", "multioutput", "dummy", "pipeline", "compose", "model_selection")


def fitted_map(estimator: Any, X: NDArray[np.float32], Y: NDArray[np.float64]) -> LinearMap | Written:
    """The regressor fitted to X (N, D) and Y (N, O), as arrays. Raises UsageError where it cannot be."""
    made = _fitted(estimator, X, Y)
    found = _as_arrays(made, X.shape[1], Y.shape[1]) or _linear(made, X.shape[1])
    said = _said(made, X)
    apart = (np.abs(found(X) - said) / np.maximum(said.std(axis=0), 1e-12)).max(axis=1)
    if (apart <= LARGEST_ERROR).mean() >= (1 if isinstance(found, LinearMap) else LEAST_AGREEMENT):
        return found
    if isinstance(found, LinearMap):
        raise UsageError(
            f"{type(estimator).__name__} is no linear map of the features, so it cannot be saved as arrays; what can: {KNOWN}"
        )
    raise UsageError(
        f"{type(estimator).__name__}, written as arrays, says something else of {(apart > LARGEST_ERROR).mean():.1%} of its training "
        "pictures: it has a setting that cannot be saved"
    )


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
    """Raises UsageError for what scikit-learn does not call a regressor, and for what is known not to become arrays."""
    from sklearn.base import is_regressor

    if isinstance(estimator, type) or not hasattr(estimator, "fit") or not is_regressor(estimator):
        raise UsageError(f"{estimator!r:.80} is no scikit-learn regressor: head takes one of {KNOWN}")
    steps, last = steps_of(estimator)
    name, (package, *below) = type(last).__name__, type(last).__module__.split(".")
    if name in _KERNELS:
        require_known_kernel(last)
    elif name == _NEIGHBOURS:
        require_known_distance(last)
    elif name == _BOOSTED:
        if last.init not in (None, "zero"):
            raise UsageError(f"{name} with an init of one's own cannot be saved as arrays: leave init out")
    elif name not in _TREES:
        if package == "sklearn" and below[0] not in _MAYBE_LINEAR:
            raise UsageError(f"{name} cannot be saved as arrays; what can: {KNOWN}")
        return  # whether it is linear, steps and all, is seen when it is fitted
    require_known_front(steps, KNOWN)


def _as_arrays(made: Any, width: int, n_outputs: int) -> Written | None:
    """None: what may be linear."""
    steps, last = steps_of(made)
    machines = list(last.estimators_) if type(last).__name__ == _EACH_ALONE else [last]
    name = type(machines[0]).__name__
    if name in ("SVR", "NuSVR") and machines[0].kernel != "linear":
        return written(steps, width, "kernel", kernel_values(machines[0]), _support_vectors(machines))
    if len(machines) > 1:
        return None
    if name == "KernelRidge":
        coef = np.asarray(last.dual_coef_).reshape(-1, n_outputs)
        gamma = 1 / last.n_features_in_ if last.gamma is None else float(last.gamma)
        values = {"kernel": _KERNEL_NAMES.get(last.kernel, last.kernel), "gamma": gamma, "coef0": float(last.coef0)}
        arrays = {"support": np.asarray(last.X_fit_), "coef": coef, "intercept": np.zeros(n_outputs)}
        return written(steps, width, "kernel", values | {"degree": int(last.degree)}, arrays)
    if name == _NEIGHBOURS:
        votes = np.asarray(last._y, np.float64).reshape(-1, n_outputs)
        return written(
            steps, width, "neighbours", neighbour_values(last), {"examples": np.asarray(last._fit_X), "votes": votes}
        )
    if name in _TREES:
        return written(steps, width, *tree_arrays(last, n_outputs, lambda tree: tree.value[:, :, 0]))
    if name == _BOOSTED:
        start = 0.0 if last.init_ == "zero" else float(np.ravel(last.init_.constant_)[0])
        step = last.learning_rate * last.n_estimators_  # the mean of trees is written, and their sum is said
        return written(steps, width, *tree_arrays(last, 1, lambda tree: tree.value[:, :, 0] * step + start))
    return None


def _linear(made: Any, width: int) -> LinearMap:
    zero = _said(made, np.zeros((1, width)))
    coef = _said(made, np.eye(width)) - zero
    return LinearMap(coef=coef.astype(np.float32), intercept=zero[0].astype(np.float32))


_KERNEL_NAMES = {"polynomial": "poly"}


def _support_vectors(machines: list[Any]) -> dict[str, NDArray[Any]]:
    """Of one machine a target: all of them below each other, each with its column of coefficients."""
    support = np.concatenate([np.asarray(machine.support_vectors_) for machine in machines])
    coef = np.zeros((len(support), len(machines)))
    begin = 0
    for target, machine in enumerate(machines):
        dual = dense_dual(machine)[0]
        coef[begin : begin + len(dual), target] = dual
        begin += len(dual)
    return {"support": support, "coef": coef, "intercept": np.concatenate([machine.intercept_ for machine in machines])}


def _fitted(estimator: Any, X: NDArray[np.floating], Y: NDArray[np.float64]) -> Any:
    from sklearn.base import clone

    name, flat = type(estimator).__name__, Y.shape[1] == 1 and type(steps_of(estimator)[1]).__name__ != _EACH_ALONE
    try:
        return clone(estimator).fit(X.astype(np.float64), Y[:, 0] if flat else Y)
    except ValueError as reason:
        told = f"({str(reason).splitlines()[0]:.120})"
        if Y.shape[1] == 1:
            raise UsageError(f"{name} cannot be fitted to {len(X):,} pictures of {X.shape[1]:,} features {told}") from reason
        raise UsageError(
            f"{name} does not take {Y.shape[1]} targets {told}: wrap it in sklearn.multioutput.MultiOutputRegressor"
        ) from reason


def _said(made: Any, X: NDArray[np.floating]) -> NDArray[np.float64]:
    found = np.asarray(made.predict(X.astype(np.float64)), np.float64)
    return found.reshape(len(X), -1)
