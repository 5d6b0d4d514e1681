"""Closed-form ridge and its held-out numbers, against scikit-learn fitted again without each unit."""

import numpy as np
import pytest
from sklearn.linear_model import HuberRegressor, Ridge

from warmstart.heads.least_squares import FLOOR, huber_weights, ridge_path
from warmstart.heads.standardising import floored, mean_and_scale


def _problem(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    X = (random.normal(size=(n, d)) * random.uniform(0.5, 4, d) + 2).astype(np.float32)
    Y = X[:, :2] @ np.array([[1.0, -2.0], [0.5, 1.0]]) + random.normal(size=(n, 2))
    return X, Y


def _standardised(X: np.ndarray) -> np.ndarray:
    mean, scale = (row[0] for row in mean_and_scale(X, np.ones((1, len(X)), np.float32)))
    return ((X - mean) * floored(scale, FLOOR)).astype(np.float64)


@pytest.mark.parametrize(("n", "d"), [(60, 12), (25, 60)])
def test_each_fit_is_scikit_learns_and_so_is_what_it_says_without_each_unit(n: int, d: int) -> None:
    X, Y = _problem(n, d)
    units = np.arange(n)
    units[[5, 6]], units[11] = 4, 10  # three pictures of one scene, two of another
    Z = _standardised(X)
    for found in ridge_path(X, Y, [3.0, 0.1], units=units):
        model = Ridge(alpha=found.penalty * n).fit(Z, Y)
        np.testing.assert_allclose(found.map(X), model.predict(Z), atol=2e-4)
        for unit in (4, 10, 0, n - 1):
            out = units == unit
            without = Ridge(alpha=found.penalty * n).fit(Z[~out], Y[~out])
            np.testing.assert_allclose(found.held_out[out], without.predict(Z[out]), atol=2e-4)


def test_weights_count_like_as_many_copies() -> None:
    X, Y = _problem(30, 5)
    weights = np.ones(30)
    weights[3] = 4.0
    (weighted,) = ridge_path(X, Y, [0.5], weights=weights)
    more = np.concatenate([X, np.repeat(X[3:4], 3, axis=0)]), np.concatenate([Y, np.repeat(Y[3:4], 3, axis=0)])
    (copied,) = ridge_path(*more, [0.5])
    np.testing.assert_allclose(weighted.map(X), copied.map(X), atol=1e-4)


def test_a_feature_that_train_hardly_has_does_not_blow_up_a_number() -> None:
    X, Y = _problem(40, 6)
    X[:, 5] = 1e-3 * np.random.default_rng(1).normal(size=40)
    (found,) = ridge_path(X, Y, [0.01])
    strange = X[:1].copy()
    strange[0, 5] = 1.0
    assert np.abs(found.map(strange) - found.map(X[:1])).max() < 2 * Y.std()


def test_slips_weigh_little_as_with_hubers_regression() -> None:
    X, Y = _problem(200, 3)
    Y = Y[:, :1]
    slips = np.random.default_rng(2).permutation(200)[:20]
    Y[slips] += 60
    found = next(iter(ridge_path(X, Y, [1e-4])))
    for _ in range(10):
        found = next(iter(ridge_path(X, Y, [1e-4], weights=huber_weights(found.held_out - Y))))
    clean = HuberRegressor(alpha=0.0).fit(X, Y[:, 0]).predict(X)
    good = np.setdiff1d(np.arange(200), slips)
    assert np.abs(found.map(X)[good, 0] - clean[good]).mean() < 0.35
