"""The learning curve: the law is found where there is one, and the promise is modest where there is none."""

import numpy as np
import pytest

from warmstart.tasks.classify.evidence.learning_curve import fit_power_law, gain_of, learning_curve

SIZES = np.array([10.0, 20, 40, 70, 100])


@pytest.mark.parametrize(("a", "b", "c"), [(0.1, 1.0, 0.5), (0.0, 2.0, 1.0), (0.05, 0.8, 0.25)])
def test_an_exact_power_law_is_found_again(a: float, b: float, c: float) -> None:
    found = fit_power_law(SIZES, (a + b * SIZES**-c)[None])
    assert [float(value[0]) for value in found] == pytest.approx([a, b, c], abs=1e-6)


def test_a_flat_or_rising_curve_promises_nothing() -> None:
    flat = np.stack([np.full(5, 0.3), np.linspace(0.2, 0.4, 5)])
    assert gain_of(fit_power_law(SIZES, flat), 100, 200) == pytest.approx([0, 0], abs=1e-12)


def test_no_law_predicts_an_error_below_zero() -> None:
    steep = np.array([[0.5, 0.2, 0.05, 0.0, 0.0]])
    a, b, c = fit_power_law(SIZES, steep)
    assert a[0] >= 0
    assert a[0] + b[0] * 10_000.0 ** -c[0] >= 0


def noisy(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return (random.normal(size=(n, 60)) + 0.18 * (2 * y - 1)[:, None]).astype(np.float32), y.astype(np.int64)


def test_what_it_promises_for_twice_the_pictures_holds_on_twice_the_pictures() -> None:
    X, y = noisy(0, 800)
    curve = learning_curve(X[:400], y[:400], n_classes=2, penalty=0.1, seed=0, there_are=400)
    later = learning_curve(X, y, n_classes=2, penalty=0.05, seed=0, there_are=800)
    assert curve is not None
    assert later is not None
    assert curve.more_images_per_class == 200
    assert curve.error[0] > curve.error[-1]
    assert curve.gain is not None
    assert curve.gain_ci95 is not None
    low, high = curve.gain_ci95
    assert low <= curve.gain <= high
    assert low - 0.02 <= curve.error[-1] - later.error[-1] <= high + 0.02


def test_too_few_pictures_give_no_curve() -> None:
    X, y = noisy(1, 12)
    assert learning_curve(X, y, n_classes=2, penalty=0.1, seed=0, there_are=12) is None


def test_the_same_seed_gives_the_same_curve() -> None:
    X, y = noisy(2, 120)
    first, second = (learning_curve(X, y, n_classes=2, penalty=0.1, seed=3, there_are=120) for _ in range(2))
    assert first == second


def test_of_a_draw_the_gain_is_counted_from_all_that_there_are_and_not_said_too_far_out() -> None:
    X, y = noisy(0, 400)

    def gain(there_are: int) -> float | None:
        curve = learning_curve(X, y, n_classes=2, penalty=0.1, seed=0, there_are=there_are)
        assert curve is not None
        assert curve.more_images_per_class == there_are / 2
        return curve.gain

    few, more, many = gain(400), gain(1200), gain(2000)
    assert few is not None
    assert more is not None
    assert more < few  # the curve flattens
    assert many is None  # 2,000 a class, measured up to 160
