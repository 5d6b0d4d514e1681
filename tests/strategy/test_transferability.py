"""Every score against its definition, and what any such score must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import KNeighborsClassifier

from warmstart.strategy.transferability import h_score, knn_accuracy, leep, logme, nce

Labels = NDArray[np.int64]


def clusters(seed: int, *, n: int = 60, d: int = 8, k: int = 3, apart: float = 2.0) -> tuple[np.ndarray, Labels]:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return random.normal(size=(n, d)) + apart * random.normal(size=(k, d))[labels], labels.astype(np.int64)


SCORES = {
    "logme": logme,
    "h_score": h_score,
    "knn": knn_accuracy,
    "leep": lambda X, y: leep(np.exp(X) / np.exp(X).sum(axis=1, keepdims=True), y),
    "nce": lambda X, y: nce(X.argmax(axis=1), y),
}


@pytest.mark.parametrize("name", SCORES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_shuffled_labels_score_lower(name: str, seed: int) -> None:
    X, y = clusters(seed)
    shuffled = np.random.default_rng(seed).permutation(y)
    assert SCORES[name](X, y) > SCORES[name](X, shuffled)


@pytest.mark.parametrize("name", SCORES)
def test_the_order_of_pictures_and_the_names_of_classes_do_not_matter(name: str) -> None:
    X, y = clusters(3)
    order = np.random.default_rng(0).permutation(len(y))
    renamed = np.array([2, 0, 1])[y]
    assert SCORES[name](X[order], y[order]) == pytest.approx(SCORES[name](X, y), rel=1e-9)
    assert SCORES[name](X, renamed) == pytest.approx(SCORES[name](X, y), rel=1e-9)


@pytest.mark.parametrize("name", ["logme", "h_score", "leep", "nce"])
def test_a_class_without_a_picture_does_not_count(name: str) -> None:
    X, y = clusters(4)
    assert SCORES[name](X, np.array([0, 2, 5])[y]) == pytest.approx(SCORES[name](X, y), rel=1e-12)


@pytest.mark.parametrize("name", ["logme", "h_score", "knn"])
@pytest.mark.parametrize("shape", [(60, 8), (12, 40)])
def test_turning_and_scaling_features_changes_nothing(name: str, shape: tuple[int, int]) -> None:
    X, y = clusters(5, n=shape[0], d=shape[1])
    if name == "knn":  # standardises each feature: scaling and moving, not turning
        other = X * np.linspace(0.5, 4, shape[1]) + 3
    else:
        other = 7 * X @ np.linalg.qr(np.random.default_rng(1).normal(size=(shape[1], shape[1])))[0]
    assert SCORES[name](other, y) == pytest.approx(SCORES[name](X, y), rel=1e-6)


@pytest.mark.parametrize("shape", [(15, 3), (8, 12)])
def test_logme_is_the_largest_evidence_that_brute_force_finds(shape: tuple[int, int]) -> None:
    X, y = clusters(6, n=shape[0], d=shape[1], k=2)
    best = []
    for label in (0, 1):
        column = (y == label).astype(float)

        def minus(logs: np.ndarray, column: np.ndarray = column) -> float:
            alpha, beta = np.exp(logs)
            return -float(multivariate_normal.logpdf(column, cov=np.eye(len(y)) / beta + X @ X.T / alpha))

        starts = [(a, b) for a in (-2.0, 2.0, 6.0) for b in (0.0, 4.0)]
        best.append(max(-minimize(minus, start, method="Nelder-Mead").fun for start in starts) / len(y))
    assert logme(X, y) == pytest.approx(np.mean(best), abs=2e-4)


def test_logme_of_features_without_any_spread_is_that_of_noise_alone() -> None:
    y = np.array([0, 1, 0, 1], np.int64)
    # β = 1 / mean(y²) = 2: ½ log 2 - ½ log 2π - ½
    assert logme(np.zeros((4, 3)), y) == pytest.approx(0.5 * np.log(2) - 0.5 * np.log(2 * np.pi) - 0.5, abs=1e-6)


def test_leep_is_zero_for_a_source_that_knows_and_minus_entropy_for_one_that_says_nothing() -> None:
    y = np.array([0, 0, 0, 1], np.int64)
    assert leep(np.eye(3)[[0, 0, 2, 1]], y) == pytest.approx(0)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert leep(np.full((4, 3), 1 / 3), y) == pytest.approx(-entropy)


def test_nce_by_hand() -> None:
    y = np.array([0, 0, 1, 1, 1], np.int64)
    guess = np.array([7, 7, 7, 3, 3], np.int64)  # 7 → class 0 in 2 of 3; 3 → class 1 always
    expected = (2 * np.log(2 / 3) + np.log(1 / 3)) / 5
    assert nce(guess, y) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(40, 6), (12, 30)])
def test_h_score_is_its_formula_with_scikit_learns_shrinkage(shape: tuple[int, int]) -> None:
    X, y = clusters(9, n=shape[0], d=shape[1])
    shrunk, a = ledoit_wolf(X)
    means = np.stack([X[y == k].mean(axis=0) for k in range(3)])[y] - X.mean(axis=0)
    between = means.T @ means / len(X)
    assert h_score(X, y) == pytest.approx(np.trace(np.linalg.solve(shrunk, (1 - a) * between)), rel=1e-8)


def test_h_score_of_many_random_features_stays_far_from_its_maximum() -> None:
    """Without shrinkage it would be K - 1 = 1 for any labels as soon as D reaches N."""
    X = np.random.default_rng(0).normal(size=(50, 200))
    assert h_score(X, np.arange(50) % 2) < 0.5


def test_knn_is_scikit_learns_leaving_one_out() -> None:
    X, y = clusters(10, n=41, apart=0.8)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    right = 0
    for i in range(len(y)):
        others = np.arange(len(y)) != i
        right += KNeighborsClassifier(1, metric="cosine").fit(Z[others], y[others]).predict(Z[i : i + 1])[0] == y[i]
    assert knn_accuracy(X, y, neighbours=1) == pytest.approx(right / len(y))


def test_knn_with_more_neighbours_than_pictures_asks_all_others() -> None:
    X, y = clusters(11, n=6, k=2)
    assert knn_accuracy(X, y, neighbours=50) == 0  # of five others three are of the other class
