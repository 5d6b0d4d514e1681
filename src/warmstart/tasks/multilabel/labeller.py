"""What was learnt of labels: a linear map of taps, what makes its logits probabilities, from which of these on a label is said.

N pictures, D features, O labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.evaluation.novelty import Novelty
from warmstart.extraction.features import Rows
from warmstart.heads.linear_map import LinearMap
from warmstart.task_protocol import Original, Outputs
from warmstart.tasks.multilabel.calibration import sigmoid
from warmstart.tasks.multilabel.recall import RecallControl, RecallFound

ROUNDING = 0.01  # of bfloat16 in the last step


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelOutputs(Outputs):
    """Of N pictures."""

    probabilities: NDArray[np.floating]  # (N, O), calibrated
    logits: NDArray[np.floating] | None = None  # (N, O), before that; None: of an exported file
    novelty: NDArray[np.floating] | None = None  # (N,) percentile


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What is said of one picture."""

    source: str
    labels: tuple[str, ...]  # the most probable first; none where it has none of them
    probabilities: Mapping[str, float]
    coverage: float | None = None  # which share of its labels ``with_recall`` holds, on average; None: it was not asked for
    with_recall: tuple[str, ...] | None = None
    novelty: float | None = None  # percent of the training pictures that lie nearer to the others

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "path": self.source,
            "labels": list(self.labels),
            "probabilities": dict(self.probabilities),
            "coverage": self.coverage,
            "labels_with_recall": None if self.with_recall is None else list(self.with_recall),
            "novelty": self.novelty,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelAnswers:
    """From probabilities to what is said: the same for what was trained here and for what was exported."""

    names: tuple[str, ...]  # O
    thresholds: NDArray[np.float64]  # (O,): from which probability on a label is said
    recall: float | None  # that was asked for in training
    control: RecallControl | None  # None: not calibrated

    def said(self, probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(N, O)."""
        return np.asarray(probabilities >= self.thresholds)

    def answers(self, outputs: LabelOutputs, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Labelled]:
        """See `task_protocol.Reading.answers`: with ``coverage`` also the labels that hold this share of the true ones."""
        p = outputs.probabilities
        wider = None if coverage is None else p >= self._calibrated().threshold(coverage)
        said, order = self.said(p), np.argsort(-p, axis=1, kind="stable")
        told = [None] * len(pictures) if outputs.novelty is None else [float(value) for value in outputs.novelty]
        return [
            Labelled(
                source=picture.source,
                labels=tuple(self.names[o] for o in order[i] if said[i, o]),
                probabilities=dict(zip(self.names, p[i].tolist(), strict=True)),
                coverage=coverage,
                with_recall=None if wider is None else tuple(self.names[o] for o in order[i] if wider[i, o]),
                novelty=told[i],
            )
            for i, picture in enumerate(pictures)
        ]

    def coverage(self, asked: float) -> RecallFound:
        """Which share of the labels of test pictures was found. Raises UsageError."""
        return self._calibrated().found(asked)

    def of_graph(self, found: NDArray[np.floating], places: Any = None) -> LabelOutputs:
        """See `task_protocol.Reading.of_graph`."""
        if found.shape != (len(found), len(self.names)):
            raise ValueError(f"an array of {' × '.join(map(str, found.shape))}, expected {len(found)} × {len(self.names)}")
        if not np.all((found >= -ROUNDING) & (found <= 1 + ROUNDING)):  # NaN is neither
            raise ValueError("numbers that are no probabilities")
        return LabelOutputs(probabilities=found)

    def facts(self) -> dict[str, Any]:
        """See `task_protocol.Reading.facts`."""
        return {
            "head": "logistic",
            "labels": list(self.names),
            "calibrated": self.control is not None,
            "recall": self.recall,
        }

    def _calibrated(self) -> RecallControl:
        if self.control is None:
            raise UsageError(
                "this model was not calibrated: too few pictures with a label were held out. Train again with more"
            )
        return self.control


@dataclass(frozen=True, kw_only=True, eq=False)
class Labeller:
    """See `task_protocol.Fitted`."""

    names: tuple[str, ...]  # O
    columns: tuple[str, ...]  # of the table that it learnt from, that hold the truth
    taps: tuple[str, ...]
    map: LinearMap  # features → logits
    scale: NDArray[np.float64]  # (2, O): slope and offset of a calibrated logit
    thresholds: NDArray[np.float64]  # (O,)
    recall: float | None = None
    control: RecallControl | None = None
    novelty: Novelty | None = None

    @property
    def reading(self) -> LabelAnswers:
        """From probabilities to what is said."""
        return LabelAnswers(names=self.names, thresholds=self.thresholds, recall=self.recall, control=self.control)

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, O), calibrated, of logits (N, O)."""
        slope, offset = self.scale
        return np.asarray(sigmoid(logits * slope + offset), np.float32)

    def outputs(self, rows: Rows) -> LabelOutputs:
        """See `task_protocol.Fitted.outputs`."""
        logits = self.map(rows.features(self.taps))
        novelty = None if self.novelty is None else self.novelty.percentile(rows.features(self.novelty.taps))
        return LabelOutputs(probabilities=self.probabilities(logits), logits=logits, novelty=novelty)

    def answers(self, outputs: LabelOutputs, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Labelled]:
        """See `task_protocol.Reading.answers`."""
        return self.reading.answers(outputs, pictures, coverage=coverage)

    def coverage(self, asked: float) -> RecallFound:
        """See `LabelAnswers.coverage`."""
        return self.reading.coverage(asked)

    def of_graph(self, found: NDArray[np.floating], places: Any = None) -> LabelOutputs:
        """See `task_protocol.Reading.of_graph`."""
        return self.reading.of_graph(found)

    def facts(self) -> dict[str, Any]:
        """See `task_protocol.Reading.facts`."""
        return self.reading.facts()

    def settings(self) -> dict[str, Any]:
        """Entries of model.json."""
        return {
            "labels": list(self.names),
            "columns": list(self.columns),
            "taps": list(self.taps),
            "recall": self.recall,
            "calibrated": self.control is not None,
            "novelty": self.novelty and self.novelty.settings(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Entries of model.safetensors."""
        found: dict[str, NDArray[Any]] = {
            "map.coef": self.map.coef,
            "map.intercept": self.map.intercept,
            "scale": self.scale,
            "thresholds": self.thresholds,
        }
        if self.control:
            found |= {"recall.held_out": self.control.held_out, "recall.test": self.control.test}
        return found | {f"novelty.{name}": a for name, a in (self.novelty.arrays() if self.novelty else {}).items()}
