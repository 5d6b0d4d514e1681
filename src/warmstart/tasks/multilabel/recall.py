"""How low a label's probability may be and it is still said, so that as many of a picture's labels are found as was asked for.

    loss of a picture at t = share of its labels with p < t
    t = the largest for which  (Σᵢ lossᵢ(t) + 1) / (n + 1)  ≤  1 - recall

Conformal risk control (A. Angelopoulos, S. Bates, A. Fisch, L. Lei, T. Schuster, "Conformal Risk Control", 2022, theorem 1, with losses
that are at most B = 1): where the n pictures that calibrate and a new one are exchangeable, the expected share of a new picture's labels
that is found is at least ``recall``, whatever the model is worth; a poor one pays by saying many labels. It holds for pictures that have a
label, on average over them, and not for each label. That probabilities were calibrated on the same pictures is not counted: measured, not
guaranteed.

n pictures with a label, M labels that they have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.evaluation.intervals import wilson


@dataclass(frozen=True, kw_only=True)
class RecallFound:
    """Which share of a picture's labels was found, on pictures of test."""

    asked: float
    measured: float | None  # None: no test picture
    ci95: tuple[float, float] | None
    threshold: float
    pictures: int  # of test, with a label
    calibrated_on: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "asked": self.asked,
            "measured": self.measured,
            "ci95": self.ci95 and list(self.ci95),
            "threshold": self.threshold,
            "pictures": self.pictures,
            "calibrated_on": self.calibrated_on,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class RecallControl:
    """What was learnt from held-out pictures, and what became of it on test."""

    held_out: NDArray[
        np.float64
    ]  # (2, M): probabilities of labels that are there, ascending, and of each 1 / labels of its picture
    test: NDArray[np.float64]  # the same of test; M = 0 before it is known

    @classmethod
    def of(cls, probabilities: NDArray[np.floating], truth: NDArray[np.float64]) -> Self:
        """Of held-out pictures, (N, O) both."""
        return cls(held_out=_labels(probabilities, truth), test=np.zeros((2, 0)))

    def tested(self, probabilities: NDArray[np.floating], truth: NDArray[np.float64]) -> Self:
        """With what became of it on test."""
        return type(self)(held_out=self.held_out, test=_labels(probabilities, truth))

    def threshold(self, recall: float) -> float:
        """From which probability on a label is said. Raises UsageError for a recall that cannot be promised."""
        if not 0 < recall < 1:
            raise UsageError(f"recall {recall!r} is no share between 0 and 1; expected one such as 0.95")
        n = _pictures(self.held_out)
        missed = np.concatenate([[0.0], np.cumsum(self.held_out[1])])  # with those before it below the threshold
        bearable = (missed + 1) / (n + 1) <= 1 - recall + 1e-12
        if not bearable[0]:
            raise UsageError(
                f"{n} pictures with a label calibrated this model, too few to promise a recall of {recall:g}; expected at most "
                f"{n / (n + 1):.3g}"
            )
        return float(self.held_out[0, min(int(bearable.sum()) - 1, len(self.held_out[0]) - 1)])

    def found(self, asked: float) -> RecallFound:
        """What was found on test. Raises UsageError."""
        limit, m = self.threshold(asked), _pictures(self.test)
        share = float(self.test[1, self.test[0] >= limit].sum() / m) if m else None
        return RecallFound(
            asked=asked,
            measured=share,
            ci95=None if share is None else wilson(round(share * m), m),
            threshold=limit,
            pictures=m,
            calibrated_on=_pictures(self.held_out),
        )

    def settings(self) -> Mapping[str, Any]:
        """JSON-ready: both, for an exported file."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in ("held_out", "test")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Raises ValueError, KeyError for what cannot be: the file may be anybody's."""
        for name in ("held_out", "test"):
            array = arrays[name]
            if array.ndim != 2 or len(array) != 2 or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ValueError(
                    f"'recall.{name}' of shape {array.shape} and type {array.dtype}, expected finite float64 (2, M)"
                )
            if np.any(np.diff(array[0]) < 0) or not np.all((array[1] > 0) & (array[1] <= 1)):
                raise ValueError(f"'recall.{name}', expected probabilities in ascending order and shares above 0")
        if not arrays["held_out"].size:
            raise ValueError("'recall.held_out', which is empty")
        return cls(held_out=arrays["held_out"], test=arrays["test"])


def least_pictures(recall: float) -> int:
    """How many pictures with a label must calibrate for it."""
    return int(np.ceil(recall / (1 - recall) - 1e-9))


def _labels(probabilities: NDArray[np.floating], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    has = truth == 1
    shares = np.broadcast_to(1 / np.maximum(has.sum(axis=1, keepdims=True), 1), has.shape)[has]
    p = probabilities[has].astype(np.float64)
    order = np.argsort(p, kind="stable")
    return np.stack([p[order], shares[order]])


def _pictures(labels: NDArray[np.float64]) -> int:
    return round(float(labels[1].sum()))
