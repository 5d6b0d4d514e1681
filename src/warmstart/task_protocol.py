"""What the engine of a run asks of a task. It knows no class, no box and no caption: it holds what a task gives it, and passes it on.

    listing → targets → Part (targets and rows of some examples) → fit → Learnt → calibrate → Fitted → outputs → scores, answers

A task learns from parts of train and val; test is never handed to it before what it has learnt is fixed. Where tasks are found:
`warmstart.task_registry`.

N examples, D numbers of a row, T targets, F what was fitted, O its outputs, A an answer.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from warmstart.data.geometry import Geometry
from warmstart.extraction.features import Rows
from warmstart.heads.linear_map import LinearMap
from warmstart.plan import Plan
from warmstart.records import Example, Listing, Notice, Problem, Split

if TYPE_CHECKING:
    from torch import nn

    from warmstart.training.objective import Objective
    from warmstart.training.own_head import OwnHead
    from warmstart.training_settings import TrainingSettings

Indices = NDArray[np.int64]
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Settled(Generic[T_co]):
    """Targets that a run can be made of, and what had to go for that."""

    targets: T_co
    kept: Indices  # positions among those that were asked about, ascending
    problems: tuple[Problem, ...]


class Targets(Protocol):
    """What is to be learnt of each of N examples. Frozen."""

    def __len__(self) -> int:
        """N."""
        ...

    def take(self, at: Indices) -> Self:
        """Those at these positions, in this order."""
        ...

    def keys(self) -> Sequence[Hashable]:
        """N: what copies of one picture must agree on; where they do not, nobody can tell which is right, and all are left out."""
        ...

    def kinds(self) -> Sequence[int]:
        """N: what train must have an example of each of, and splits and halves are balanced by. All 0 where there are none."""
        ...

    def marks(self) -> Sequence[Collection[int]]:
        """N, or none at all: beside its kind, what of each is to be found on every side of the split, where three or more have it."""
        ...

    def stamp(self, i: int) -> str:
        """What of an example's target goes into the fingerprint of the data."""
        ...

    def summary(self) -> dict[str, Any]:
        """JSON-ready: what a run record says of them."""
        ...

    def identity(self) -> dict[str, Any]:
        """JSON-ready: what must be the same for a run that was interrupted to go on, beside the stamps."""
        ...

    def collate(self, at: Indices, geometry: Sequence[Geometry] | None = None) -> Any:
        """Tensors of those at these positions, or tuples, lists and mappings of some, as the objective takes them.

        ``geometry``: where the view of each lies on its picture, for targets that must follow it; None: the task did not ask for it.
        """
        ...

    def notices(self) -> tuple[Notice, ...]:
        """What is to be said of them though nothing is left out for it."""
        ...

    def require_still_there(self, left: Self, lost: Mapping[int, Problem], *, source: str) -> None:
        """Raises DataError where what is ``left`` of these lacks something that was only out of reach in this moment.

        ``lost``: position among these → why its picture cannot be used.
        """
        ...

    def settled(
        self,
        splits: Sequence[Split],
        *,
        source: str,
        known: Sequence[Problem],
        before: "tuple[Self, Sequence[Split]] | None" = None,
    ) -> "Settled[Self]":
        """What a run can be made of. Raises DataError, with what is ``known`` to be wrong, where nothing can be learnt.

        ``before``: these and their splits before pictures were found broken; None: none was decoded yet.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """What was found in N examples: base of a task's own. Each field is an array (N, …), a tuple or list of N, or None."""

    def __len__(self) -> int:
        return next(len(value) for value in self.fields().values() if value is not None)

    def take(self, at: Indices) -> Self:
        """Those at these positions."""
        return type(self)(**{name: _taken(value, at) for name, value in self.fields().items()})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after the other."""
        values = [part.fields() for part in parts]
        return cls(**{name: _joined([value[name] for value in values]) for name in values[0]})

    def is_finite(self) -> bool:
        """Whether every number of it is."""
        arrays = [v for v in self.fields().values() if isinstance(v, np.ndarray) and v.dtype.kind == "f"]
        return all(bool(np.isfinite(array).all()) for array in arrays)

    def fields(self) -> dict[str, Any]:
        """Name → value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _taken(value: Any, at: Indices) -> Any:
    if value is None or isinstance(value, np.ndarray):
        return None if value is None else value[at]
    return type(value)(value[i] for i in at)


def _joined(values: Sequence[Any]) -> Any:
    if values[0] is None or isinstance(values[0], np.ndarray):
        return None if values[0] is None else np.concatenate(values)
    return type(values[0])(item for value in values for item in value)


@dataclass(frozen=True, kw_only=True)
class Original:
    """A picture as it came."""

    source: str  # its path, or 'picture 3' for one that came without a name


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a task reads of a picture, beside or in place of the taps that `strategy.taps` has sets of."""

    maps: tuple[str, ...] = ()  # stages whose whole output it reads; with any, it reads no taps and views are kept apart
    places: bool = False  # whether it is to know where each view lies on its picture


@dataclass(frozen=True, kw_only=True, eq=False)
class Part(Generic[T_co]):
    """Some examples of one or several splits, never of test: what they are, and how their rows are read."""

    targets: T_co  # N
    units: Indices  # (N,): examples with the same number are copies or of one group, and are held out together
    read: Callable[[Indices], Rows]  # positions in this part → their rows
    positions: Indices  # (N,) in the data set: what `Fitting.train` goes by

    def __len__(self) -> int:
        return len(self.units)

    def rows(self) -> Rows:
        """All of them."""
        return self.read(np.arange(len(self), dtype=np.int64))


class Answer(Protocol):
    """What is said of one picture."""

    @property
    def source(self) -> str:
        """The picture's path or name."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        ...


class Parity(Protocol):
    """Whether two ways to compute say the same of the same pictures."""

    @property
    def proven(self) -> bool:
        """Within the limits of the precision, on at least one picture."""
        ...

    @property
    def format(self) -> str:
        """Of the file, or the engine."""
        ...

    @property
    def precision(self) -> str:
        """Of `export.formats.PRECISIONS`."""
        ...

    @property
    def pictures(self) -> int:
        """How many were compared."""
        ...

    @property
    def failures(self) -> Sequence[str]:
        """What is beyond the limits, in words."""
        ...

    def worst_in_words(self) -> Sequence[str]:
        """The pictures on which the two differ most."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        ...


class Reading(Protocol):
    """From outputs to what is said of pictures: the same for what was trained here and for what was exported."""

    def answers(self, outputs: Any, pictures: Sequence[Original], *, coverage: float | None = None) -> Sequence[Answer]:
        """One for each picture. ``coverage``: also what holds the truth this often. Raises UsageError where that cannot be said."""
        ...

    def coverage(self, asked: float) -> Any:
        """How often what was said for this coverage held the truth on test, with `to_dict`. Raises UsageError."""
        ...

    def facts(self) -> dict[str, Any]:
        """JSON-ready: what a list of models shows of it."""
        ...

    def of_graph(self, found: NDArray[np.floating], places: Sequence[Geometry] | None = None) -> Any:
        """Outputs from what an exported graph gives first, (B, …). ``places``: of the pictures, where the task asks for them.

        Raises ValueError, as the end of a sentence, for what cannot be.
        """
        ...


class Fitted(Reading, Protocol):
    """What a task has learnt: frozen, any size, saved as settings and arrays and nothing else."""

    @property
    def taps(self) -> tuple[str, ...]:
        """Of a row, those that it reads."""
        ...

    def outputs(self, rows: Rows) -> Any:
        """What it finds in N examples: an `Outputs`."""
        ...

    def settings(self) -> dict[str, Any]:
        """JSON-ready: entries of model.json."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Entries of model.safetensors."""
        ...


F = TypeVar("F", bound=Fitted)


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt(Generic[F]):
    """What `Task.fit` gives back."""

    fitted: F  # from train alone: val is scored with it
    tap_set: str  # which of the sets of taps was chosen
    by_folds: bool  # whether choices were made by folds of train, and val had no part in them
    # Outputs for train, if by folds, and else for val, each by a state that did not know the example: these calibrate.
    held_out: Any
    record: Mapping[str, Any]  # JSON-ready: what was chosen, from what
    penalty: float = 0.0  # on the weights of a linear head, beside the mean loss


class Train(Protocol):
    """The one training loop, for a module of the task's own: batches, schedule, budget, checkpoints and resume included."""

    def __call__(
        self, module: "nn.Module", train: Part[Any], val: Part[Any], objective: "Objective", settings: "TrainingSettings"
    ) -> None:
        """Train ``module``, whose forward takes the maps that the task reads, (B, C, H, W) each. It then holds the best weights on val.

        Views are the plan's, drawn anew for each epoch; targets are collated with the place of the view of each picture. Raises
        UsageError for settings that do not fit, DataError without val.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What `Task.fit` may use beside its parts."""

    plan: Plan
    tap_sets: Mapping[str, tuple[str, ...]]  # among which it may choose what is read
    seed: int
    options: Any = None  # the task's own
    head: Any = None  # what was handed over to be fitted, where the plan's head is `plan.GIVEN` or `plan.MODULE`
    train: "Train | None" = None  # the one training loop: see `Train`


class Tunable(Protocol):
    """The part of a task that lets the network be trained right of a cut, with a head that starts as what was fitted: a linear one, or a
    module of the user's where the plan's head is `plan.MODULE`.
    """

    least_deviation: ClassVar[float]  # of a feature, as a share of the median one: see `heads.standardising.floored`; 0: any
    # May also have `tied: ClassVar[bool]`, not asked of all: whether the outputs share one row of weights, coef (D, 1).

    def start(self, learnt: Any) -> "LinearMap | OwnHead":
        """What was fitted, as a map of the features."""
        ...

    def tuned(self, learnt: Any, head: Any) -> Any:
        """The same, with this head in its place: a `LinearMap`, or an `OwnHead` if that is what it started from."""
        ...

    def n_outputs(self, targets: Any) -> int:
        """O, of a head that starts from nothing."""
        ...

    def objective(self, targets: Any, settings: "TrainingSettings", options: Any) -> "Objective":
        """What is minimised. ``targets``: those of train. ``options``: the task's own. Raises UsageError for settings of another task."""
        ...


class Task(Protocol):
    """Everything that knows what is to be learnt."""

    name: ClassVar[str]  # in plan.json and model.json
    parts: ClassVar[Mapping[str, str]]  # what else there is for it, as 'module:name', imported on use: see `task_registry.part`
    tunable: ClassVar[Tunable | None]
    target_words: ClassVar[tuple[str, str]]  # what an example has, one and several of it, for sentences: 'class', 'classes'
    options: ClassVar[type | None]  # a dataclass whose fields are what it lets one choose: entries of `Plan.options`
    trains_in_fit: ClassVar[
        bool
    ]  # whether `fit` calls `Fitting.train`, so that a run can be interrupted there and gone on with
    graph_outputs: ClassVar[Mapping[str, str]]  # of `graph`: name → what it is, in words; answers are made of the first

    def claims(self, listing: Listing) -> str | None:
        """Why a data set is one for this task, in words, where nobody has said which task is meant; None where it is not."""
        ...

    def inputs(self, plan: Plan, stages: Sequence[str]) -> Inputs:
        """What is read of a picture. ``stages``: of the plan's backbone, from left to right."""
        ...

    def usable(self, listing: Listing) -> Listing:
        """What can be learnt from, and as problems why not the rest. Raises DataError where nothing can. No picture is opened."""
        ...

    def targets(self, listing: Listing) -> Any:
        """Of every example of what is usable."""
        ...

    def check(self, plan: Plan, targets: Any, source: str) -> None:
        """Raises UsageError, UnknownNameError or DataError where plan and targets do not fit."""
        ...

    def fit(self, train: Part[Any], val: Part[Any], run: Fitting) -> Learnt[Any]:
        """Choose what is read and how, never by anything but these two parts."""
        ...

    def refit(self, learnt: Learnt[Any], part: Part[Any], run: Fitting) -> Any:
        """What was chosen, fitted anew on train and val together."""
        ...

    def calibrate(self, fitted: Any, outputs: Any, targets: Any, *, bank: Rows | None, seed: int) -> Any:
        """What was fitted, so that what it says of its own certainty is true of these examples, which it has not seen.

        ``bank``: rows of what it has learnt from, for those that keep some of them.
        """
        ...

    def tested(self, fitted: Any, outputs: Any, targets: Any) -> Any:
        """What was fitted, knowing how it did on test: nothing that changes an answer."""
        ...

    def score(self, fitted: Any, outputs: Any, targets: Any, *, usual: Mapping[str, Any], used_for_choosing: bool) -> Any:
        """Scores with intervals, with `to_dict`, beside those of guessing by what is usual in train: ``usual`` is what `about` gave.

        A model folder may not say; then by what is usual among these targets.
        """
        ...

    def read_scores(self, document: Mapping[str, Any]) -> Any:
        """Scores out of a run.json: the inverse of their `to_dict`. Raises TypeError, KeyError or ValueError for what are none."""
        ...

    def trust(self, fitted: Any, outputs: Any, targets: Any) -> dict[str, Any]:
        """JSON-ready: how far what it says of its own certainty was true of test."""
        ...

    def table(self, fitted: Any, outputs: Any, targets: Any) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """Columns of predictions.csv beside the path, and a row for each example."""
        ...

    def about(self, train: Any) -> dict[str, Any]:
        """JSON-ready: what a model folder says of what it was trained on."""
        ...

    def parity(self, fitted: Any, reference: Any, found: Any, *, targets: Any, **said: Any) -> Parity:
        """Whether two outputs of the same pictures are one.

        ``targets``: of the pictures, some of them perhaps unknown. said: paths, format, precision, seconds_before, seconds, bytes.
        """
        ...

    def model(self, **parts: Any) -> Any:
        """The model that these parts make: a `model.predictor.Model`."""
        ...

    def exported_model(self, *opened: Any) -> Any:
        """The model that an opened exported file makes: a `runtime.predictor.Exported`."""
        ...

    def columns(self, fitted: Any) -> tuple[str, ...]:
        """Of a table that a model is held against, those that hold the truth; none where that is a label or a folder."""
        ...

    def judged(self, fitted: Any, listing: Listing) -> tuple[Listing, tuple[Problem, ...]]:
        """Of a listing, the examples that a model can be held against, and why not the others."""
        ...

    def targets_for(self, fitted: Any, examples: Sequence[Example]) -> Any:
        """Targets as this model has them; where an example says nothing that the model knows, unknown."""
        ...

    def graph(self, fitted: Any) -> "nn.Module":
        """float32 features (B, D of its taps) → a tuple of tensors, in the order of `graph_outputs`: part of an exported file."""
        ...

    def exported(self, fitted: Any) -> dict[str, Any]:
        """JSON-ready: entries of an exported file's document, for `reading`."""
        ...

    def reading(self, document: Mapping[str, Any]) -> Reading:
        """What answers for an exported file. Raises ValueError, KeyError, TypeError for a document that anybody may have written."""
        ...

    def described(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What `Reading.facts` would say, of model.json alone. Raises as `restore` does."""
        ...

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
        """What was fitted, out of a folder that anybody may have written. Raises ValueError, KeyError, TypeError, UnknownNameError."""
        ...
