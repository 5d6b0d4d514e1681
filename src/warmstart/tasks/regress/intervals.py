"""Intervals that hold the truth as often as they say: quantiles of a location and scale model, conformalised.

    scale(ŷ) = max(floor, a + b ŷ)        how large errors are where the estimate is ŷ, by least squares of |y - ŷ| on held-out pictures
    z = (y - ŷ) / scale(ŷ)                of every held-out picture
    [ŷ + scale(ŷ) z_low, ŷ + scale(ŷ) z_high]

z_low and z_high are the ⌊(n + 1) α/2⌋-th and ⌈(n + 1) (1 - α/2)⌉-th smallest z for a coverage 1 - α, so that each side is missed by at most
α/2 of new pictures like those that calibrate, whatever the errors look like (Y. Romano, E. Patterson, E. Candès, "Conformalized quantile
regression", NeurIPS 2019, theorem 2, on the quantile model ŷ + scale(ŷ)·z; scaled residuals: J. Lei et al., JASA 113, 2018, section 5.2).
Wider where errors are larger, and not of the same length on both sides. a and b are two numbers learnt from all that calibrates, which the
theorem does not count: measured, not guaranteed.

N pictures, O targets, n pictures that calibrate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.evaluation.intervals import wilson

LEAST_SHARE = 0.25  # of the median error: no estimate is taken for surer than this by a line through a few


@dataclass(frozen=True, kw_only=True)
class IntervalCoverage:
    """How often the truth was inside, on pictures of test."""

    asked: float
    measured: float | None  # over all targets; None: no test picture
    ci95: tuple[float, float] | None
    width: Mapping[str, float]  # target → mean width on test, in its unit; empty without test
    pictures: int  # of test
    calibrated_on: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "asked": self.asked,
            "measured": self.measured,
            "ci95": self.ci95 and list(self.ci95),
            "width": dict(self.width),
            "pictures": self.pictures,
            "calibrated_on": self.calibrated_on,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Intervals:
    """What was learnt from held-out pictures, and what became of it on test."""

    names: tuple[str, ...]
    scale: NDArray[np.float64]  # (3, O): floor, a, b
    held_out: NDArray[np.float64]  # (n, O): z, each column ascending
    test: NDArray[np.float64]  # (2, m, O): z and scale of the pictures of test; m = 0 before they are known

    @classmethod
    def of(cls, names: tuple[str, ...], estimates: NDArray[np.floating], truth: NDArray[np.float64]) -> Self:
        """From estimates and truth (n, O) of pictures that were held out."""
        error = np.abs(truth - estimates)
        columns = []
        for e, x in zip(error.T, estimates.T.astype(np.float64), strict=True):
            spread = x - x.mean()
            b = float(spread @ e / max(float(spread @ spread), np.finfo(np.float64).tiny))
            floor = max(LEAST_SHARE * float(np.median(e)), 1e-9 * float(np.abs(x).max()), 1e-30)
            columns.append((floor, float(e.mean()) - b * float(x.mean()), b))
        scale = np.array(columns).T
        z = np.sort((truth - estimates) / _scale(scale, estimates), axis=0)
        return cls(names=names, scale=scale, held_out=z, test=np.zeros((2, 0, len(names))))

    def tested(self, estimates: NDArray[np.floating], truth: NDArray[np.float64]) -> Self:
        """With what became of it on test."""
        scale = _scale(self.scale, estimates)
        return type(self)(
            names=self.names, scale=self.scale, held_out=self.held_out, test=np.stack([(truth - estimates) / scale, scale])
        )

    def around(self, estimates: NDArray[np.floating], coverage: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper ends (N, O). Raises UsageError for a coverage that cannot be promised."""
        low, high = self._limits(coverage)
        scale = _scale(self.scale, estimates)
        return estimates + scale * low, estimates + scale * high

    def coverage(self, asked: float) -> IntervalCoverage:
        """What intervals for this coverage held on test. Raises UsageError."""
        low, high = self._limits(asked)
        z, scale = self.test
        inside = (z >= low) & (z <= high)
        m = len(z)
        # Several targets of one picture are not apart, so the interval counts pictures.
        share = float(inside.mean()) if m else 0.0
        return IntervalCoverage(
            asked=asked,
            measured=share if m else None,
            ci95=_interval(share, m) if m else None,
            width={name: float((s * (h - lo)).mean()) for name, s, h, lo in zip(self.names, scale.T, high, low, strict=True)}
            if m
            else {},
            pictures=m,
            calibrated_on=len(self.held_out),
        )

    def _limits(self, coverage: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if not 0 < coverage < 1:
            raise UsageError(f"coverage {coverage!r} is no share between 0 and 1; expected one such as 0.9")
        n, tail = len(self.held_out), (1 - coverage) / 2
        low, high = int(np.floor((n + 1) * tail)), int(np.ceil((n + 1) * (1 - tail)))
        if low < 1 or high > n:
            most = 1 - 2 / (n + 1)
            raise UsageError(
                f"{n} pictures calibrated this model, too few to promise a coverage of {coverage:g}; expected at most {most:.3g}"
            )
        return self.held_out[low - 1], self.held_out[high - 1]


def _interval(share: float, m: int) -> tuple[float, float]:
    return wilson(round(share * m), m)


def _scale(scale: NDArray[np.float64], estimates: NDArray[np.floating]) -> NDArray[np.float64]:
    floor, a, b = scale
    return np.asarray(np.maximum(floor, a + b * estimates))
