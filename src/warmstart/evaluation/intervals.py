"""How far a score could move if other pictures of the same kind had been in the split.

An accuracy has the score interval (E. B. Wilson, J. American Statistical Association 22, 1927; recommended by L. Brown, T. Cai, A.
DasGupta, Statistical Science 16, 2001). It is never of width 0: ten pictures that are all right say that at least 72 of 100 are, not all.

The difference of what two models lose on the same pictures is resampled by whole units, because copies and groups stand or fall together.

The difference of two models on the same pictures has bootstrap percentile intervals (B. Efron, R. Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13). A resample draws N pictures with replacement; the counts of "only a right", "only b right" and "same" are
then multinomial, so each resample is one exact draw of them and no (resamples, N) index array is made.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


def wilson(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval of the share ``right`` / ``n``, 0 … 1. Raises ValueError for n = 0."""
    if n == 0:
        raise ValueError("no pictures to score; a split without pictures has no accuracy")
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = right / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return (0.0 if right == 0 else centre - half), (1.0 if right == n else centre + half)  # exact there, but for rounding


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
    tail = (1 - level) / 2
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / n, [tail, 1 - tail])
    return float(low), float(high)


def paired_mean(
    differences: NDArray[np.floating],
    units: NDArray[np.int64],
    *,
    level: float = 0.95,
    resamples: int = 4000,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean of differences (N,) of the same N pictures; those with the same number in ``units`` (N,) are drawn together.

    Raises ValueError for N = 0 or unequal lengths.
    """
    n = len(differences)
    if n == 0:
        raise ValueError("no pictures to compare; a mean of none has no interval")
    if len(units) != n:
        raise ValueError(f"every picture has a unit, got {n} differences and {len(units)} units")
    unit = np.unique(units, return_inverse=True)[1]
    sums, sizes = np.bincount(unit, weights=differences), np.bincount(unit)
    drawn = np.random.default_rng(seed).integers(0, len(sizes), (resamples, len(sizes)))
    tail = (1 - level) / 2
    low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [tail, 1 - tail])
    return float(low), float(high)
