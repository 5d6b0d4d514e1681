"""From probabilities to what is said of a picture: its class, and the set of classes that holds the true one as often as asked.

N pictures, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.records import Prediction
from warmstart.task_protocol import Original, Outputs
from warmstart.tasks.classify.conformal import prediction_sets
from warmstart.tasks.classify.trust import Coverage, Trust

ROUNDING = 0.01  # of bfloat16 in the last step: 2⁻⁹ of each probability


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassOutputs(Outputs):
    """Of N pictures."""

    probabilities: NDArray[np.floating]  # (N, K), calibrated
    logits: NDArray[np.floating] | None = None  # (N, K), before the temperature; None: of an exported file
    novelty: NDArray[np.floating] | None = None  # (N,) percentile; None where nothing tells it


@dataclass(frozen=True, kw_only=True)
class ClassAnswers:
    """The same for a trained model and for one that was exported."""

    class_names: tuple[str, ...]
    positive: str | None
    threshold: float | None
    trust: Trust | None
    head_name: str | None = None  # as far as it is known
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

    def answers(
        self, outputs: ClassOutputs, pictures: Sequence[Original], *, coverage: float | None = None
    ) -> list[Prediction]:
        """See `task_protocol.Reading.answers`: with ``coverage`` also the set of classes."""
        limit = None if coverage is None else self.set_limit(coverage)
        told = [None] * len(pictures) if outputs.novelty is None else [float(value) for value in outputs.novelty]
        return [
            self.prediction(picture.source, shares, limit=limit, novelty=novelty)
            for picture, shares, novelty in zip(pictures, outputs.probabilities, told, strict=True)
        ]

    def of_graph(self, found: NDArray[np.floating], places: Any = None) -> ClassOutputs:
        """See `task_protocol.Reading.of_graph`."""
        if found.shape != (expected := (len(found), len(self.class_names))):
            raise ValueError(f"an array of {' × '.join(map(str, found.shape))}, expected {' × '.join(map(str, expected))}")
        if not np.all((found >= -ROUNDING) & (found <= 1 + ROUNDING)):  # NaN is neither
            raise ValueError("numbers that are no probabilities")
        if np.any(np.abs(found.sum(axis=1, dtype=np.float64) - 1) > ROUNDING):
            raise ValueError(f"probabilities that sum to {found.sum(axis=1, dtype=np.float64).max():.3g}, expected 1")
        return ClassOutputs(probabilities=found)

    def facts(self) -> dict[str, Any]:
        """What a list of models shows."""
        return {
            "head": self.head_name,
            "classes": list(self.class_names),
            "calibrated": self.trust is not None,
            "positive": self.positive,
        }

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
