import numpy as np
import pytest
from scipy import stats

from warmstart.evaluation.intervals import bootstrap_ci, paired_bootstrap


def test_interval_holds_the_true_accuracy_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        low, high = bootstrap_ci(rng.random(200) < 0.8, seed=trial)
        hits += low <= 0.8 <= high
    assert 0.90 <= hits / 300 <= 0.98


def test_interval_is_the_quantiles_of_the_binomial_that_resampling_draws_from():
    correct = np.arange(400) % 10 != 0
    expected = stats.binom(400, 0.9).ppf([0.025, 0.975]) / 400
    assert bootstrap_ci(correct, resamples=50_000) == pytest.approx(expected, abs=1 / 400)


def test_drawing_a_count_equals_resampling_pictures():
    correct = np.arange(60) % 4 != 0
    rng = np.random.default_rng(5)
    resampled = correct[rng.integers(0, 60, (20_000, 60))].mean(axis=1)
    assert bootstrap_ci(correct, resamples=20_000) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=1 / 60)


def test_interval_narrows_with_pictures_and_level():
    def width(n, level=0.95):
        low, high = bootstrap_ci(np.arange(n) % 5 != 0, level=level)
        return high - low

    assert width(4000) < width(400) < width(40)
    assert width(400, 0.5) < width(400)


def test_interval_depends_on_nothing_but_its_arguments():
    correct = np.arange(97) % 3 == 0
    assert bootstrap_ci(correct, seed=3) == bootstrap_ci(correct, seed=3)


def test_interval_has_no_width_when_every_picture_is_right():
    assert bootstrap_ci(np.ones(10, bool)) == (1, 1)


def test_paired_interval_of_equal_models_is_zero_and_of_opposites_mirrors():
    rng = np.random.default_rng(1)
    a, b = rng.random(300) < 0.9, rng.random(300) < 0.7
    assert paired_bootstrap(a, a) == (0, 0)
    low, high = paired_bootstrap(a, b, resamples=20_000)
    assert low < a.mean() - b.mean() < high
    assert paired_bootstrap(b, a, resamples=20_000) == pytest.approx((-high, -low), abs=0.01)


def test_paired_interval_is_narrower_where_the_models_err_on_the_same_pictures():
    a = np.arange(300) % 5 != 0
    alike, unlike = a.copy(), np.roll(a, 1)
    alike[:10] = ~alike[:10]
    narrow, wide = paired_bootstrap(a, alike), paired_bootstrap(a, unlike)
    assert narrow[1] - narrow[0] < wide[1] - wide[0]


def test_no_pictures_have_no_interval():
    none = np.zeros(0, bool)
    with pytest.raises(ValueError, match="no pictures to score"):
        bootstrap_ci(none)
    with pytest.raises(ValueError, match="no pictures to compare"):
        paired_bootstrap(none, none)
    with pytest.raises(ValueError, match="same pictures on both sides, got 2 and 3"):
        paired_bootstrap(np.ones(2, bool), np.ones(3, bool))
