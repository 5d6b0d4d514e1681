"""A classifier, trained or exported: the model of any task, and what a classifier has beside.

N pictures, K classes, D features.
"""

from dataclasses import dataclass

import numpy as np

from warmstart.errors import UsageError
from warmstart.extraction.features import Rows
from warmstart.model.predictor import Model
from warmstart.runtime.predictor import Exported
from warmstart.tasks.classify.answers import ClassAnswers
from warmstart.tasks.classify.classifier import Classifier
from warmstart.tasks.classify.heads.protocol import Head
from warmstart.tasks.classify.trust import Trust


@dataclass(frozen=True, kw_only=True)
class ClassModel(Model):
    """Made by `warmstart.train`, read by `warmstart.load`; self-contained in its folder."""

    fitted: Classifier

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of labels."""
        return self.fitted.class_names

    @property
    def head(self) -> Head:
        """What reads the taps."""
        return self.fitted.head

    @property
    def head_name(self) -> str:
        """In the catalogue."""
        return self.fitted.head_name

    @property
    def temperature(self) -> float:
        """What logits are divided by."""
        return self.fitted.temperature

    @property
    def positive(self) -> str | None:
        """Of two classes, the one that counts as found."""
        return self.fitted.positive

    @property
    def threshold(self) -> float | None:
        """The probability from which it does."""
        return self.fitted.threshold

    @property
    def trust(self) -> Trust | None:
        """None: the network of the source as it is, or a model from before there was one."""
        return self.fitted.trust

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """float64 (N, K) for prefix rows (N, D over all taps), as extraction gives them."""
        shares: np.ndarray = self.outputs(rows).probabilities
        return shares

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels int64 (N,) for probabilities (N, K): the most probable class, or by threshold where one is set."""
        return self.fitted.reading.decide(probabilities)

    def novelty(self, rows: np.ndarray) -> np.ndarray | None:
        """Percentiles (N,) for prefix rows (N, D over all taps), 0 … 100; None where the model holds nothing to tell by."""
        return self.fitted.novelty(Rows(values=rows, layout=self.layout))

    def set_limit(self, coverage: float) -> float:
        """Up to which conformity a class is in the set, for `conformal.prediction_sets`. Raises UsageError."""
        return self.fitted.reading.set_limit(coverage)


class ClassExported(Exported):
    """Opened with `warmstart.load` on what `warmstart.export` wrote."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of labels."""
        return self._says.class_names

    @property
    def positive(self) -> str | None:
        """Of two classes, the one that counts as found."""
        return self._says.positive

    @property
    def threshold(self) -> float | None:
        """The probability from which it does."""
        return self._says.threshold

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels int64 (N,) for probabilities (N, K): the most probable class, or by threshold where one is set."""
        return self._says.decide(probabilities)

    def set_limit(self, coverage: float) -> float:
        """See `ClassModel.set_limit`. Raises UsageError."""
        return self._says.set_limit(coverage)

    @property
    def _says(self) -> ClassAnswers:
        reading = self.document.reading
        assert isinstance(reading, ClassAnswers)
        return reading


def require_classifier(model: Model, why: str) -> ClassModel:
    """The model, if it is a classifier. Raises UsageError that says ``why`` it must be one."""
    if not isinstance(model, ClassModel):
        raise UsageError(f"{why} is for classifiers, and this is a model of the task {model.task}")
    return model
