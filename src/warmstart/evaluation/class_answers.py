"""From probabilities to what is said of a picture: its class, and the set of classes that holds the true one as often as asked.

N pictures, K classes.
"""

from dataclasses import dataclass

import numpy as np

from warmstart.errors import UsageError
from warmstart.evaluation.conformal import prediction_sets
from warmstart.evaluation.trust import Coverage, Trust
from warmstart.records import Prediction


@dataclass(frozen=True, kw_only=True)
class ClassAnswers:
    """The same for a trained model and for one that was exported."""

    class_names: tuple[str, ...]
    positive: str | None
    threshold: float | None
    trust: Trust | None
    uncalibrated: str  # what is said where there is no ``trust``, as the end of a sentence, and what to do

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels int64 (N,) for probabilities (N, K): the most probable class, or by threshold where one is set."""
        if self.threshold is None or self.positive is None:
            return np.asarray(probabilities.argmax(axis=1))
        positive = self.class_names.index(self.positive)
        labels: np.ndarray = np.where(probabilities[:, positive] >= self.threshold, positive, 1 - positive)
        return labels

    def set_limit(self, coverage: float) -> float:
        """Up to which conformity a class is in the set, for `evaluation.conformal.prediction_sets`. Raises UsageError."""
        return self._calibrated().limit(coverage)

    def coverage(self, asked: float) -> Coverage:
        """How often sets for this coverage held the true class of test pictures. Raises UsageError."""
        return self._calibrated().coverage(asked)

    def prediction(
        self, name: str, probabilities: np.ndarray, *, limit: float | None = None, novelty: float | None = None
    ) -> Prediction:
        """Of one picture, probabilities (K,). ``limit``: as `set_limit` gives it; None: no set was asked for."""
        label = int(self.decide(probabilities[None])[0])
        return Prediction(
            source=name,
            class_name=self.class_names[label],
            probability=float(probabilities[label]),
            probabilities={c: float(p) for c, p in zip(self.class_names, probabilities, strict=True)},
            novelty=novelty,
            classes=None if limit is None else self._classes(probabilities, limit),
        )

    def _classes(self, probabilities: np.ndarray, limit: float) -> tuple[str, ...]:
        """Those in the set, most probable first."""
        (inside,) = prediction_sets(probabilities[None], limit)
        return tuple(self.class_names[k] for k in np.argsort(-probabilities, kind="stable") if inside[k])

    def _calibrated(self) -> Trust:
        if self.trust is None:
            raise UsageError(f"this model was not calibrated for sets of classes{self.uncalibrated}")
        return self.trust
