"""What was learnt of numbers: a map of taps, intervals, and what tells how unlike training a picture is.

N pictures, D features, O targets.
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
from warmstart.heads.written import Written
from warmstart.plan import GIVEN, MODULE
from warmstart.task_protocol import Original, Outputs
from warmstart.tasks.regress.intervals import IntervalCoverage, Intervals
from warmstart.training.kept_module import KeptModule

RIDGE = "ridge"  # what the usual head is called; see `plan.GIVEN`, `plan.MODULE`


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberOutputs(Outputs):
    """Of N pictures."""

    values: NDArray[np.floating]  # (N, O), in the targets' units
    novelty: NDArray[np.floating] | None = None  # (N,) percentile


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is said of one picture."""

    source: str
    values: Mapping[str, float]  # target → number
    intervals: Mapping[str, tuple[float, float]] | None = None  # target → where the truth lies as often as ``coverage`` says
    coverage: float | None = None
    novelty: float | None = None  # percent of the training pictures that lie nearer to the others

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        intervals = None if self.intervals is None else {name: list(ends) for name, ends in self.intervals.items()}
        return {
            "path": self.source,
            "values": dict(self.values),
            "intervals": intervals,
            "coverage": self.coverage,
            "novelty": self.novelty,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberAnswers:
    """From numbers to what is said: the same for what was trained here and for what was exported."""

    names: tuple[str, ...]  # O
    usual: float  # the coverage of the intervals that are said unasked
    intervals: Intervals | None
    head: str = RIDGE

    def answers(self, outputs: NumberOutputs, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Estimate]:
        """See `task_protocol.Reading.answers`."""
        ends, asked = None, self.usual if coverage is None else coverage
        if self.intervals is not None:
            try:
                ends = self.intervals.around(outputs.values, asked)
            except UsageError:
                if coverage is not None:
                    raise
        told = [None] * len(pictures) if outputs.novelty is None else [float(value) for value in outputs.novelty]
        return [
            Estimate(
                source=picture.source,
                values=dict(zip(self.names, outputs.values[i].tolist(), strict=True)),
                intervals=None
                if ends is None
                else {name: (float(ends[0][i, o]), float(ends[1][i, o])) for o, name in enumerate(self.names)},
                coverage=None if ends is None else asked,
                novelty=told[i],
            )
            for i, picture in enumerate(pictures)
        ]

    def coverage(self, asked: float) -> IntervalCoverage:
        """How often intervals for this coverage held the truth of test pictures. Raises UsageError."""
        if self.intervals is None:
            raise UsageError(
                "this model was not calibrated for intervals: too few pictures were held out. Train again with more"
            )
        return self.intervals.coverage(asked)

    def of_graph(self, found: NDArray[np.floating], places: Any = None) -> NumberOutputs:
        """See `task_protocol.Reading.of_graph`."""
        if found.shape != (len(found), len(self.names)):
            raise ValueError(f"an array of {' × '.join(map(str, found.shape))}, expected {len(found)} × {len(self.names)}")
        if not np.isfinite(found).all():
            raise ValueError("numbers that are not finite")
        return NumberOutputs(values=found)

    def facts(self) -> dict[str, Any]:
        """See `task_protocol.Reading.facts`."""
        return {
            "head": self.head,
            "targets": list(self.names),
            "calibrated": self.intervals is not None,
            "coverage": self.usual,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Regressor:
    """See `task_protocol.Fitted`."""

    names: tuple[str, ...]  # O
    taps: tuple[str, ...]
    map: LinearMap | Written | KeptModule  # features → numbers in the targets' units; not linear: what was handed over
    usual: float = 0.9
    intervals: Intervals | None = None
    novelty: Novelty | None = None

    @property
    def head(self) -> str:
        """What it is called."""
        return RIDGE if isinstance(self.map, LinearMap) else MODULE if isinstance(self.map, KeptModule) else GIVEN

    @property
    def reading(self) -> NumberAnswers:
        """From numbers to what is said."""
        return NumberAnswers(names=self.names, usual=self.usual, intervals=self.intervals, head=self.head)

    def outputs(self, rows: Rows) -> NumberOutputs:
        """See `task_protocol.Fitted.outputs`."""
        novelty = None if self.novelty is None else self.novelty.percentile(rows.features(self.novelty.taps))
        return NumberOutputs(values=self.map(rows.features(self.taps)), novelty=novelty)

    def answers(self, outputs: NumberOutputs, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Estimate]:
        """See `task_protocol.Reading.answers`."""
        return self.reading.answers(outputs, pictures, coverage=coverage)

    def coverage(self, asked: float) -> IntervalCoverage:
        """See `NumberAnswers.coverage`."""
        return self.reading.coverage(asked)

    def of_graph(self, found: NDArray[np.floating], places: Any = None) -> NumberOutputs:
        """See `task_protocol.Reading.of_graph`."""
        return self.reading.of_graph(found)

    def facts(self) -> dict[str, Any]:
        """See `task_protocol.Reading.facts`."""
        return self.reading.facts()

    def settings(self) -> dict[str, Any]:
        """Entries of model.json."""
        return {
            "targets": list(self.names),
            "taps": list(self.taps),
            "coverage": self.usual,
            "intervals": self.intervals is not None,
            "novelty": self.novelty and self.novelty.settings(),
            **({} if isinstance(self.map, LinearMap) else {"head": self.map.settings()}),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Entries of model.safetensors."""
        learnt = self.map
        if isinstance(learnt, LinearMap):
            own = {"coef": learnt.coef, "intercept": learnt.intercept}
        else:
            own = learnt.arrays() if isinstance(learnt, KeptModule) else dict(learnt.arrays)
        found: dict[str, NDArray[Any]] = {f"map.{name}": array for name, array in own.items()}
        if self.intervals:
            found |= {f"intervals.{name}": getattr(self.intervals, name) for name in ("scale", "held_out", "test")}
        return found | {f"novelty.{name}": a for name, a in (self.novelty.arrays() if self.novelty else {}).items()}
