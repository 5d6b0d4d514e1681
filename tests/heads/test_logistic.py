"""Logistic regression onto binary targets with gaps, against scikit-learn fitted to each output's own examples."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from warmstart.heads.least_squares import FLOOR
from warmstart.heads.logistic import binary_fit, held_out_path, log_losses
from warmstart.heads.standardising import floored, mean_and_scale


def _problem(n: int = 160, d: int = 12, o: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = (random.normal(size=(n, d)) * random.uniform(0.5, 4, d) + 2).astype(np.float32)
    Z = (X - X.mean(axis=0)) @ random.normal(size=(d, o)) / 3
    Y = (random.random((n, o)) < 1 / (1 + np.exp(-Z))).astype(np.float64)
    return X, Y, (random.random((n, o)) < 0.75).astype(np.float64)


def _by_scikit_learn(X: np.ndarray, y: np.ndarray, penalty: float, new: np.ndarray) -> np.ndarray:
    mean, scale = (row[0] for row in mean_and_scale(X, np.ones((1, len(X)), np.float32)))
    scale = floored(scale, FLOOR)
    model = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-9, max_iter=10_000).fit((X - mean) * scale, y)
    return model.decision_function((new - mean) * scale)


def test_each_output_is_the_fit_of_scikit_learn_to_the_examples_that_it_is_known_of() -> None:
    X, Y, W = _problem()
    penalties = np.array([0.3, 0.03, 0.003])
    found = binary_fit(X, Y, W, penalties, tolerance=1e-9)(X)
    for o, penalty in enumerate(penalties):
        known = W[:, o] > 0
        np.testing.assert_allclose(found[:, o], _by_scikit_learn(X[known], Y[known, o], penalty, X), atol=5e-3)


def test_what_is_unknown_changes_nothing_whatever_stands_there() -> None:
    X, Y, W = _problem()
    others = np.where(W > 0, Y, 1 - Y)
    one, other = (binary_fit(X, values, W, np.full(3, 0.03)) for values in (Y, others))
    np.testing.assert_array_equal(one.coef, other.coef)
    np.testing.assert_array_equal(one.intercept, other.intercept)


def test_an_output_with_gaps_is_the_one_that_is_learnt_from_its_examples_alone() -> None:
    X, Y, W = _problem()
    together = binary_fit(X, Y, W, np.full(3, 0.03), tolerance=1e-9)
    for o in range(3):
        known = W[:, o] > 0
        alone = binary_fit(X[known], Y[known][:, [o]], np.ones((int(known.sum()), 1)), np.array([0.03]), tolerance=1e-9)
        np.testing.assert_allclose(X @ together.coef[:, o] + together.intercept[o], alone(X)[:, 0], atol=2e-3)


def test_a_weight_counts_like_that_many_examples() -> None:
    X, Y, _ = _problem()
    W = np.ones_like(Y)
    W[:40] = 2
    weighted = binary_fit(X, Y, W, np.full(3, 0.03), tolerance=1e-9)
    twice = np.r_[np.arange(160), np.arange(40)]
    doubled = binary_fit(X[twice], Y[twice], np.ones((200, 3)), np.full(3, 0.03), tolerance=1e-9)
    np.testing.assert_allclose(weighted(X), doubled(X), atol=2e-3)


def test_held_out_logits_are_those_of_fits_without_the_fold() -> None:
    X, Y, W = _problem()
    fold_of = np.arange(160) % 4
    *_, found = held_out_path(X, Y, W, (1.0, 0.1), fold_of)
    for fold in range(4):
        inside = fold_of == fold
        alone = binary_fit(X[~inside], Y[~inside], W[~inside], np.full(3, 0.1))
        assert np.abs(found[inside] - alone(X[inside])).max() < 0.15  # close enough to choose by


def test_an_output_of_one_kind_learns_no_weights_and_is_never_sure() -> None:
    X, Y, W = _problem()
    Y[:, 1], W[:, 2] = 0, 0
    found = binary_fit(X, Y, W, np.full(3, 0.03))
    assert not found.coef[:, 1:].any()
    n = W[:, 1].sum()
    assert found.intercept[1] == pytest.approx(np.log(0.5 / (n + 0.5)), abs=1e-5)
    assert found.intercept[2] == 0
    assert found.coef[:, 0].any()


def test_losses_are_those_of_the_closed_form_and_overflow_nowhere() -> None:
    logits, Y = np.array([[0.0, 2.0, -900.0], [900.0, -3.0, 900.0]]), np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    expected = [[np.log(2), np.log1p(np.exp(2)), 900.0], [0.0, np.log1p(np.exp(3)), 900.0]]
    np.testing.assert_allclose(log_losses(logits, Y), expected)
