"""What was learnt of an order: a linear map of taps with thresholds, a temperature, sets, and what tells how unlike training a picture is.

    taps → map → logits of y ≤ k → temperature → probabilities → the median, and a set of neighbouring values

N pictures, D features, K values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.evaluation.novelty import Novelty
from warmstart.extraction.features import Rows
from warmstart.heads.cumulative import log_probabilities
from warmstart.heads.linear_map import LinearMap
from warmstart.task_protocol import Original, Outputs
from warmstart.tasks.ordinal.sets import OrderSets, SetCoverage, decide

ROUNDING = 0.01  # of bfloat16 in the last step
HEAD = "cumulative"


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderOutputs(Outputs):
    """Of N pictures."""

    probabilities: NDArray[np.floating]  # (N, K), calibrated, from the lowest value to the highest
    logits: NDArray[np.floating] | None = None  # (N, K - 1) of y ≤ k, before the temperature; None: of an exported file
    novelty: NDArray[np.floating] | None = None  # (N,) percentile


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """What is said of one picture."""

    source: str
    value: str
    rank: int  # its place in the order, 0 for the lowest
    probability: float
    probabilities: Mapping[str, float]  # from the lowest value to the highest
    values: tuple[str, ...] | None = None  # neighbours in the order, which hold the true one as often as ``coverage`` says
    coverage: float | None = None
    novelty: float | None = None  # percent of the training pictures that lie nearer to the others

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "path": self.source,
            "value": self.value,
            "rank": self.rank,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "set": None if self.values is None else list(self.values),
            "coverage": self.coverage,
            "novelty": self.novelty,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderAnswers:
    """From probabilities to what is said: the same for what was trained here and for what was exported."""

    order: tuple[str, ...]  # K, from lowest to highest
    usual: float  # the coverage of the sets that are said unasked
    sets: OrderSets | None  # None: not calibrated

    def answers(self, outputs: OrderOutputs, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Ranked]:
        """See `task_protocol.Reading.answers`."""
        p, asked = outputs.probabilities, self.usual if coverage is None else coverage
        sets = None if self.sets is None and coverage is None else self._calibrated().around(p, asked)
        told = [None] * len(pictures) if outputs.novelty is None else [float(value) for value in outputs.novelty]
        return [
            Ranked(
                source=picture.source,
                value=self.order[rank],
                rank=int(rank),
                probability=float(p[i, rank]),
                probabilities=dict(zip(self.order, p[i].tolist(), strict=True)),
                values=None
                if sets is None
                else tuple(name for name, inside in zip(self.order, sets[i], strict=True) if inside),
                coverage=None if sets is None else asked,
                novelty=told[i],
            )
            for i, (picture, rank) in enumerate(zip(pictures, decide(p), strict=True))
        ]

    def coverage(self, asked: float) -> SetCoverage:
        """How often sets for this coverage held the true value of test pictures. Raises UsageError."""
        return self._calibrated().coverage(asked)

    def of_graph(self, found: NDArray[np.floating], places: Any = None) -> OrderOutputs:
        """See `task_protocol.Reading.of_graph`."""
        if found.shape != (len(found), len(self.order)):
            raise ValueError(f"an array of {' × '.join(map(str, found.shape))}, expected {len(found)} × {len(self.order)}")
        if not np.all((found >= -ROUNDING) & (found <= 1 + ROUNDING)):  # NaN is neither
            raise ValueError("numbers that are no probabilities")
        # Where thresholds stand close, half precision rounds each of K probabilities by itself.
        if np.any(np.abs(found.sum(axis=1, dtype=np.float64) - 1) > ROUNDING * len(self.order)):
            raise ValueError(f"probabilities that sum to {found.sum(axis=1, dtype=np.float64).max():.3g}, expected 1")
        return OrderOutputs(probabilities=np.clip(found, 0, 1))

    def facts(self) -> dict[str, Any]:
        """See `task_protocol.Reading.facts`."""
        return {"head": HEAD, "order": list(self.order), "calibrated": self.sets is not None, "coverage": self.usual}

    def _calibrated(self) -> OrderSets:
        if self.sets is None:
            raise UsageError("this model was not calibrated for sets: no picture was held out. Train again with more")
        return self.sets


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranker:
    """See `task_protocol.Fitted`."""

    order: tuple[str, ...]  # K, from lowest to highest
    columns: tuple[str, ...]  # of the table that it learnt from, that holds the truth; none where that is a label or a folder
    taps: tuple[str, ...]
    map: LinearMap  # features → logits of y ≤ k: coef (D, 1), intercept (K - 1,), ascending
    temperature: float = 1.0
    usual: float = 0.9
    sets: OrderSets | None = None
    novelty: Novelty | None = None

    @property
    def reading(self) -> OrderAnswers:
        """From probabilities to what is said."""
        return OrderAnswers(order=self.order, usual=self.usual, sets=self.sets)

    def probabilities(self, logits: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, K), calibrated, of logits (N, K - 1)."""
        return np.exp(log_probabilities(logits / self.temperature)).astype(np.float32)

    def outputs(self, rows: Rows) -> OrderOutputs:
        """See `task_protocol.Fitted.outputs`."""
        logits = self.map(rows.features(self.taps))
        novelty = None if self.novelty is None else self.novelty.percentile(rows.features(self.novelty.taps))
        return OrderOutputs(probabilities=self.probabilities(logits), logits=logits, novelty=novelty)

    def answers(self, outputs: OrderOutputs, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Ranked]:
        """See `task_protocol.Reading.answers`."""
        return self.reading.answers(outputs, pictures, coverage=coverage)

    def coverage(self, asked: float) -> SetCoverage:
        """See `OrderAnswers.coverage`."""
        return self.reading.coverage(asked)

    def of_graph(self, found: NDArray[np.floating], places: Any = None) -> OrderOutputs:
        """See `task_protocol.Reading.of_graph`."""
        return self.reading.of_graph(found)

    def facts(self) -> dict[str, Any]:
        """See `task_protocol.Reading.facts`."""
        return self.reading.facts()

    def settings(self) -> dict[str, Any]:
        """Entries of model.json."""
        return {
            "order": list(self.order),
            "columns": list(self.columns),
            "taps": list(self.taps),
            "temperature": self.temperature,
            "coverage": self.usual,
            "calibrated": self.sets is not None,
            "novelty": self.novelty and self.novelty.settings(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Entries of model.safetensors."""
        found: dict[str, NDArray[Any]] = {"map.coef": self.map.coef, "map.intercept": self.map.intercept}
        found |= {f"sets.{name}": array for name, array in (self.sets.arrays() if self.sets else {}).items()}
        return found | {f"novelty.{name}": a for name, a in (self.novelty.arrays() if self.novelty else {}).items()}
