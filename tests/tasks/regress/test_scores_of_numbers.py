"""Every score of numbers against scikit-learn and scipy, intervals against what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from warmstart.errors import UsageError
from warmstart.evaluation.intervals import wilson
from warmstart.tasks.regress.intervals import Intervals
from warmstart.tasks.regress.scores import NumberScores, score


def scored(estimates: np.ndarray, truth: np.ndarray, **said: object) -> NumberScores:
    names = tuple(f"t{i}" for i in range(truth.shape[1]))
    usual = [(float(c.mean()), float(np.median(c))) for c in truth.T]
    settings = {"names": names, "usual": usual, "ends": None, "coverage": None, "used_for_choosing": False}
    return score(estimates, truth, **{**settings, **said})  # type: ignore[arg-type]


@given(seed=st.integers(0, 10_000), n=st.integers(5, 80), o=st.integers(1, 3), noise=st.floats(0.01, 30))
def test_scores_are_those_of_scikit_learn(seed: int, n: int, o: int, noise: float) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(3, 5, (n, o)).round(1)
    estimates = truth + random.normal(0, noise, (n, o))
    found = scored(estimates, truth)
    assert found.mae == pytest.approx(mean_absolute_error(truth, estimates))
    assert found.rmse == pytest.approx(root_mean_squared_error(truth, estimates))
    assert found.r2 == pytest.approx(r2_score(truth, estimates))
    order = [spearmanr(e, t).statistic for e, t in zip(estimates.T, truth.T, strict=True)]
    assert found.spearman == pytest.approx(np.mean(order))
    assert found.mae_of_median == pytest.approx(np.abs(truth - np.median(truth, axis=0)).mean())
    assert found.rmse_of_mean == pytest.approx(np.mean(truth.std(axis=0)))
    for name in ("mae", "rmse", "r2", "spearman"):
        low, high = getattr(found, f"{name}_ci95")
        assert low <= high


def test_intervals_of_scores_hold_what_many_draws_of_test_pictures_give() -> None:
    random = np.random.default_rng(0)
    inside = dict.fromkeys(("mae", "rmse", "r2", "spearman"), 0)
    whole_truth = random.normal(0, 1, 200_000)
    whole = whole_truth + random.normal(0, 0.8, 200_000)
    true = scored(whole[:, None], whole_truth[:, None])
    for _ in range(100):
        at = random.integers(200_000, size=80)
        found = scored(whole[at][:, None], whole_truth[at][:, None])
        for name in inside:
            low, high = getattr(found, f"{name}_ci95")
            inside[name] += low <= getattr(true, name) <= high
    assert all(85 <= count <= 100 for count in inside.values()), inside


def test_a_number_that_does_not_vary_has_no_share_explained_and_no_order() -> None:
    found = scored(np.arange(5.0)[:, None], np.full((5, 1), 2.0))
    assert (found.r2, found.r2_ci95, found.spearman) == (None, None, None)
    assert found.mae == pytest.approx(1.2)


def test_numbers_far_from_zero_lose_no_digit() -> None:
    random = np.random.default_rng(1)
    truth = 1e9 + random.normal(0, 1, (50, 1))
    estimates = truth + random.normal(0, 0.5, (50, 1))
    found = scored(estimates, truth)
    near = scored(estimates - 1e9, truth - 1e9)
    assert found.r2 == pytest.approx(near.r2, abs=1e-6)
    assert found.r2_ci95 == pytest.approx(near.r2_ci95, abs=1e-6)


@pytest.mark.parametrize("shape", ["normal", "skewed", "wider where larger"])
def test_intervals_hold_the_truth_as_often_as_they_say_whatever_the_errors_look_like(shape: str) -> None:
    random = np.random.default_rng(7)
    held = width = 0.0
    for _ in range(200):
        estimates = random.uniform(0, 10, (400, 1))
        errors = {
            "normal": random.normal(0, 1, (400, 1)),
            "skewed": random.exponential(2, (400, 1)),
            "wider where larger": random.normal(0, 1, (400, 1)) * (0.2 + 0.3 * estimates),
        }[shape]
        truth = estimates + errors
        intervals = Intervals.of(("t",), estimates[:200], truth[:200])
        low, high = intervals.around(estimates[200:], 0.9)
        held += float(((truth[200:] >= low) & (truth[200:] <= high)).mean()) / 200
        width += float((high - low).mean()) / 200
        tested = intervals.tested(estimates[200:], truth[200:]).coverage(0.9)
        assert tested.measured == pytest.approx(float(((truth[200:] >= low) & (truth[200:] <= high)).mean()))
    assert 0.89 <= held <= 0.92
    assert width < {"normal": 3.6, "skewed": 6.6, "wider where larger": 6.5}[shape]  # ideal 3.3, 5.9, 5.6


def test_too_few_pictures_promise_nothing() -> None:
    intervals = Intervals.of(("t",), np.zeros((10, 1)), np.arange(10.0)[:, None])
    with pytest.raises(UsageError, match=r"10 pictures calibrated this model, too few .* 0.9; expected at most 0.818"):
        intervals.around(np.zeros((1, 1)), 0.9)
    with pytest.raises(UsageError, match="no share between 0 and 1"):
        intervals.around(np.zeros((1, 1)), 1.5)


def test_coverage_of_test_has_the_score_interval() -> None:
    intervals = Intervals.of(("t",), np.zeros((99, 1)), np.linspace(-1, 1, 99)[:, None])
    found = intervals.tested(np.zeros((50, 1)), np.linspace(-1.3, 1.3, 50)[:, None]).coverage(0.9)
    assert found.measured is not None
    assert found.ci95 == wilson(round(found.measured * 50), 50)
