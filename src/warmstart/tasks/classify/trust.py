"""What a model keeps so that one can tell how far to trust a prediction: scores of held-out pictures, and a sample of training's features.

Which pictures these are: `workflows.trust`, and why: `docs/trust.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.evaluation.intervals import wilson
from warmstart.evaluation.novelty import Novelty
from warmstart.tasks.classify import conformal


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How often the true class was in the set, on pictures of test."""

    asked: float
    measured: float | None  # None: no test picture
    ci95: tuple[float, float] | None
    pictures: int  # of test
    calibrated_on: int  # pictures

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "asked": self.asked,
            "measured": self.measured,
            "ci95": self.ci95 and list(self.ci95),
            "pictures": self.pictures,
            "calibrated_on": self.calibrated_on,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Trust:
    """Conformity scores (see `evaluation.conformal`) of true classes, and what novelty is told by."""

    calibration: NDArray[np.float64]  # (n,), ascending, of pictures that had no part in fitting or choosing
    test: NDArray[np.float64]  # (m,), ascending, of test; empty before the model was tested
    novelty: Novelty | None

    def limit(self, coverage: float) -> float:
        """Up to which score a class is in the set. Raises UsageError for a coverage outside 0 … 1."""
        try:
            return conformal.threshold(self.calibration, coverage)
        except ValueError as reason:
            raise UsageError(f"{reason}; expected a share such as 0.95") from reason

    def coverage(self, asked: float) -> Coverage:
        """What sets for this coverage hold on test. Raises UsageError."""
        inside = self.test <= self.limit(asked)
        return Coverage(
            asked=asked,
            measured=float(inside.mean()) if len(inside) else None,
            ci95=wilson(int(inside.sum()), len(inside)) if len(inside) else None,
            pictures=len(inside),
            calibrated_on=len(self.calibration),
        )

    def settings(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"novelty": self.novelty and self.novelty.settings()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name."""
        novelty = self.novelty.arrays() if self.novelty else {}
        return {
            "calibration": self.calibration,
            "test": self.test,
            **{f"novelty.{name}": array for name, array in novelty.items()},
        }

    @classmethod
    def from_arrays(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `settings` and `arrays`. Raises ValueError for what cannot be: the file may be anybody's."""
        for name in ("calibration", "test"):
            scores = arrays[name]
            if scores.ndim != 1 or scores.dtype != np.float64 or not np.all((scores >= 0) & (scores <= 1)):  # NaN is neither
                raise ValueError(f"'trust.{name}', expected a row of float64 from 0 to 1")
            if np.any(np.diff(scores) < 0):
                raise ValueError(f"'trust.{name}', which is not in ascending order")
        of_novelty = {name.removeprefix("novelty."): a for name, a in arrays.items() if name.startswith("novelty.")}
        return cls(
            calibration=arrays["calibration"],
            test=arrays["test"],
            novelty=Novelty.from_arrays(settings["novelty"], of_novelty) if settings["novelty"] else None,
        )
