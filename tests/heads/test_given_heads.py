"""Classifiers that were handed over: as arrays they say what scikit-learn says, in numpy and in PyTorch, and come back from a file."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from warmstart.errors import UsageError
from warmstart.tasks.classify.heads.from_sklearn import as_head, given_spec
from warmstart.tasks.classify.heads.given import GivenHead
from warmstart.tasks.classify.heads_in_torch import head_module

MADE = {
    "logistic": LogisticRegression(max_iter=2000),
    "ridge": RidgeClassifier(),
    "linear svc": LinearSVC(),
    "sgd": SGDClassifier(random_state=0),
    "lda": LinearDiscriminantAnalysis(),
    "svc rbf": SVC(),
    "svc linear": SVC(kernel="linear"),
    "svc poly": SVC(kernel="poly", degree=2, coef0=1.0),
    "svc sigmoid": SVC(kernel="sigmoid", gamma=0.01),
    "neighbours": KNeighborsClassifier(5),
    "neighbours by distance": KNeighborsClassifier(7, weights="distance", metric="euclidean"),
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "forest": RandomForestClassifier(15, random_state=0),
    "extra trees": ExtraTreesClassifier(15, random_state=0),
    "scaled svc": make_pipeline(StandardScaler(), SVC()),
    "scaled, turned, scaled": make_pipeline(StandardScaler(), PCA(6), MinMaxScaler(), LogisticRegression(max_iter=2000)),
    "whitened": make_pipeline(MaxAbsScaler(), PCA(5, whiten=True), "passthrough", KNeighborsClassifier()),
    "scaled forest": make_pipeline(MinMaxScaler(), RandomForestClassifier(9, random_state=1)),
}


def drawn(k: int, n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(k, 8)) * 1.5
    y = np.arange(n) % k
    shift = np.linspace(-3, 5, 8)
    X = (centres[y] + random.normal(size=(n, 8)) + shift).astype(np.float32)
    X_new = (centres[np.arange(80) % k] + random.normal(size=(80, 8)) + shift).astype(np.float32)
    return X, y, X_new


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("name", MADE)
def test_arrays_say_what_the_classifier_says(name: str, k: int) -> None:
    X, y, X_new = drawn(k)
    spec = given_spec(MADE[name])
    head = spec.head().fit(X, y, n_classes=k)
    fitted = MADE[name].fit(X, y)
    logits = head.logits(X_new)
    assert logits.shape == (80, k)
    # Where pairs of classes give a tie, `predict` takes the first class and `decision_function` the surer one, as we do.
    said = fitted.decision_function(X_new).argmax(axis=1) if "svc" in name and k > 2 else fitted.predict(X_new)
    assert (logits.argmax(axis=1) == said).mean() >= (1.0 if "neighbours" not in name else 0.97)
    again = GivenHead.from_arrays(head.settings(), head.arrays())
    assert (again.logits(X_new) == logits).all()
    with torch.inference_mode():
        in_torch = head_module(head)(torch.from_numpy(X_new)).numpy()
    np.testing.assert_allclose(in_torch, logits, rtol=2e-3, atol=2e-3)


def test_probabilities_of_a_logistic_regression_are_its_own() -> None:
    for k in (2, 4):
        X, y, X_new = drawn(k)
        fitted = LogisticRegression(max_iter=2000).fit(X, y)
        logits = as_head(fitted, k).logits(X_new).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), fitted.predict_proba(X_new), atol=1e-5)


def test_a_threshold_between_two_numbers_of_32_bits_is_not_rounded_over_one() -> None:
    low = np.float32(64.0)
    high = np.nextafter(low, np.float32(100))
    X = np.array([[low]] * 20 + [[high]] * 20, np.float32)
    y = np.array([0] * 20 + [1] * 20)
    head = given_spec(DecisionTreeClassifier()).head().fit(X, y, n_classes=2)
    assert (head.logits(X).argmax(axis=1) == y).all()


def test_a_class_that_was_not_met_is_unlikely() -> None:
    X, y, X_new = drawn(3)
    for name in ("logistic", "neighbours", "forest"):
        logits = as_head(MADE[name].fit(X, y), 5).logits(X_new)
        assert logits.shape == (80, 5)
        assert set(logits.argmax(axis=1)) <= {0, 1, 2}
    with pytest.raises(UsageError, match="2 classes"):
        as_head(SVC().fit(X, y), 5)


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (GaussianNB(), "GaussianNB cannot be saved"),
        (HistGradientBoostingClassifier(), "HistGradientBoostingClassifier cannot be saved"),
        (SVC(kernel=lambda a, b: a @ b.T), "kernel of one's own"),
        (KNeighborsClassifier(metric="manhattan"), "Euclidean"),
        (make_pipeline(Normalizer(), SVC()), "Normalizer in front of a head"),
        (SVC, "no scikit-learn classifier"),
        (7, "no scikit-learn classifier"),
    ],
)
def test_what_cannot_be_saved_is_said_before_anything_is_fitted(estimator: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        given_spec(estimator)


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("svc rbf", lambda s, a: s.update(kernel="cosine"), "kernel 'cosine'"),
        ("svc rbf", lambda s, a: s.update(gamma=float("nan")), "gamma"),
        ("svc rbf", lambda s, a: a.update(intercept=a["intercept"][:2], coef=a["coef"][:, :2]), "no number of classes"),
        ("forest", lambda s, a: s.update(depth=10**9), "depth"),
        ("forest", lambda s, a: a.update(left=a["left"] + 1e6), "left"),
        ("forest", lambda s, a: a.update(feature=a["feature"] + 0.5), "feature"),
        ("neighbours", lambda s, a: s.update(k=0), "'k' = 0"),
        ("neighbours", lambda s, a: a.update(votes=-a["votes"]), "votes"),
        ("logistic", lambda s, a: s.update(kind="other"), "kind"),
        ("logistic", lambda s, a: s.update(more=1), "settings"),
        ("logistic", lambda s, a: a.pop("coef"), "missing"),
    ],
)
def test_what_no_head_wrote_is_refused(name: str, spoil: Any, said: str) -> None:
    X, y, _ = drawn(3)
    head = given_spec(MADE[name]).head().fit(X, y, n_classes=3)
    settings, arrays = head.settings(), head.arrays()
    spoil(settings, arrays)
    with pytest.raises(ValueError, match=said):
        GivenHead.from_arrays(settings, arrays)
