import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax as oracle_softmax

from warmstart.tasks.classify.metrics import log_loss
from warmstart.tasks.classify.temperature import (
    TEMPERATURE_RANGE,
    error_when_calibrated,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
    softmax,
)


def drawn_from_their_own_probabilities(n=4000, k=4, seed=0, spread=2.0):
    """Logits (n, k) and labels drawn with exactly the probabilities that they say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n, k))
    cumulative = oracle_softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > cumulative).sum(axis=1)


@given(shift=st.floats(-1e3, 1e3), temperature=st.floats(0.1, 10))
def test_softmax_is_scipys_and_does_not_mind_a_constant(shift, temperature):
    logits = np.random.default_rng(0).normal(0, 5, (20, 3))
    assert softmax(logits + shift, temperature) == pytest.approx(oracle_softmax(logits / temperature, axis=1), rel=1e-6)


def test_softmax_of_huge_logits_neither_overflows_nor_changes_dtype():
    out = softmax(np.array([[1e4, 0, -1e4]], np.float32))
    assert out.dtype == np.float32
    assert out.tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
def test_temperature_undoes_the_factor_by_which_logits_are_too_sure(factor):
    logits, labels = drawn_from_their_own_probabilities()
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.06)


@given(seed=st.integers(0, 1000), spread=st.floats(0.5, 5), k=st.integers(2, 6))
def test_temperature_is_where_a_search_finds_the_lowest_loss(seed, spread, k):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, 80)
    logits = rng.normal(0, spread, (80, k)) + spread * np.eye(k)[labels]

    def loss(log_t):
        return log_loss(softmax(logits, np.exp(log_t)), labels)

    bounds = np.log(TEMPERATURE_RANGE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    assert loss(np.log(fit_temperature(logits, labels))) <= found.fun + 1e-6


@given(seed=st.integers(0, 1000), doubt=st.floats(0, 0.2), k=st.integers(2, 6))
def test_with_doubt_a_share_of_each_picture_counts_as_one_of_the_other_classes(seed, doubt, k):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, 80)
    logits = rng.normal(0, 1, (80, k)) + np.eye(k)[labels]
    wanted = np.where(np.eye(k)[labels] > 0, 1 - doubt, doubt / (k - 1))

    def loss(log_t):
        return -np.mean((wanted * np.log(softmax(logits, np.exp(log_t)))).sum(axis=1))

    bounds = np.log(TEMPERATURE_RANGE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    assert loss(np.log(fit_temperature(logits, labels, doubt=doubt))) <= found.fun + 1e-6


def test_with_doubt_pictures_that_are_all_right_do_not_promise_that_every_one_will_be():
    labels = np.arange(27) % 3
    logits = 5.0 * np.eye(3)[labels]
    p = softmax(logits, fit_temperature(logits, labels, doubt=1 / 29))
    assert p.max(axis=1) == pytest.approx(np.full(27, 28 / 29), abs=1e-3)
    assert softmax(logits, fit_temperature(logits, labels)).max() > 0.999999


def test_temperature_stays_in_its_range_for_separable_and_for_useless_logits():
    labels = np.array([0, 1, 0, 1])
    right = np.eye(2)[labels]
    assert fit_temperature(right, labels) == pytest.approx(TEMPERATURE_RANGE[0], rel=1e-3)
    assert fit_temperature(-right, labels) == pytest.approx(TEMPERATURE_RANGE[1], rel=1e-3)


def test_temperature_needs_pictures():
    with pytest.raises(ValueError, match="no pictures"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))


def test_calibration_error_is_small_for_true_probabilities_and_large_for_boastful_ones():
    logits, labels = drawn_from_their_own_probabilities(n=20_000)

    def error(factor):
        probabilities = softmax(logits * factor)
        return expected_calibration_error(reliability_bins(probabilities, labels, probabilities.argmax(axis=1)))

    assert error(1) < 0.02
    assert error(4) > 0.1


def test_bins_are_open_on_the_left_and_hold_every_picture_once():
    probabilities = np.array([[1.0, 0.0], [0.6, 0.4], [0.5, 0.5], [0.8, 0.2]])
    bins = reliability_bins(probabilities, np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), bins=5)
    assert [b.count for b in bins] == [1, 0, 2, 0, 1]
    assert [b.accuracy for b in bins] == [1, 0, 0.5, 0, 1]
    assert bins[2].confidence == pytest.approx(0.55)


def test_calibration_error_by_hand():
    # three pictures at 0.9 of which two right, one at 0.55 that is wrong
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.55, 0.45]])
    bins = reliability_bins(probabilities, np.array([0, 0, 1, 1]), np.zeros(4, int))
    assert expected_calibration_error(bins) == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.55)


def test_a_calibrated_model_stays_below_its_limit_in_95_of_100_draws():
    rng = np.random.default_rng(0)
    confidence = rng.beta(5, 1, 400)
    limit = error_when_calibrated(confidence)
    assert error_when_calibrated(confidence, quantile=0.5) < limit < error_when_calibrated(confidence, quantile=0.999)

    def error(right):
        shares = np.stack([1 - confidence, confidence], axis=1)
        return expected_calibration_error(reliability_bins(shares, right.astype(int), np.ones(400, int)))

    fair = [error(rng.random(400) < confidence) for _ in range(600)]
    assert np.mean(np.array(fair) <= limit) == pytest.approx(0.95, abs=0.03)
    boasting = [error(rng.random(400) < confidence - 0.15) for _ in range(50)]
    assert np.mean(np.array(boasting) <= limit) < 0.05


def test_the_limit_falls_with_the_number_of_pictures_and_is_zero_where_nothing_is_left_to_chance():
    rng = np.random.default_rng(1)
    few, many = (error_when_calibrated(rng.beta(5, 1, n)) for n in (100, 10_000))
    assert many < few / 5
    assert error_when_calibrated(np.ones(50)) == 0


def test_bins_stand_side_by_side_from_0_to_1():
    bins = reliability_bins(np.array([[0.3, 0.7]]), np.array([1]), np.array([1]), bins=4)
    assert [(b.low, b.high) for b in bins] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]
    assert [b.count for b in bins] == [0, 0, 1, 0]
