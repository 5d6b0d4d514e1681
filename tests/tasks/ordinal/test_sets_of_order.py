"""What is answered, sets of neighbouring values and the temperature: properties, and what they promise on drawn data."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from warmstart.errors import UsageError
from warmstart.heads.cumulative import log_losses, log_probabilities
from warmstart.tasks.ordinal.calibration import TEMPERATURES, fit_temperature
from warmstart.tasks.ordinal.sets import OrderSets, decide, joining


def _drawn(n: int, seed: int, thresholds: tuple[float, ...] = (-1.5, -0.2, 0.1, 1.7)) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are twice too sure, and ranks (n,)."""
    random = np.random.default_rng(seed)
    z = random.normal(size=n) * 2
    y = np.searchsorted(thresholds, z + random.logistic(size=n))
    return 2 * (np.array(thresholds) - z[:, None]), y.astype(np.int64)


def test_the_answer_is_off_by_the_least_ranks_on_average() -> None:
    p = np.random.default_rng(0).dirichlet(np.full(5, 0.5), size=300)
    expected = np.abs(np.subtract.outer(np.arange(5), np.arange(5))) @ p.T  # (answer, N)
    np.testing.assert_allclose(expected[decide(p), np.arange(300)], expected.min(axis=0), atol=1e-12)


def test_a_set_is_an_interval_of_ranks_that_holds_the_answer_and_grows_by_the_likelier_neighbour() -> None:
    p = np.random.default_rng(1).dirichlet(np.full(6, 0.4), size=200)
    scores = joining(p)
    for row, of_row, answer in zip(p, scores, decide(p), strict=True):
        low = high = int(answer)
        inside, expected = row[answer], np.zeros(6)
        while high - low < 5:
            down = low > 0 and (high == 5 or row[low - 1] > row[high + 1])
            low, high = (low - 1, high) if down else (low, high + 1)
            new = low if down else high
            expected[new] = min(inside, 1)
            inside += row[new]
        np.testing.assert_allclose(of_row, expected, atol=1e-12)
    for limit in (0.0, 0.4, 0.9, np.inf):
        inside = scores <= limit
        assert inside[np.arange(200), decide(p)].all()
        assert (np.abs(np.diff(inside.astype(int), axis=1, prepend=0, append=0)).sum(axis=1) == 2).all()


@pytest.mark.parametrize("asked", [0.7, 0.9])
def test_sets_hold_the_true_value_as_often_as_was_asked_whatever_the_model_is_worth(asked: float) -> None:
    held = []
    for seed in range(60):
        logits, y = _drawn(300, seed)
        p = np.exp(log_probabilities(logits))
        sets = OrderSets.of(p[:200], y[:200]).tested(p[200:], y[200:])
        held.append(sets.coverage(asked).measured)
    assert asked - 0.01 < np.mean(held) < asked + 0.1  # from above, for scores come in steps


def test_coverage_says_what_was_measured_and_too_few_pictures_hold_every_value() -> None:
    logits, y = _drawn(60, 3)
    p = np.exp(log_probabilities(logits))
    sets = OrderSets.of(p[:9], y[:9])
    assert sets.coverage(0.8).measured is None
    assert sets.around(p, 0.95).all()
    tested = sets.tested(p[9:], y[9:])
    found = tested.coverage(0.5)
    inside = tested.around(p[9:], 0.5)
    assert found.measured == pytest.approx(inside[np.arange(51), y[9:]].mean())
    assert found.size == pytest.approx(inside.sum(axis=1).mean())
    assert (found.pictures, found.calibrated_on) == (51, 9)
    with pytest.raises(UsageError, match=r"coverage 1\.5 is no share between 0 and 1"):
        sets.coverage(1.5)
    again = OrderSets.from_arrays(tested.arrays(), 5)
    assert again.coverage(0.5) == found


@pytest.mark.parametrize(
    "change",
    [
        {"held_out": np.array([0.5, 0.1])},
        {"held_out": np.zeros(0)},
        {"held_out": np.array([np.nan])},
        {"true": np.full(1, 2.0)},
        {"test": np.zeros((1, 4))},
    ],
)
def test_sets_that_cannot_be_are_refused(change: dict[str, np.ndarray]) -> None:
    whole = {"held_out": np.array([0.1, 0.5]), "test": np.zeros((1, 5)), "true": np.zeros(1)}
    with pytest.raises(ValueError, match=r"'sets\."):
        OrderSets.from_arrays(whole | change, 5)


def test_the_temperature_is_the_one_of_a_search_and_changes_no_answer() -> None:
    logits, y = _drawn(400, 0)
    found = fit_temperature(logits, y)
    best = minimize_scalar(lambda t: log_losses(logits / t, y).mean(), bounds=(0.1, 10), method="bounded").x
    assert found == pytest.approx(best, rel=1e-3)
    assert 1.6 < found < 2.5  # what was drawn is twice too sure
    np.testing.assert_array_equal(decide(np.exp(log_probabilities(logits / found))), decide(np.exp(log_probabilities(logits))))


def test_where_all_is_right_doubt_keeps_the_temperature_from_its_end() -> None:
    y = np.arange(30) % 3
    logits = np.array([[1.0, 3.0], [-1.0, 1.0], [-3.0, -1.0]])[y]
    assert fit_temperature(logits, y) == pytest.approx(TEMPERATURES[0])
    assert fit_temperature(logits, y, doubt=1 / 32) > 2 * TEMPERATURES[0]
