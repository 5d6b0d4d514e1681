"""What most tasks have in common, to be inherited: a new task writes what it knows and nothing else. See docs/tasks.md.

N examples.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.data.listing import without_gaps
from warmstart.errors import DataError, UsageError
from warmstart.extraction.features import Rows
from warmstart.model.predictor import Model
from warmstart.plan import Plan
from warmstart.predicting import ModelFacts
from warmstart.records import Example, Listing, Notice, Problem, Split, first_reasons
from warmstart.runtime.predictor import Exported
from warmstart.task_protocol import Fitting, Indices, Inputs, Learnt, Outputs, Parity, Part, Reading, Settled, Tunable

if TYPE_CHECKING:
    from torch import nn

    from warmstart.data.geometry import Geometry

# How far what a file says may be from what float32 PyTorch says, as a share of the largest number, by precision.
LIMITS: Mapping[str, float] = {"fp32": 1e-3, "fp16": 0.05, "bf16": 0.1, "int8": 0.3}


@dataclass(frozen=True, kw_only=True, eq=False)
class AnyTargets:
    """One value of any kind for each example, compared by `repr`. See `task_protocol.Targets`."""

    values: tuple[Any, ...]  # N

    def __len__(self) -> int:
        return len(self.values)

    def take(self, at: Indices) -> Self:
        """Those at these positions."""
        return replace(self, values=tuple(self.values[i] for i in at))

    def keys(self) -> Sequence[Hashable]:
        """As they are written."""
        return [repr(value) for value in self.values]

    def kinds(self) -> Sequence[int]:
        """One."""
        return [0] * len(self)

    def marks(self) -> Sequence[Collection[int]]:
        """None."""
        return ()

    def stamp(self, i: int) -> str:
        """As it is written."""
        return repr(self.values[i])

    def summary(self) -> dict[str, Any]:
        """Nothing but their number, which is that of the pictures."""
        return {}

    def identity(self) -> dict[str, Any]:
        """Nothing but the stamps."""
        return {}

    def collate(self, at: Indices, geometry: "Sequence[Geometry] | None" = None) -> Any:
        """A list."""
        return [self.values[i] for i in at]

    def notices(self) -> tuple[Notice, ...]:
        """None."""
        return ()

    def require_still_there(self, left: Self, lost: Mapping[int, Problem], *, source: str) -> None:
        """Nothing of them is gone with a picture."""

    def settled(
        self,
        splits: Sequence[Split],
        *,
        source: str,
        known: Sequence[Problem],
        before: "tuple[Self, Sequence[Split]] | None" = None,
    ) -> Settled[Self]:
        """All of them. Raises DataError where none is in train."""
        if "train" not in splits:
            raise DataError(f"{source}: no picture to learn from. {first_reasons(known)}")
        return Settled(targets=self, kept=np.arange(len(self), dtype=np.int64), problems=tuple(dict.fromkeys(known)))


@dataclass(frozen=True, kw_only=True)
class NamedScores:
    """Numbers by name, some with an interval."""

    n: int
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    used_for_choosing: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: `name` and `name_ci95`."""
        out: dict[str, Any] = {"n": self.n}
        for name, value in self.values.items():
            out[name] = value
            if name in self.intervals:
                out[f"{name}_ci95"] = list(self.intervals[name])
        return out | {"used_for_choosing": self.used_for_choosing}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        intervals = {n.removesuffix("_ci95"): tuple(v) for n, v in document.items() if n.endswith("_ci95") and v is not None}
        values = {n: v for n, v in document.items() if n not in ("n", "used_for_choosing") and not n.endswith("_ci95")}
        return cls(n=document["n"], values=values, intervals=intervals, used_for_choosing=bool(document["used_for_choosing"]))


@dataclass(frozen=True, kw_only=True)
class NumberedParity:
    """Whether the arrays of two outputs are one, as a share of the largest number. See `task_protocol.Parity`."""

    format: str
    precision: str
    pictures: int
    difference: float
    failures: tuple[str, ...]
    images_per_second: float | None
    bytes: int | None

    @property
    def proven(self) -> bool:
        """Within the limit."""
        return self.pictures > 0 and not self.failures

    def worst_in_words(self) -> list[str]:
        """Not told apart by picture."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "format": self.format,
            "precision": self.precision,
            "proven": self.proven,
            "pictures": self.pictures,
            "difference": self.difference,
            "limits": {"difference": LIMITS[self.precision]},
            "failures": list(self.failures),
            "images_per_second": self.images_per_second,
            "bytes": self.bytes,
        }


class BaseTask:
    """See `task_protocol.Task`. To be written: name, `targets_of`, `fit`, `score`, `restore`, a `Fitted`; else where it differs."""

    name: ClassVar[str]
    parts: ClassVar[Mapping[str, str]] = {}
    tunable: ClassVar[Tunable | None] = None
    target_words: ClassVar[tuple[str, str]] = ("target", "targets")
    options: ClassVar[type | None] = None
    trains_in_fit: ClassVar[bool] = False
    graph_outputs: ClassVar[Mapping[str, str]] = {"found": "float32 (batch, …)"}

    def targets_of(self, examples: Sequence[Example]) -> Any:
        """What these examples say is to be learnt: the one thing about data that a task has to know."""
        raise NotImplementedError

    def claims(self, listing: Listing) -> str | None:
        """Nothing: it must be asked for."""
        return None

    def usable(self, listing: Listing) -> Listing:
        """All examples that lack none of what is to be learnt."""
        return without_gaps(listing)

    def inputs(self, plan: Plan, stages: Sequence[str]) -> Inputs:
        """Taps."""
        return Inputs()

    def targets(self, listing: Listing) -> Any:
        """See `targets_of`."""
        return self.targets_of(listing.examples)

    def check(self, plan: Plan, targets: Any, source: str) -> None:
        """Nothing."""

    def refit(self, learnt: Learnt[Any], part: Part[Any], run: Fitting) -> Any:
        """What was learnt from train alone stays."""
        return learnt.fitted

    def calibrate(self, fitted: Any, outputs: Any, targets: Any, *, bank: Rows | None, seed: int) -> Any:
        """Nothing is said of certainty."""
        return fitted

    def tested(self, fitted: Any, outputs: Any, targets: Any) -> Any:
        """Nothing is kept of it."""
        return fitted

    def read_scores(self, document: Mapping[str, Any]) -> Any:
        """`NamedScores`."""
        return NamedScores.from_dict(document)

    def trust(self, fitted: Any, outputs: Any, targets: Any) -> dict[str, Any]:
        """Nothing is said of certainty."""
        return {}

    def table(self, fitted: Any, outputs: Any, targets: Any) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """The path alone."""
        return (), [() for _ in range(len(targets))]

    def about(self, train: Any) -> dict[str, Any]:
        """Nothing."""
        return {}

    def model(self, **parts: Any) -> Model:
        """As it is."""
        return Model(**parts)

    def exported_model(self, *opened: Any) -> Exported:
        """As it is."""
        return Exported(*opened)

    def card(self, facts: ModelFacts, place: str) -> str:
        """What a notebook shows of a model (`predicting.card_of`)."""
        from warmstart.report.cards import model_card

        return model_card(facts, place, self)

    def columns(self, fitted: Any) -> tuple[str, ...]:
        """None: the truth is a label or a folder."""
        return ()

    def judged(self, fitted: Any, listing: Listing) -> tuple[Listing, tuple[Problem, ...]]:
        """What can be learnt from."""
        return self.usable(listing), ()

    def targets_for(self, fitted: Any, examples: Sequence[Example]) -> Any:
        """As they are learnt."""
        return self.targets_of(examples)

    def parity(self, fitted: Any, reference: Any, found: Any, *, targets: Any, **said: Any) -> Parity:
        """Of every array that both outputs have."""
        apart, precision, seconds = 0.0, str(said["precision"]), said.get("seconds")
        for one, other in _arrays(reference, found):
            if one.shape != other.shape or not np.isfinite(other).all():
                apart = 1e9
            elif one.size:
                apart = max(apart, float(np.abs(one - other).max() / max(float(np.abs(one).max()), 1e-9)))
        limit = LIMITS[precision]
        wrong = (f"a number differs by {apart:.2g} of the largest, {limit:g} is allowed",) if apart > limit else ()
        return NumberedParity(
            format=said["format"],
            precision=precision,
            pictures=len(reference),
            difference=apart,
            failures=wrong,
            images_per_second=len(reference) / seconds if seconds else None,
            bytes=said.get("bytes"),
        )

    def graph(self, fitted: Any) -> "nn.Module":
        """None."""
        raise UsageError(f"a model of the task {self.name} cannot be exported: the task has no graph for it")

    def exported(self, fitted: Any) -> dict[str, Any]:
        """What was fitted is in the graph; what answers are made by is in the settings."""
        return dict(fitted.settings())

    def reading(self, document: Mapping[str, Any]) -> Reading:
        """What was fitted, without its arrays: enough where answers are made of outputs alone."""
        return self.restore(document, {})  # type: ignore[no-any-return]

    def described(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Out of a model folder."""
        raise NotImplementedError


def _arrays(one: Outputs, other: Outputs) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Those that both have; of a list of arrays each."""
    pairs = []
    for a, b in zip(one.fields().values(), other.fields().values(), strict=True):
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.dtype.kind == "f":
            pairs.append((a, b))
        elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
            pairs += [(x, y) for x, y in zip(a, b, strict=False) if isinstance(x, np.ndarray) and isinstance(y, np.ndarray)]
    return pairs
