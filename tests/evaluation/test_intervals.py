import numpy as np
import pytest
from scipy import stats

from warmstart.evaluation.intervals import paired_bootstrap, wilson


def test_interval_holds_the_true_accuracy_about_as_often_as_it_says() -> None:
    for share in (0.8, 0.97):
        right = np.random.default_rng(0).binomial(60, share, 2000)
        held = [low <= share <= high for low, high in (wilson(int(count), 60) for count in right)]
        assert 0.92 <= np.mean(held) <= 0.98


def test_it_is_the_interval_that_statisticians_publish() -> None:
    expected = stats.binomtest(339, 372).proportion_ci(0.9, method="wilson")
    assert wilson(339, 372, 0.9) == pytest.approx((expected.low, expected.high))


def test_interval_narrows_with_pictures_and_level() -> None:
    def width(n: int, level: float = 0.95) -> float:
        low, high = wilson(n * 4 // 5, n, level)
        return high - low

    assert width(4000) < width(400) < width(40)
    assert width(400, 0.5) < width(400)


def test_a_few_right_ones_do_not_promise_that_all_are() -> None:
    low, high = wilson(1, 1)
    assert low < 0.25
    assert high == 1
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[0] == pytest.approx(0.722, abs=1e-3)


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
        wilson(0, 0)
    with pytest.raises(ValueError, match="no pictures to compare"):
        paired_bootstrap(none, none)
    with pytest.raises(ValueError, match="same pictures on both sides, got 2 and 3"):
        paired_bootstrap(np.ones(2, bool), np.ones(3, bool))


def test_a_paired_interval_is_of_two_thousand_resamples_at_95_percent():
    a, b = np.arange(60) % 3 > 0, np.arange(60) % 4 > 0
    assert paired_bootstrap(a, b) == paired_bootstrap(a, b, level=0.95, resamples=2000, seed=0)
    wider = paired_bootstrap(a, b, level=0.99)
    assert wider[0] < paired_bootstrap(a, b)[0] < paired_bootstrap(a, b)[1] < wider[1]
