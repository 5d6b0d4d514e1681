import numpy as np
import pytest

from warmstart.evaluation.projection import project


def groups(n, d=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    return (rng.normal(0, 0.3, (n, d)) + 3 * np.eye(d)[labels]).astype(np.float32), labels


def test_alike_pictures_lie_together():
    X, labels = groups(90)
    points = project(X, seed=0)
    centres = np.stack([points[labels == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres[None], axis=2).argmin(axis=1)
    assert (nearest == labels).mean() == 1.0


def test_the_same_seed_gives_the_same_map():
    X, _ = groups(40)
    assert np.array_equal(project(X, seed=3), project(X, seed=3))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9, 10, 25])
def test_few_pictures_have_a_map_too(n):
    points = project(groups(n)[0], seed=0)
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()
    assert points.min(initial=0) >= 0
    assert points.max(initial=0) <= 1


def test_pictures_that_are_all_alike_lie_on_one_spot():
    assert np.array_equal(project(np.ones((30, 8), np.float32), seed=0), np.zeros((30, 2)))
