"""A fitted scikit-learn classifier → `GivenHead`, and a classifier that is not fitted yet as an entry of the catalogue.

What cannot be written as arrays is said before anything is computed, as far as it can be told; and what was written is held against the
classifier on the pictures that it learnt from.

N examples, D features, K classes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, cast

import numpy as np

from warmstart.errors import UsageError
from warmstart.heads.standardising import Array
from warmstart.tasks.classify.heads.catalog import HeadSpec
from warmstart.tasks.classify.heads.given import NAME, GivenHead
from warmstart.tasks.classify.heads.protocol import Head, Labels, Settings, fit_one_by_one

KNOWN = (
    "linear classifiers (LogisticRegression, RidgeClassifier, LinearSVC, SGDClassifier, LinearDiscriminantAnalysis …), SVC, "
    "KNeighborsClassifier, decision trees and forests; before them StandardScaler, MinMaxScaler, MaxAbsScaler and PCA in a Pipeline"
)
MOST_NUMBERS = 200_000_000  # of the leaves of a forest
LEAST_AGREEMENT = 0.99  # with what the classifier says of its own training pictures; ties are broken otherwise


def given_spec(estimator: Any) -> HeadSpec:
    """The classifier as a head with one setting. Raises UsageError for what cannot become arrays."""
    _require_known(estimator)

    class Given(GivenHead):
        """Fits the classifier that was handed over."""

        name: ClassVar[str] = NAME

        def fit(self, X: Array, y: Labels, *, n_classes: int, sample_weight: Array | None = None) -> GivenHead:
            """See `Head.fit`."""
            return _fitted(estimator, X, y, n_classes, sample_weight)

        @classmethod
        def fit_path(
            cls, X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
        ) -> Iterator[Iterable[Any]]:
            """See `Head.fit_path`."""
            return fit_one_by_one(cls, X, y, n_classes=n_classes, weights=weights, grid=grid)

    return HeadSpec(cast(type[Head], Given), ({},))


def as_head(fitted: Any, n_classes: int) -> GivenHead:
    """A fitted classifier of labels 0 … K-1, some of which it may not know. Raises UsageError for what cannot become arrays."""
    steps, last = _steps(fitted)
    front = _front(steps, fitted.n_features_in_)
    kind, values, arrays = _body(last)
    _centre(kind, values, front, arrays)
    known = np.asarray(fitted.classes_, np.int64)
    if kind != "kernel" and len(known) < n_classes:
        arrays = _spread(kind, arrays, known, n_classes)
    elif len(known) < n_classes:
        raise UsageError(
            f"head {type(last).__name__} was fitted without a picture of {n_classes - len(known)} classes: give each class more pictures"
        )
    return GivenHead.of(kind, values, front, arrays)


def _require_known(estimator: Any) -> None:
    if isinstance(estimator, type) or not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise UsageError(f"{estimator!r:.80} is no scikit-learn classifier: head takes a name, or one of {KNOWN}")
    steps, last = _steps(estimator)
    for step in steps:
        if type(step).__name__ not in ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "PCA"):
            raise UsageError(f"{type(step).__name__} in front of a head cannot be saved as arrays; what can: {KNOWN}")
    name = type(last).__name__
    if name == "SVC":
        if callable(last.kernel) or last.kernel == "precomputed":
            raise UsageError(
                "an SVC with a kernel of one's own cannot be saved as arrays: choose 'rbf', 'linear', 'poly' or 'sigmoid'"
            )
    elif name == "KNeighborsClassifier":
        if not (last.metric == "euclidean" or (last.metric == "minkowski" and last.p == 2)) or callable(last.weights):
            raise UsageError(
                "KNeighborsClassifier is saved with Euclidean distances and the weights 'uniform' or 'distance' alone"
            )
    elif name not in _TREES and not _is_linear(last):
        raise UsageError(f"{name} cannot be saved as arrays; what can: {KNOWN}")


_TREES = ("DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier")


def _is_linear(estimator: Any) -> bool:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model._base import LinearClassifierMixin

    return isinstance(estimator, LinearClassifierMixin | LinearDiscriminantAnalysis)


def _steps(estimator: Any) -> tuple[list[Any], Any]:
    if type(estimator).__name__ != "Pipeline":
        return [], estimator
    *before, last = [step for _, step in estimator.steps]
    return [step for step in before if step is not None and step != "passthrough"], last


def _fitted(estimator: Any, X: Array, y: Labels, n_classes: int, weights: Array | None) -> GivenHead:
    from sklearn.base import clone

    made = clone(estimator)
    weighted = weights is not None and not np.allclose(weights, weights[0])
    if weighted:
        _, last = _steps(made)
        try:
            made.fit(X, y, **_weight_argument(made, weights))
        except TypeError as reason:
            raise UsageError(
                f"{type(last).__name__} takes no weights, and class_weight='balanced' was asked for: leave it out"
            ) from reason
    else:
        made.fit(X, y)
    head = as_head(made, n_classes)
    said, ours = np.asarray(made.predict(X)), head.logits(X).argmax(axis=1)
    if (agreement := float(np.mean(said == ours))) < LEAST_AGREEMENT:
        raise UsageError(
            f"{type(made).__name__}, written as arrays, agrees with itself on {agreement:.1%} of its training pictures only, "
            f"expected {LEAST_AGREEMENT:.0%}: it has a setting that cannot be saved"
        )
    return head


def _weight_argument(estimator: Any, weights: Array | None) -> dict[str, Any]:
    if type(estimator).__name__ != "Pipeline":
        return {"sample_weight": weights}
    return {f"{estimator.steps[-1][0]}__sample_weight": weights}


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


def _centre(kind: str, values: dict[str, Any], front: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    """Distances are the same wherever 0 is, and have more digits in 32 bits where it is in the middle of the examples."""
    name = {"neighbours": "examples", "kernel": "support"}.get(kind)
    if name is None or "scale" not in front or not front["scale"].all() or values.get("kernel", "rbf") != "rbf":
        return
    middle = arrays[name].mean(axis=0)
    front["shift"] = front["shift"] + middle / front["scale"]
    arrays[name] = arrays[name] - middle


def _body(last: Any) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """(kind, settings, arrays)."""
    name = type(last).__name__
    if name == "SVC":
        gamma = float(last._gamma)
        values = {"kernel": last.kernel, "gamma": gamma, "coef0": float(last.coef0), "degree": int(last.degree)}
        return "kernel", values, {"support": last.support_vectors_, **_pairs(last)}
    if name == "KNeighborsClassifier":
        examples, y = np.asarray(last._fit_X), np.asarray(last._y)
        values = {"k": int(last.n_neighbors), "by_distance": last.weights == "distance"}
        return "neighbours", values, {"examples": examples, "votes": np.eye(len(last.classes_))[y]}
    if name in _TREES:
        return _trees(last)
    coef = np.atleast_2d(np.asarray(last.coef_))
    intercept = np.broadcast_to(np.asarray(last.intercept_), (len(coef),))
    if len(coef) == 1:
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    return "linear", {}, {"coef": coef.T, "intercept": intercept}


def _pairs(machine: Any) -> dict[str, np.ndarray]:
    """Coefficients (M, Q) and intercepts (Q,) of each pair of classes, positive for the first; of two classes, for the second."""
    dual = np.asarray(machine.dual_coef_.toarray() if hasattr(machine.dual_coef_, "toarray") else machine.dual_coef_)
    k = len(machine.classes_)
    if k == 2:
        return {"coef": dual.T, "intercept": np.asarray(machine.intercept_)}
    ends = np.cumsum(machine.n_support_)
    of_class = [slice(end - count, end) for end, count in zip(ends, machine.n_support_, strict=True)]
    columns = []
    for i in range(k):
        for j in range(i + 1, k):
            column = np.zeros(dual.shape[1])
            column[of_class[i]] = dual[j - 1, of_class[i]]
            column[of_class[j]] = dual[i, of_class[j]]
            columns.append(column)
    return {"coef": np.stack(columns, axis=1), "intercept": np.asarray(machine.intercept_)}


def _trees(forest: Any) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    trees = [one.tree_ for one in getattr(forest, "estimators_", [forest])]
    nodes, k = max(tree.node_count for tree in trees), len(forest.classes_)
    if (numbers := len(trees) * nodes * k) > MOST_NUMBERS:
        raise UsageError(
            f"{type(forest).__name__} has {len(trees)} trees of up to {nodes:,} nodes for {k} classes, {numbers:,} numbers: at most "
            f"{MOST_NUMBERS:,} are saved. Limit max_depth or n_estimators"
        )
    arrays = {name: np.zeros((len(trees), nodes)) for name in ("feature", "threshold", "left", "right")}
    arrays["shares"] = np.zeros((len(trees), nodes, k))
    for t, tree in enumerate(trees):
        leaf, here = tree.children_left < 0, np.arange(tree.node_count)
        arrays["feature"][t, : len(here)] = np.where(leaf, 0, tree.feature)
        arrays["threshold"][t, : len(here)] = _at_most(np.where(leaf, 0, tree.threshold))
        arrays["left"][t, : len(here)] = np.where(leaf, here, tree.children_left)  # a leaf leads to itself
        arrays["right"][t, : len(here)] = np.where(leaf, here, tree.children_right)
        value = tree.value[:, 0, :]
        arrays["shares"][t, : len(here)] = value / value.sum(axis=1, keepdims=True)
    return "trees", {"depth": int(max(tree.max_depth for tree in trees))}, arrays


def _at_most(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 that is not above: x ≤ either, for a float32 x, is the same."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _spread(kind: str, arrays: dict[str, np.ndarray], known: np.ndarray, n_classes: int) -> dict[str, np.ndarray]:
    """With a place for classes that the classifier has not met: as unlikely as the least likely of those it knows, and more."""
    out = dict(arrays)
    if kind == "linear":
        coef = np.zeros((arrays["coef"].shape[0], n_classes))
        intercept = np.full(n_classes, -20.0)
        coef[:, known], intercept[known] = arrays["coef"], arrays["intercept"]
        return out | {"coef": coef, "intercept": intercept}
    name = "votes" if kind == "neighbours" else "shares"
    wide = np.zeros((*arrays[name].shape[:-1], n_classes))
    wide[..., known] = arrays[name]
    return out | {name: wide}
