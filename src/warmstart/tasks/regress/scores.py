"""How good numbers are: errors, what share of the spread they explain, whether their order is right, how often intervals hold the truth.

    MAE   mean |y - ŷ|          RMSE  √ mean (y - ŷ)²          R²  1 - Σ (y - ŷ)² / Σ (y - mean y)²          Spearman  of the ranks

R² is 0 for always naming the mean of these very pictures. Intervals: bootstrap percentiles over pictures (B. Efron, R. Tibshirani, 1993,
chapter 13) for MAE, RMSE and R²; Fisher's z with the variance of D. Bonett, T. Wright, Psychometrika 65, 2000, for Spearman; the score
interval (`evaluation.intervals.wilson`) for coverage. Of several targets the numbers at the top are means over the targets.

N pictures, O targets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.evaluation.intervals import wilson

Interval = tuple[float, float]
RESAMPLES, RESAMPLES_OF_MANY, MANY = 2000, 300, 20_000
SEED = 0  # of the resamples


@dataclass(frozen=True, kw_only=True)
class NumberScores:
    """On one split. None: it cannot be said, as with R² where all pictures have the same number."""

    n: int
    mae: float
    mae_ci95: Interval
    rmse: float
    rmse_ci95: Interval
    r2: float | None
    r2_ci95: Interval | None
    spearman: float | None
    spearman_ci95: Interval | None
    coverage: float | None  # of the intervals; None where there are none
    coverage_ci95: Interval | None
    coverage_asked: float | None
    mae_of_median: float  # always naming the median of train
    rmse_of_mean: float  # always naming the mean of train
    targets: Mapping[str, Mapping[str, Any]]  # each target's own numbers, its mean width of interval beside
    used_for_choosing: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def score(
    estimates: NDArray[np.floating],
    truth: NDArray[np.float64],
    *,
    names: tuple[str, ...],
    usual: Sequence[tuple[float, float]],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    coverage: float | None,
    used_for_choosing: bool,
) -> NumberScores:
    """Estimates and truth (N, O); ``usual``: mean and median of train, for each target.

    ``ends``: of the intervals for ``coverage``, (N, O) each.
    """
    columns = [
        _one(e, y, u, None if ends is None else (ends[0][:, i], ends[1][:, i]))
        for i, (e, y, u) in enumerate(zip(estimates.T.astype(np.float64), truth.T, usual, strict=True))
    ]

    def mean(name: str) -> Any:
        values = [column[name] for column in columns]
        if any(value is None for value in values):
            return None
        found = np.mean(values, axis=0)
        return tuple(found.tolist()) if found.ndim else float(found)

    top = {name: mean(name) for name in columns[0] if name not in ("width", "coverage_ci95")}
    share = top["coverage"]
    return NumberScores(
        n=len(truth),
        **top,
        coverage_ci95=None if share is None else wilson(round(share * len(truth)), len(truth)),
        coverage_asked=coverage if ends is not None else None,
        targets=dict(zip(names, columns, strict=True)),
        used_for_choosing=used_for_choosing,
    )


def spearman(estimates: NDArray[np.float64], truth: NDArray[np.float64]) -> float | None:
    """Pearson's correlation of the ranks, ties at their mean; None where one of the two does not vary."""
    from scipy.stats import rankdata

    a, b = (rankdata(values) - (len(values) + 1) / 2 for values in (estimates, truth))
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size else None


def _one(
    estimates: NDArray[np.float64],
    truth: NDArray[np.float64],
    usual: tuple[float, float],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> dict[str, Any]:
    n, error = len(truth), truth - estimates
    spread = float(np.square(truth - truth.mean()).sum())
    order = spearman(estimates, truth)
    inside = None if ends is None else (truth >= ends[0]) & (truth <= ends[1])
    drawn = _resampled(error, truth)
    return {
        "mae": float(np.abs(error).mean()),
        "mae_ci95": drawn["mae"],
        "rmse": float(np.sqrt(np.square(error).mean())),
        "rmse_ci95": drawn["rmse"],
        "r2": 1 - float(np.square(error).sum()) / spread if spread else None,
        "r2_ci95": drawn["r2"] if spread else None,
        "spearman": order,
        "spearman_ci95": None if order is None else _of_order(order, n),
        "coverage": None if inside is None else float(inside.mean()),
        "coverage_ci95": None if inside is None else wilson(int(inside.sum()), n),
        "mae_of_median": float(np.abs(truth - usual[1]).mean()),
        "rmse_of_mean": float(np.sqrt(np.square(truth - usual[0]).mean())),
        "width": None if ends is None else float((ends[1] - ends[0]).mean()),
    }


def _resampled(error: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, Interval]:
    """Percentile intervals; the same pictures are drawn for every score."""
    n = len(truth)
    random = np.random.default_rng(SEED)
    rounds = RESAMPLES if n <= MANY else RESAMPLES_OF_MANY
    found: dict[str, list[float]] = {"mae": [], "rmse": [], "r2": []}
    centred = truth - truth.mean()  # of what varies little around a large number no digit is lost
    for _ in range(rounds):
        times = np.bincount(random.integers(n, size=n), minlength=n)
        squares = float(times @ np.square(error))
        mean = float(times @ centred) / n
        spread = float(times @ np.square(centred)) - n * mean * mean
        found["mae"].append(float(times @ np.abs(error)) / n)
        found["rmse"].append(math.sqrt(squares / n))
        if spread > 0:
            found["r2"].append(1 - squares / spread)
    ends = {}
    for name, values in found.items():
        low, high = np.quantile(values or [0.0], [0.025, 0.975])
        ends[name] = (float(low), float(high))
    return ends


def _of_order(r: float, n: int) -> Interval:
    if n < 4 or abs(r) >= 1:
        return (-1.0, 1.0) if n < 4 else (r, r)
    half = NormalDist().inv_cdf(0.975) * math.sqrt((1 + r * r / 2) / (n - 3))
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
