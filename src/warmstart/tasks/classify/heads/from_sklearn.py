"""A fitted scikit-learn classifier → `GivenHead`, and a classifier that is not fitted yet as an entry of the catalogue.

What cannot be written as arrays is said before anything is computed, as far as it can be told; and what was written is held against the
classifier on the pictures that it learnt from.

N examples, D features, K classes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, cast

import numpy as np

from warmstart.errors import UsageError
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
from warmstart.heads.standardising import Array
from warmstart.tasks.classify.heads.catalog import HeadSpec
from warmstart.tasks.classify.heads.given import NAME, GivenHead
from warmstart.tasks.classify.heads.protocol import Head, Labels, Settings, fit_one_by_one

KNOWN = (
    "linear classifiers (LogisticRegression, RidgeClassifier, LinearSVC, SGDClassifier, LinearDiscriminantAnalysis …), SVC, "
    "KNeighborsClassifier, decision trees and forests; before them "
    f"{FRONTS_IN_WORDS} in a Pipeline"
)
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
    steps, last = steps_of(fitted)
    kind, values, arrays = _body(last)
    known = np.asarray(fitted.classes_, np.int64)
    if kind != "kernel" and len(known) < n_classes:
        arrays = _spread(kind, arrays, known, n_classes)
    elif len(known) < n_classes:
        raise UsageError(
            f"head {type(last).__name__} was fitted without a picture of {n_classes - len(known)} classes: give each class more pictures"
        )
    return GivenHead.of(written(steps, fitted.n_features_in_, kind, values, arrays))


def _require_known(estimator: Any) -> None:
    if isinstance(estimator, type) or not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise UsageError(f"{estimator!r:.80} is no scikit-learn classifier: head takes a name, or one of {KNOWN}")
    steps, last = steps_of(estimator)
    require_known_front(steps, KNOWN)
    name = type(last).__name__
    if name == "SVC":
        require_known_kernel(last)
    elif name == "KNeighborsClassifier":
        require_known_distance(last)
    elif name not in _TREES and not _is_linear(last):
        raise UsageError(f"{name} cannot be saved as arrays; what can: {KNOWN}")


_TREES = ("DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier")


def _is_linear(estimator: Any) -> bool:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model._base import LinearClassifierMixin

    return isinstance(estimator, LinearClassifierMixin | LinearDiscriminantAnalysis)


def _fitted(estimator: Any, X: Array, y: Labels, n_classes: int, weights: Array | None) -> GivenHead:
    from sklearn.base import clone

    made = clone(estimator)
    weighted = weights is not None and not np.allclose(weights, weights[0])
    if weighted:
        _, last = steps_of(made)
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


def _body(last: Any) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """(kind, settings, arrays)."""
    name = type(last).__name__
    if name == "SVC":
        return "kernel", kernel_values(last), {"support": last.support_vectors_, **_pairs(last)}
    if name == "KNeighborsClassifier":
        examples, y = np.asarray(last._fit_X), np.asarray(last._y)
        return "neighbours", neighbour_values(last), {"examples": examples, "votes": np.eye(len(last.classes_))[y]}
    if name in _TREES:
        return tree_arrays(last, len(last.classes_), _shares)
    coef = np.atleast_2d(np.asarray(last.coef_))
    intercept = np.broadcast_to(np.asarray(last.intercept_), (len(coef),))
    if len(coef) == 1:
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    return "linear", {}, {"coef": coef.T, "intercept": intercept}


def _pairs(machine: Any) -> dict[str, np.ndarray]:
    """Coefficients (M, Q) and intercepts (Q,) of each pair of classes, positive for the first; of two classes, for the second."""
    dual = dense_dual(machine)
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


def _shares(tree: Any) -> np.ndarray:
    value = np.asarray(tree.value[:, 0, :])
    return np.asarray(value / value.sum(axis=1, keepdims=True))


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
