"""Fitted parts of scikit-learn's as arrays of `heads.written`: what classifiers and regressors have in common.

N examples, D features, M support vectors or examples, O outputs, T trees, L nodes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from warmstart.errors import UsageError
from warmstart.heads.written import Written

FRONTS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "PCA")  # that may stand before an estimator, in a Pipeline
FRONTS_IN_WORDS = "StandardScaler, MinMaxScaler, MaxAbsScaler and PCA"
MOST_NUMBERS = 200_000_000  # of the leaves of a forest


def steps_of(estimator: Any) -> tuple[list[Any], Any]:
    """What stands before it, and the estimator itself."""
    if type(estimator).__name__ != "Pipeline":
        return [], estimator
    *before, last = [step for _, step in estimator.steps]
    return [step for step in before if step is not None and step != "passthrough"], last


def require_known_front(steps: Sequence[Any], known: str) -> None:
    """Raises UsageError, which says what is ``known``, where a step cannot be written."""
    for step in steps:
        if type(step).__name__ not in FRONTS:
            raise UsageError(f"{type(step).__name__} in front of a head cannot be saved as arrays; what can: {known}")


def require_known_kernel(machine: Any) -> None:
    """Raises UsageError for a kernel of one's own."""
    if callable(machine.kernel) or machine.kernel == "precomputed":
        raise UsageError(
            f"{type(machine).__name__} with a kernel of one's own cannot be saved as arrays: choose 'rbf', 'linear', 'poly' or 'sigmoid'"
        )


def require_known_distance(neighbours: Any) -> None:
    """Raises UsageError for distances and weights that are not written."""
    is_euclidean = neighbours.metric == "euclidean" or (neighbours.metric == "minkowski" and neighbours.p == 2)
    if not is_euclidean or callable(neighbours.weights):
        raise UsageError(
            f"{type(neighbours).__name__} is saved with Euclidean distances and the weights 'uniform' or 'distance' alone"
        )


def written(
    steps: Sequence[Any], width: int, kind: str, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Written:
    """With what stands before it. ``width``: D. Raises ValueError where it does not fit together."""
    front, own = _front(steps, width), dict(arrays)
    _centre(kind, values, front, own)
    return Written.of(kind, values, front, own)


def kernel_values(machine: Any) -> dict[str, Any]:
    """Of a fitted support vector machine."""
    gamma = float(machine._gamma)
    return {"kernel": machine.kernel, "gamma": gamma, "coef0": float(machine.coef0), "degree": int(machine.degree)}


def dense_dual(machine: Any) -> np.ndarray:
    """Its coefficients (…, M)."""
    return np.asarray(machine.dual_coef_.toarray() if hasattr(machine.dual_coef_, "toarray") else machine.dual_coef_)


def neighbour_values(neighbours: Any) -> dict[str, Any]:
    """Of k nearest neighbours."""
    return {"k": int(neighbours.n_neighbors), "by_distance": neighbours.weights == "distance"}


def tree_arrays(
    forest: Any, n_outputs: int, in_leaves: Callable[[Any], np.ndarray]
) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """(kind, settings, arrays) of a tree, or of several whose mean is taken. ``in_leaves``: a tree → (its nodes, O)."""
    trees = [one.tree_ for one in np.ravel(getattr(forest, "estimators_", [forest]))]
    nodes = max(tree.node_count for tree in trees)
    if (numbers := len(trees) * nodes * n_outputs) > MOST_NUMBERS:
        raise UsageError(
            f"{type(forest).__name__} has {len(trees)} trees of up to {nodes:,} nodes for {n_outputs} outputs, {numbers:,} numbers: at "
            f"most {MOST_NUMBERS:,} are saved. Limit max_depth or n_estimators"
        )
    arrays = {name: np.zeros((len(trees), nodes)) for name in ("feature", "threshold", "left", "right")}
    arrays["shares"] = np.zeros((len(trees), nodes, n_outputs))
    for t, tree in enumerate(trees):
        leaf, here = tree.children_left < 0, np.arange(tree.node_count)
        arrays["feature"][t, : len(here)] = np.where(leaf, 0, tree.feature)
        arrays["threshold"][t, : len(here)] = _at_most(np.where(leaf, 0, tree.threshold))
        arrays["left"][t, : len(here)] = np.where(leaf, here, tree.children_left)  # a leaf leads to itself
        arrays["right"][t, : len(here)] = np.where(leaf, here, tree.children_right)
        arrays["shares"][t, : len(here)] = in_leaves(tree)
    return "trees", {"depth": int(max(tree.max_depth for tree in trees))}, arrays


def _front(steps: Sequence[Any], width: int) -> dict[str, np.ndarray]:
    """(x - shift) · scale, or (x - shift) M: the steps, one after the other, as one affine map."""
    shift, scale, matrix = np.zeros(width), np.ones(width), None
    for step in steps:
        match type(step).__name__:
            case "StandardScaler":
                offset = np.zeros(step.n_features_in_) if step.mean_ is None or not step.with_mean else step.mean_
                factor = np.ones(step.n_features_in_) if step.scale_ is None else 1 / step.scale_
            case "MinMaxScaler":
                factor = step.scale_
                offset = -step.min_ / step.scale_
            case "MaxAbsScaler":
                offset, factor = np.zeros(step.n_features_in_), 1 / step.scale_
            case _:  # PCA
                turn = step.components_.T
                if step.whiten:
                    turn = turn / np.sqrt(step.explained_variance_)
                shift, matrix = _behind(shift, scale, matrix, step.mean_)
                scale = np.ones(turn.shape[1])
                matrix = turn if matrix is None else matrix @ turn
                continue
        if matrix is None:
            shift = shift + offset / scale
            scale = scale * factor
        else:
            shift, matrix = _behind(shift, scale, matrix, offset)
            matrix = matrix * factor
    return {"shift": shift, "scale": scale} if matrix is None else {"shift": shift, "front": matrix}


def _behind(
    shift: np.ndarray, scale: np.ndarray, matrix: np.ndarray | None, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """An offset that is taken off behind the map so far, taken off in front of it."""
    so_far = np.diag(scale) if matrix is None else matrix
    back, *_ = np.linalg.lstsq(so_far.T, offset, rcond=None)
    return shift + back, so_far


def _centre(kind: str, values: Mapping[str, Any], front: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    """Distances are the same wherever 0 is, and have more digits in 32 bits where it is in the middle of the examples."""
    name = {"neighbours": "examples", "kernel": "support"}.get(kind)
    if name is None or "scale" not in front or not front["scale"].all() or values.get("kernel", "rbf") != "rbf":
        return
    middle = arrays[name].mean(axis=0)
    front["shift"] = front["shift"] + middle / front["scale"]
    arrays[name] = arrays[name] - middle


def _at_most(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above: x ≤ either, for a float32 x, is the same."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)
