"""k-NN accuracy against scikit-learn, and what any such score must do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

from warmstart.tasks.classify.evidence.knn_accuracy import knn_accuracy

Labels = NDArray[np.int64]


def clusters(seed: int, *, n: int = 60, d: int = 8, k: int = 3, apart: float = 2.0) -> tuple[np.ndarray, Labels]:
    random = np.random.default_rng(seed)
    labels = np.arange(n) % k
    return random.normal(size=(n, d)) + apart * random.normal(size=(k, d))[labels], labels.astype(np.int64)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_shuffled_labels_score_lower(seed: int) -> None:
    X, y = clusters(seed)
    shuffled = np.random.default_rng(seed).permutation(y)
    assert knn_accuracy(X, y) > knn_accuracy(X, shuffled)


def test_the_order_of_pictures_and_the_names_of_classes_do_not_matter() -> None:
    X, y = clusters(3)
    order = np.random.default_rng(0).permutation(len(y))
    renamed = np.array([2, 0, 1])[y]
    assert knn_accuracy(X[order], y[order]) == pytest.approx(knn_accuracy(X, y), rel=1e-9)
    assert knn_accuracy(X, renamed) == pytest.approx(knn_accuracy(X, y), rel=1e-9)


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
