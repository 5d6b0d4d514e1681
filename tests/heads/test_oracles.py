"""Heads against scikit-learn's on standardised features."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC

from warmstart.errors import UsageError
from warmstart.tasks.classify.heads import svm_rbf
from warmstart.tasks.classify.heads.catalog import make_head
from warmstart.tasks.classify.heads.knn import KnnHead
from warmstart.tasks.classify.temperature import softmax


def standardised(X):
    return (X.astype(np.float64) - X.mean(axis=0)) / X.std(axis=0)


@pytest.mark.parametrize(("k", "d"), [(2, 6), (5, 12), (3, 200)])
@pytest.mark.parametrize("penalty", [0.3, 0.01])
def test_linear_is_multinomial_logistic_regression(k, d, penalty, blobs):
    X, y = blobs(100, d, k, distance=2)
    oracle = LogisticRegression(C=1 / (penalty * len(X)), tol=1e-8, max_iter=5000).fit(standardised(X), y)
    logits = make_head("linear", penalty=penalty).fit(X, y, n_classes=k).logits(X)
    # for two classes scikit-learn penalises one weight vector, we two of half its length: twice the penalty
    if k == 2:
        oracle = LogisticRegression(C=2 / (penalty * len(X)), tol=1e-8, max_iter=5000).fit(standardised(X), y)
    assert softmax(logits) == pytest.approx(oracle.predict_proba(standardised(X)), abs=0.01)


@pytest.mark.parametrize("k", [2, 4])
def test_svm_is_linear_svc(k, blobs):
    X, y = blobs(150, 8, k, distance=2)
    scale = 1e3  # LinearSVC penalises the bias too, unless its constant feature is large
    oracle = LinearSVC(C=1 / (len(X) * 0.05), intercept_scaling=scale, tol=1e-8, max_iter=200_000)
    expected = oracle.fit(standardised(X), y).decision_function(standardised(X))
    logits = make_head("svm", penalty=0.05).fit(X, y, n_classes=k).logits(X)
    if k == 2:
        assert logits == pytest.approx(np.stack([-expected, expected], axis=1), abs=0.03)
    else:
        assert logits == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("d", [7, 300])
@pytest.mark.parametrize("penalty", [3.0, 0.1])
def test_ridge_is_ridge_classifier_whether_primal_or_dual(d, penalty, blobs):
    X, y = blobs(120, d, 4, distance=3)
    expected = RidgeClassifier(alpha=penalty * len(X)).fit(standardised(X), y).decision_function(standardised(X))
    assert make_head("ridge", penalty=penalty).fit(X, y, n_classes=4).logits(X) == pytest.approx(expected, abs=2e-3)


def test_ridge_path_solves_every_penalty_like_a_fit_of_its_own(blobs):
    X, y = blobs(80, 30, 3)
    grid = [{"penalty": p} for p in (10.0, 0.1, 1.0)]
    path = type(make_head("ridge")).fit_path(X, y, n_classes=3, weights=np.ones((1, 80), np.float32), grid=grid)
    for settings, (head,) in zip(grid, path, strict=True):
        alone = make_head("ridge", **settings).fit(X, y, n_classes=3)
        assert head.logits(X) == pytest.approx(alone.logits(X), abs=1e-5)


def test_ridge_names_a_penalty_that_float32_cannot_solve():
    X = np.repeat(np.random.default_rng(0).normal(size=(40, 1)).astype(np.float32), 30, axis=1)  # rank 1
    with pytest.raises(UsageError, match="too small for these features"):
        make_head("ridge", penalty=0.0).fit(X, np.arange(40) % 2, n_classes=2)


@pytest.mark.parametrize("k", [2, 4])
def test_rbf_svm_is_one_svc_against_the_rest_per_class(k, blobs):
    X, y = blobs(120, 6, k, distance=2)
    Z = standardised(X)
    logits = make_head("svm-rbf", cost=3.0).fit(X, y, n_classes=k).logits(X)
    expected = OneVsRestClassifier(SVC(C=3.0, gamma="scale", tol=1e-3)).fit(Z, y).decision_function(Z)
    if k == 2:
        expected = np.stack([-expected, expected], axis=1)
    assert logits == pytest.approx(expected, abs=5e-3)


def test_rbf_svm_refuses_what_would_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr(svm_rbf, "MOST_EXAMPLES", 9)
    with pytest.raises(UsageError, match=r"10 training pictures are too many, 9 is the most. Use --head svm"):
        make_head("svm-rbf").fit(np.zeros((10, 2), np.float32), np.arange(10) % 2, n_classes=2)


@pytest.mark.parametrize("neighbours", [1, 7, 500])
def test_knn_votes_like_scikit_learn_by_cosine(neighbours, blobs):
    X, y = blobs(150, 6, 3, distance=2)
    X_new, _ = blobs(300, 6, 3, distance=2, seed=4)
    k = min(neighbours, 150)
    oracle = KNeighborsClassifier(k, metric="cosine").fit(standardised(X), y)
    shares = oracle.predict_proba((X_new.astype(np.float64) - X.mean(axis=0)) / X.std(axis=0))
    logits = make_head("knn", neighbours=neighbours).fit(X, y, n_classes=3).logits(X_new)
    assert softmax(logits) == pytest.approx((k * shares + 1 / 3) / (k + 1), abs=1e-4)


def test_mlp_solves_what_no_linear_head_can():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 2)).astype(np.float32)
    y = ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(np.int64)
    assert (make_head("linear").fit(X, y, n_classes=2).logits(X).argmax(axis=1) == y).mean() < 0.65
    assert (make_head("mlp", penalty=1e-4).fit(X, y, n_classes=2).logits(X).argmax(axis=1) == y).mean() > 0.95


def test_the_margin_of_knn_is_of_the_nearest_of_a_class_and_of_all_others() -> None:
    random = np.random.default_rng(5)
    X, y = random.normal(1, 2, (30, 6)).astype(np.float32), np.arange(30) % 3
    head = KnnHead(neighbours=4).fit(X, y, n_classes=4)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    query = random.normal(1, 2, (5, 6)).astype(np.float32)
    z = (query - X.mean(axis=0)) / X.std(axis=0)
    cosines = (z @ Z.T) / np.linalg.norm(z, axis=1)[:, None] / np.linalg.norm(Z, axis=1)
    for label in range(3):
        near, far = np.sort(cosines[:, y == label])[:, -4:], np.sort(cosines[:, y != label])[:, -4:]
        assert head.margin(query, label) == pytest.approx(near.mean(axis=1) - far.mean(axis=1), abs=1e-5)
    nearest = np.sort(cosines)[:, -4:].mean(axis=1)
    assert head.margin(query, 3) == pytest.approx(-1 - nearest, abs=1e-5)  # a class without examples
