"""The cumulative link model beside a brute-force optimum, binary logistic regression and its own gradient."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize

from warmstart.heads import cumulative
from warmstart.heads.cumulative import (
    cumulative_fit,
    held_out_path,
    log_losses,
    log_probabilities,
    prior_logits,
)
from warmstart.heads.least_squares import FLOOR
from warmstart.heads.logistic import binary_fit
from warmstart.heads.standardising import floored, mean_and_scale

N, D, K = 240, 7, 4


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = (random.normal(size=(N, D)) * random.uniform(0.5, 3, D) + 2).astype(np.float32)
    latent = (X - 2) @ random.normal(size=D) / 3 + random.logistic(size=N)
    return X, np.searchsorted([-1.0, 0.3, 2.0], latent).astype(np.int64)


def test_the_optimum_is_that_of_a_search_over_ordered_thresholds(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    found = cumulative_fit(X, y, K, 0.03, tolerance=1e-9)
    mean, scale = mean_and_scale(X, np.ones((1, N), np.float32))
    scale = floored(scale[0], FLOOR).astype(np.float64)
    S = (X - mean[0]) * scale

    def loss(parameters: np.ndarray) -> float:
        v, thresholds = parameters[:D], np.cumsum(np.r_[parameters[D], np.exp(parameters[D + 1 :])])
        p = np.diff(1 / (1 + np.exp(np.c_[np.full(N, np.inf), (S @ v)[:, None] - thresholds, np.full(N, -np.inf)])), axis=1)
        return float(-np.log(p[np.arange(N), y]).mean() + 0.015 * v @ v)

    best = minimize(loss, np.r_[np.zeros(D), -1.0, 0.0, 0.0], method="BFGS", options={"gtol": 1e-7}).x
    thresholds = np.cumsum(np.r_[best[D], np.exp(best[D + 1 :])])
    np.testing.assert_allclose(-found.coef[:, 0] / scale, best[:D], atol=2e-3)
    np.testing.assert_allclose(found.intercept + mean[0] @ found.coef[:, 0], thresholds, atol=2e-3)


def test_two_values_are_binary_logistic_regression(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    low = (y <= 1).astype(np.float32)[:, None]
    binary = binary_fit(X, low, np.ones_like(low), np.array([0.1]), tolerance=1e-9)
    found = cumulative_fit(X, (y > 1).astype(np.int64), 2, 0.1, tolerance=1e-9)
    np.testing.assert_allclose(found.coef, binary.coef, atol=1e-3)
    np.testing.assert_allclose(found.intercept, binary.intercept, atol=3e-3)


def test_the_gradient_is_that_of_finite_differences(
    data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data
    seen: list[Any] = []

    def once(loss: Any, start: np.ndarray, penalties: Any, **_: Any) -> Iterator[np.ndarray]:
        seen.append(loss)
        yield start

    monkeypatch.setattr(cumulative, "minimise", once)
    y = np.where(y == 0, 1, y)  # the lowest value is lacking: it counts as half a picture
    cumulative_fit(X, y, K, 0.1)
    at = np.r_[np.random.default_rng(1).normal(size=D) * 0.3, -2.0, -0.4, 1.1]
    off = check_grad(
        lambda theta: float(seen[0](theta[None])[0][0]),
        lambda theta: seen[0](theta[None])[1][0].astype(float),
        at,
        epsilon=1e-3,
    )
    assert off < 2e-3
    assert seen[0](np.r_[np.zeros(D), 1.0, 0.0, 2.0][None])[0][0] == np.inf  # swapped thresholds


@pytest.mark.parametrize("penalty", [10.0, 1e-4])
def test_thresholds_stand_in_order_and_probabilities_sum_to_1(data: tuple[np.ndarray, np.ndarray], penalty: float) -> None:
    X, y = data
    found = cumulative_fit(X, y, K, penalty)
    assert found.coef.shape == (D, 1)
    assert (np.diff(found.intercept) > 0).all()
    p = np.exp(log_probabilities(found(X)))
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    if penalty == 10.0:  # nothing is learnt but shares
        np.testing.assert_allclose(p.mean(axis=0), np.bincount(y) / N, atol=0.01)


def test_far_from_the_thresholds_nothing_overflows_and_no_digit_is_lost() -> None:
    p = log_probabilities(np.array([[-800.0, -799.0], [40.0, 41.0]]))
    assert np.isfinite(p).all()
    assert p[0, 1] == pytest.approx(-799 + np.log1p(-np.exp(-1)))
    assert p[1, 1] == pytest.approx(-40 + np.log1p(-np.exp(-1)))


def test_held_out_logits_know_nothing_of_their_fold_and_bear_a_value_that_a_fold_lacks(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = data
    y = np.where(y == 0, 1, y)
    y[3] = 0  # one picture of the lowest value
    fold_of = np.arange(N) % 3
    before, after = held_out_path(X, y, K, [1.0, 0.1], fold_of)
    assert log_losses(after, y).mean() < log_losses(before, y).mean()
    assert np.isfinite(after).all()
    assert (np.diff(after, axis=1) > 0).all()
    alone = cumulative_fit(X[fold_of != 1], y[fold_of != 1], K, 1.0, tolerance=3e-3)(X[fold_of == 1])
    np.testing.assert_allclose(before[fold_of == 1], alone, atol=0.1)


def test_prior_logits_say_the_shares() -> None:
    y = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose(np.exp(log_probabilities(prior_logits(y, 3)[None]))[0], [1 / 2, 1 / 6, 1 / 3])
