"""How far a score could move if other pictures of the same kind had been in the split: bootstrap percentile intervals.

B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

A resample draws N pictures with replacement. Accuracy looks only at how many of them are right, and that number is binomial
(N, share right), so each resample is one exact draw of a count; no (resamples, N) index array is made. For the difference of
two models on the same pictures the counts of "only a right", "only b right" and "same" are multinomial.

Where every picture is right (or wrong) the interval has no width: the sample holds no sign of the error it did not see.
"""

import numpy as np
from numpy.typing import NDArray


def bootstrap_ci(
    correct: NDArray[np.bool_], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Interval of the accuracy, 0 … 1, of predictions that are right where ``correct`` (N,) is true.

    Raises ValueError for N = 0.
    """
    n = len(correct)
    if n == 0:
        raise ValueError("no pictures to score; a split without pictures has no accuracy")
    right = np.random.default_rng(seed).binomial(n, float(np.mean(correct)), size=resamples)
    return _percentiles(right / n, level)


def paired_bootstrap(
    correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_], *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Interval of accuracy(a) - accuracy(b), -1 … 1, of two models on the same N pictures in the same order.

    Narrower than two separate intervals suggest, because pictures that are easy or hard for both cancel.
    Raises ValueError for N = 0 or unequal lengths.
    """
    n = len(correct_a)
    if n == 0:
        raise ValueError("no pictures to compare; a split without pictures has no accuracy")
    if len(correct_b) != n:
        raise ValueError(f"paired comparison needs the same pictures on both sides, got {n} and {len(correct_b)}")
    only_a = np.count_nonzero(correct_a & ~correct_b)
    only_b = np.count_nonzero(correct_b & ~correct_a)
    shares = np.array([only_a, only_b, n - only_a - only_b]) / n
    counts = np.random.default_rng(seed).multinomial(n, shares, size=resamples)
    return _percentiles((counts[:, 0] - counts[:, 1]) / n, level)


def _percentiles(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
