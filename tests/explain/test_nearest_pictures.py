"""The nearest of many rows, against the head that looks for the same."""

import numpy as np
import pytest

from warmstart.tasks.classify.explain.nearest import nearest
from warmstart.tasks.classify.heads.knn import KnnHead


def test_the_nearest_are_those_that_vote_in_head_knn() -> None:
    random = np.random.default_rng(0)
    rows, row = random.normal(2, 3, (40, 6)).astype(np.float32), random.normal(2, 3, 6).astype(np.float32)
    labels = np.arange(40)
    found = nearest(row, rows, paths=[str(i) for i in labels], class_names=[f"class {i}" for i in labels], count=5)
    votes = KnnHead(neighbours=5).fit(rows, labels, n_classes=40).logits(row[None])[0]
    assert {int(n.path) for n in found} == set(np.flatnonzero(votes > votes.min() + 0.1).tolist())
    assert [n.distance for n in found] == sorted(n.distance for n in found)
    assert all(n.class_name == f"class {n.path}" for n in found)


def test_a_picture_is_at_distance_0_from_itself_and_a_feature_that_does_not_vary_counts_nothing() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (10, 4)).astype(np.float32)
    rows[:, 2] = 7
    names = [str(i) for i in range(10)]
    (first,) = nearest(rows[3], rows, paths=names, class_names=names, count=1)
    assert (first.path, first.distance) == ("3", pytest.approx(0, abs=1e-6))
    moved = rows[3] + np.array([0, 0, 100, 0], np.float32)
    assert nearest(moved, rows, paths=names, class_names=names, count=1)[0].distance == pytest.approx(0, abs=1e-6)
