"""Sets of neighbouring values that hold the true one as often as they say.

    start with the value that is answered; add the likelier of the two neighbours, again and again
    score of a value = probability of all that joined before it: 0 for the answer
    its set for a coverage = values whose score is at most q,
    q = the ⌈(n + 1) · coverage⌉-th smallest score of the true values of n held-out pictures

C. Lu, A. Angelopoulos, S. Pomerantz, "Improving Trustworthiness of AI Disease Severity Rating in Medical Imaging with Ordinal Conformal
Prediction Sets", MICCAI 2022. One thing is changed: theirs start with the likeliest value, ours with the answer, which is the median, so
that no set lacks what the model says; as held-out pictures are scored alike, the guarantee stays: where they and new ones are exchangeable,
the true value is in the set with a probability of at least ``coverage``, whatever the model is worth. Values join from one end or the
other, so each set is an interval of ranks. The temperature is fitted on the same pictures, which the theorem does not count: measured, not
guaranteed.

N pictures, K values, n pictures that calibrate, m of test.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.evaluation.intervals import wilson

HALF = 0.5


def decide(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """(N,): the rank that is answered, for probabilities (N, K): the median, the first up to which at least half of it lies.

    Of all ranks it is off by the least on average. The likeliest may lie far from most of the rest, and changes with the temperature.
    """
    so_far = np.cumsum(probabilities[:, :-1].astype(np.float64), axis=1)
    return np.asarray((so_far < HALF).sum(axis=1))


def joining(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, K): scores, 0 … 1."""
    p = probabilities.astype(np.float64)
    n, k = p.shape
    at = np.arange(n)
    padded = np.pad(p, ((0, 0), (1, 1)), constant_values=-1.0)  # beyond both ends there is nothing to add
    low = decide(probabilities) + 1  # places in `padded`
    high, inside, scores = low.copy(), padded[at, low], np.zeros((n, k + 2))
    for _ in range(k - 1):
        down = padded[at, low - 1] > padded[at, high + 1]
        low, high = np.where(down, low - 1, low), np.where(down, high, high + 1)
        new = np.where(down, low, high)
        scores[at, new] = np.minimum(inside, 1.0)
        inside = inside + padded[at, new]
    return scores[:, 1:-1]


@dataclass(frozen=True, kw_only=True)
class SetCoverage:
    """How often the true value was in its set, on pictures of test."""

    asked: float
    measured: float | None  # None: no test picture
    ci95: tuple[float, float] | None
    size: float | None  # values in a set, on average
    pictures: int  # of test
    calibrated_on: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "asked": self.asked,
            "measured": self.measured,
            "ci95": self.ci95 and list(self.ci95),
            "size": self.size,
            "pictures": self.pictures,
            "calibrated_on": self.calibrated_on,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderSets:
    """Scores of held-out pictures, and what became of them on test."""

    held_out: NDArray[np.float64]  # (n,), of true values, ascending
    test: NDArray[np.float64]  # (m, K), of every value; m = 0 before it is known
    true: NDArray[np.float64]  # (m,), of true ones

    @classmethod
    def of(cls, probabilities: NDArray[np.floating], y: NDArray[np.int64]) -> Self:
        """Of held-out pictures (n, K), with ranks (n,)."""
        scores = joining(probabilities)[np.arange(len(y)), y]
        return cls(held_out=np.sort(scores), test=np.zeros((0, probabilities.shape[1])), true=np.zeros(0))

    def tested(self, probabilities: NDArray[np.floating], y: NDArray[np.int64]) -> Self:
        """With what became of them on test."""
        scores = joining(probabilities)
        return type(self)(held_out=self.held_out, test=scores, true=scores[np.arange(len(y)), y])

    def limit(self, coverage: float) -> float:
        """Up to which score a value is in its set; infinity, and so all values, where too few pictures calibrate. Raises UsageError."""
        if not 0 < coverage < 1:
            raise UsageError(f"coverage {coverage!r} is no share between 0 and 1; expected one such as 0.9")
        rank = math.ceil((len(self.held_out) + 1) * coverage - 1e-9)  # a rounding above the whole number that is meant
        return float(self.held_out[rank - 1]) if rank <= len(self.held_out) else math.inf

    def around(self, probabilities: NDArray[np.floating], coverage: float) -> NDArray[np.bool_]:
        """(N, K): which values are in the set of each picture. Raises UsageError."""
        return np.asarray(joining(probabilities) <= self.limit(coverage))

    def coverage(self, asked: float) -> SetCoverage:
        """What sets for this coverage held on test. Raises UsageError."""
        limit, m = self.limit(asked), len(self.true)
        inside = int((self.true <= limit).sum())
        return SetCoverage(
            asked=asked,
            measured=inside / m if m else None,
            ci95=wilson(inside, m) if m else None,
            size=float((self.test <= limit).sum(axis=1).mean()) if m else None,
            pictures=m,
            calibrated_on=len(self.held_out),
        )

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """By name."""
        return {"held_out": self.held_out, "test": self.test, "true": self.true}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_values: int) -> Self:
        """The inverse. Raises ValueError, KeyError for what cannot be: the file may be anybody's."""
        found = {name: arrays[name] for name in ("held_out", "test", "true")}
        shapes = {"held_out": (len(found["held_out"]),), "test": (len(found["true"]), n_values), "true": (len(found["true"]),)}
        for name, array in found.items():
            if array.shape != shapes[name] or array.dtype != np.float64 or not np.all((array >= 0) & (array <= 1)):
                raise ValueError(
                    f"'sets.{name}' of shape {array.shape} and type {array.dtype}, expected float64 {shapes[name]} in 0 … 1"
                )
        if not len(found["held_out"]) or np.any(np.diff(found["held_out"]) < 0):
            raise ValueError("'sets.held_out', expected scores in ascending order")
        return cls(**found)
