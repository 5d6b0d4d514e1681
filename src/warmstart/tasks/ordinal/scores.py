"""How good answers in an order are: how far off they are, in ranks, and whether probabilities mean what they say.

qwk         quadratic weighted kappa: 1 - Σ (i - j)² Oᵢⱼ / Σ (i - j)² Eᵢⱼ, O the share of pictures of rank i that were called j, E the
            share if the two had nothing to do with each other (J. Cohen, "Weighted kappa", Psychological Bulletin 70, 1968); 1 is
            perfect, 0 is any one answer for all; None where all pictures have one rank and are called by it
mae_ranks   mean |rank said - true rank|        within_one   share that is off by one rank at most
log_loss    mean of -log(probability of the true value), probabilities not taken below `SMALLEST_PROBABILITY`

"Of median" is always answering the median of train, "of most" its most frequent value, "of shares" giving each value its share in train.
Intervals are bootstrap percentiles over pictures (B. Efron, R. Tibshirani, 1993, chapter 13), the same pictures drawn for all; for shares
of pictures the score interval (`evaluation.intervals.wilson`).

N pictures, K values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.evaluation.intervals import wilson
from warmstart.tasks.ordinal.sets import decide

Interval = tuple[float, float]
Ranks = NDArray[np.int64]

SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)  # one sure mistake costs at most 16 nats
RESAMPLES, RESAMPLES_OF_MANY, MANY = 2000, 300, 20_000
SEED = 0  # of the resamples


@dataclass(frozen=True, kw_only=True)
class OrderScores:
    """On one split."""

    n: int
    qwk: float | None
    qwk_ci95: Interval | None
    mae_ranks: float
    mae_ranks_ci95: Interval
    mae_ranks_of_median: float
    within_one: float
    within_one_ci95: Interval
    within_one_of_median: float
    accuracy: float
    accuracy_ci95: Interval
    accuracy_of_most: float
    log_loss: float
    log_loss_ci95: Interval
    log_loss_of_shares: float
    coverage: float | None  # share of pictures whose set holds the true value; None where there are no sets
    coverage_ci95: Interval | None
    coverage_asked: float | None
    set_size: float | None  # values in a set, on average
    values: Mapping[str, Mapping[str, Any]]  # each value's own numbers, from the lowest to the highest
    confusion: Sequence[Sequence[int]]  # (true, said), by rank
    used_for_choosing: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def score(
    probabilities: NDArray[np.floating],
    y: Ranks,
    *,
    order: Sequence[str],
    usual: NDArray[np.float64],
    sets: NDArray[np.bool_] | None,
    coverage: float,
    used_for_choosing: bool,
) -> OrderScores:
    """Probabilities (N, K) against ranks (N,); ``usual`` (K,): shares of train. ``sets`` (N, K): for ``coverage``."""
    n, k = probabilities.shape
    said = decide(probabilities)
    off = np.abs(said - y)
    table = table_of(y, said, k)
    losses = log_losses(probabilities, y)
    drawn = _resampled(y * k + said, losses, k)
    median = int(decide(usual[None])[0])
    inside = None if sets is None else int(sets[np.arange(n), y].sum())
    return OrderScores(
        n=n,
        qwk=kappa(table),
        qwk_ci95=None if kappa(table) is None else drawn["qwk"],
        mae_ranks=float(off.mean()),
        mae_ranks_ci95=drawn["mae_ranks"],
        mae_ranks_of_median=float(np.abs(median - y).mean()),
        within_one=float((off <= 1).mean()),
        within_one_ci95=wilson(int((off <= 1).sum()), n),
        within_one_of_median=float((np.abs(median - y) <= 1).mean()),
        accuracy=float((off == 0).mean()),
        accuracy_ci95=wilson(int((off == 0).sum()), n),
        accuracy_of_most=float((y == int(usual.argmax())).mean()),
        log_loss=float(losses.mean()),
        log_loss_ci95=drawn["log_loss"],
        log_loss_of_shares=float(log_losses(np.broadcast_to(usual, (n, k)), y).mean()),
        coverage=None if inside is None else inside / n,
        coverage_ci95=None if inside is None else wilson(inside, n),
        coverage_asked=None if inside is None else coverage,
        set_size=None if sets is None else float(sets.sum(axis=1).mean()),
        values={name: _value(table, i, float(usual[i])) for i, name in enumerate(order)},
        confusion=tuple(tuple(int(count) for count in row) for row in table),
        used_for_choosing=used_for_choosing,
    )


def table_of(y: Ranks, said: Ranks, k: int) -> NDArray[np.float64]:
    """(K, K): how many pictures of each rank were called what."""
    return np.bincount(y * k + said, minlength=k * k).reshape(k, k).astype(np.float64)


def kappa(table: NDArray[np.float64]) -> float | None:
    """Quadratic weighted kappa of counts (K, K)."""
    k = len(table)
    apart = np.square(np.subtract.outer(np.arange(k), np.arange(k)))
    by_chance = float((apart * np.outer(table.sum(axis=1), table.sum(axis=0))).sum()) / max(float(table.sum()), 1.0)
    return 1 - float((apart * table).sum()) / by_chance if by_chance else None


def log_losses(probabilities: NDArray[np.floating], y: Ranks) -> NDArray[np.float64]:
    """(N,), in nats."""
    p = probabilities[np.arange(len(y)), y].astype(np.float64)
    return np.asarray(-np.log(np.clip(p, SMALLEST_PROBABILITY, 1)))


def _value(table: NDArray[np.float64], i: int, share: float) -> dict[str, Any]:
    """Of one value."""
    of_it, k = table[i], len(table)
    pictures = int(of_it.sum())
    return {
        "pictures": pictures,
        "said": int(table[:, i].sum()),
        "right": float(of_it[i]) / pictures if pictures else None,
        "mae_ranks": float(of_it @ np.abs(np.arange(k) - i)) / pictures if pictures else None,
        "share_in_train": share,
    }


def _resampled(cells: NDArray[np.int64], losses: NDArray[np.float64], k: int) -> dict[str, Interval]:
    """Percentile intervals. ``cells`` (N,): rank · K + rank said."""
    n, random = len(cells), np.random.default_rng(SEED)
    off = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    found: dict[str, list[float]] = {"qwk": [], "mae_ranks": [], "log_loss": []}
    for _ in range(RESAMPLES if n <= MANY else RESAMPLES_OF_MANY):
        drawn = random.integers(n, size=n)
        table = np.bincount(cells[drawn], minlength=k * k).reshape(k, k).astype(np.float64)
        agreement = kappa(table)
        if agreement is not None:
            found["qwk"].append(agreement)
        found["mae_ranks"].append(float((off * table).sum()) / n)
        found["log_loss"].append(float(losses[drawn].mean()))
    return {name: _ends(values) for name, values in found.items()}


def _ends(values: Sequence[float]) -> Interval:
    low, high = np.quantile(values or [0.0], [0.025, 0.975])
    return float(low), float(high)
