"""What a classifier has learnt: a head on taps, a temperature, and what tells how far to trust it.

    taps → head → logits → temperature → probabilities → class
                                              └─ set of classes, for a coverage

N pictures, K classes, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.extraction.features import Rows
from warmstart.records import Prediction
from warmstart.task_protocol import Original
from warmstart.tasks.classify.answers import ClassAnswers, ClassOutputs
from warmstart.tasks.classify.heads.protocol import Head
from warmstart.tasks.classify.temperature import softmax
from warmstart.tasks.classify.trust import Coverage, Trust

UNCALIBRATED = ": it was made before warmstart did that, or is the network of its source as it is. Train again for one that is."


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """See `task_protocol.Fitted`."""

    class_names: tuple[str, ...]  # K
    taps: tuple[str, ...]
    head: Head
    head_name: str
    temperature: float = 1.0
    positive: str | None = None
    threshold: float | None = None
    trust: Trust | None = None  # None: the network of the source as it is, or a model from before there was one

    @cached_property
    def reading(self) -> ClassAnswers:
        """From probabilities to what is said."""
        return ClassAnswers(
            class_names=self.class_names,
            positive=self.positive,
            threshold=self.threshold,
            trust=self.trust,
            uncalibrated=UNCALIBRATED,
            head_name=self.head_name,
        )

    def outputs(self, rows: Rows) -> ClassOutputs:
        """See `Fitted.outputs`."""
        logits = self.head.logits(rows.features(self.taps))
        if logits.shape[1] != len(self.class_names):
            raise ValueError(f"'head', which knows {logits.shape[1]} classes, expected {len(self.class_names)}")
        return ClassOutputs(probabilities=softmax(logits, self.temperature), logits=logits, novelty=self.novelty(rows))

    def novelty(self, rows: Rows) -> NDArray[np.floating] | None:
        """Percentiles (N,), 0 … 100; None where there is nothing to tell by."""
        known = None if self.trust is None else self.trust.novelty
        if known is None:
            return None
        features = rows.features(known.taps)
        if features.shape[1] != known.bank.shape[1]:
            raise ValueError(f"'trust.novelty.bank' of {known.bank.shape[1]} columns, expected {features.shape[1]}")
        return known.percentile(features)

    def answers(
        self, outputs: ClassOutputs, pictures: Sequence[Original], *, coverage: float | None = None
    ) -> list[Prediction]:
        """See `Reading.answers`."""
        return self.reading.answers(outputs, pictures, coverage=coverage)

    def coverage(self, asked: float) -> Coverage:
        """How often sets for this coverage held the true class of test pictures. Raises UsageError."""
        return self.reading.coverage(asked)

    def of_graph(self, found: NDArray[np.floating], places: Any = None) -> ClassOutputs:
        """See `Reading.of_graph`."""
        return self.reading.of_graph(found)

    def facts(self) -> dict[str, Any]:
        """See `Reading.facts`."""
        return self.reading.facts()

    def settings(self) -> dict[str, Any]:
        """Entries of model.json, as they have been since format 1."""
        return {
            "class_names": list(self.class_names),
            "taps": list(self.taps),
            "head": {"name": self.head_name, "settings": self.head.settings()},
            "temperature": self.temperature,
            "positive": self.positive,
            "threshold": self.threshold,
            "trust": self.trust and self.trust.settings(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Of the head, and of what tells how far to trust it."""
        of_trust = self.trust.arrays() if self.trust else {}
        return {
            **{f"head.{name}": array for name, array in self.head.arrays().items()},
            **{f"trust.{name}": array for name, array in of_trust.items()},
        }
