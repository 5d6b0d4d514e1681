"""Numbers of a picture as the engine of a run asks for them. See `task_protocol.Task`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UsageError
from warmstart.evaluation.novelty import Novelty
from warmstart.extraction.described import required
from warmstart.extraction.features import Rows
from warmstart.heads.least_squares import FLOOR
from warmstart.heads.linear_map import LinearMap
from warmstart.heads.written import Written
from warmstart.model.checking import check_taps, read_map, read_novelty, read_share
from warmstart.plan import GIVEN, MODULE, Plan
from warmstart.records import Example, Listing, Problem
from warmstart.task_base import BaseTask
from warmstart.task_protocol import Fitting, Part, Tunable
from warmstart.tasks.regress.intervals import Intervals
from warmstart.tasks.regress.options import NumberOptions
from warmstart.tasks.regress.regressor import RIDGE, NumberAnswers, NumberOutputs, Regressor
from warmstart.tasks.regress.scores import NumberScores, score
from warmstart.tasks.regress.targets import LABEL, NumberTargets, numbers_of, why_numbers, with_numbers
from warmstart.training.kept_module import KeptModule

if TYPE_CHECKING:
    from torch import nn

    from warmstart.tasks.regress.fit import NumberLearnt
    from warmstart.tasks.regress.loss import NumberObjective
    from warmstart.tasks.regress.parity import NumberParity
    from warmstart.training.own_head import OwnHead
    from warmstart.training_settings import TrainingSettings

COVERAGES = (0.80, 0.90, 0.95)  # in the record; a model makes intervals for any
NOVELTY_TAPS = ("pooled",)


class NumberTunable:
    """A linear head, or a module of the user's, right of the cut, in deviations of train. See `task_protocol.Tunable`."""

    least_deviation: ClassVar[float] = FLOOR

    def start(self, learnt: "NumberLearnt") -> "LinearMap | OwnHead":
        """The frozen map. Others are not trained on (`Plan.trains_network`)."""
        from warmstart.tasks.regress import fit, own_module

        found = learnt.fitted.map
        if isinstance(found, KeptModule):
            assert found.own is not None
            return own_module.in_deviations(found.own)
        assert isinstance(found, LinearMap)
        return fit.in_deviations(found, learnt.mean, learnt.deviation)

    def tuned(self, learnt: "NumberLearnt", head: "LinearMap | OwnHead") -> Regressor:
        """As the frozen one, with another map."""
        from warmstart.tasks.regress import fit, own_module

        if isinstance(head, LinearMap):
            return replace(learnt.fitted, map=fit.in_units(head, learnt.mean, learnt.deviation))
        return replace(learnt.fitted, map=KeptModule(own=own_module.in_units(head, learnt.mean, learnt.deviation)))

    def n_outputs(self, targets: NumberTargets) -> int:
        """O."""
        return len(targets.names)

    def objective(self, targets: NumberTargets, settings: "TrainingSettings", options: NumberOptions) -> "NumberObjective":
        """Squares, or Huber's loss."""
        from warmstart.tasks.regress.loss import NumberObjective

        if settings.class_weights is not None or settings.label_smoothing:
            raise UsageError("class_weights and label_smoothing are for classes, and numbers are learnt here: leave them out")
        return NumberObjective(mean=targets.values.mean(axis=0), deviation=targets.values.std(axis=0), robust=options.robust)


class RegressTask(BaseTask):
    """See `task_protocol.Task`."""

    name: ClassVar[str] = "regress"
    parts: ClassVar[Mapping[str, str]] = {
        "shown": "warmstart.tasks.regress.shown",
        "judged": "warmstart.tasks.regress.fit:judged",
        "figures": "warmstart.tasks.regress.figures:figures",
    }
    tunable: ClassVar[Tunable | None] = NumberTunable()
    target_words: ClassVar[tuple[str, str]] = ("number", "numbers")
    options: ClassVar[type | None] = NumberOptions

    def claims(self, listing: Listing) -> str | None:
        """A table whose column holds numbers that are no names of classes."""
        return why_numbers(listing)

    def usable(self, listing: Listing) -> Listing:
        """Examples with a number in each column."""
        return with_numbers(listing)

    def targets(self, listing: Listing) -> NumberTargets:
        """The numbers."""
        return NumberTargets.of(listing)

    def check(self, plan: Plan, targets: NumberTargets, source: str) -> None:
        """What is for classes alone."""
        of_classes = {
            "--head": plan.head not in ("linear", GIVEN, MODULE),
            "--class-weight": plan.class_weight != "none",
            "--positive": plan.positive is not None,
        }
        if given := [flag for flag, is_given in of_classes.items() if is_given]:
            raise UsageError(
                f"{', '.join(given)} is for classes, and {source} holds numbers ({', '.join(targets.names)}): leave it out"
            )

    def fit(self, train: Part[NumberTargets], val: Part[NumberTargets], run: Fitting) -> "NumberLearnt":
        """Ridge, chosen on train by leaving out."""
        from warmstart.tasks.regress.fit import fitted

        return fitted(train, run)

    def refit(self, learnt: Any, part: Part[NumberTargets], run: Fitting) -> Regressor:
        """With the chosen taps and penalty."""
        from warmstart.tasks.regress.fit import refitted

        return refitted(learnt, part)

    def calibrate(
        self, fitted: Regressor, outputs: NumberOutputs, targets: NumberTargets, *, bank: Rows | None, seed: int
    ) -> Regressor:
        """Intervals, novelty."""
        return replace(
            fitted,
            intervals=Intervals.of(fitted.names, outputs.values, targets.values) if len(targets) > 1 else None,
            novelty=None if bank is None else Novelty.of(bank.features(NOVELTY_TAPS), NOVELTY_TAPS, seed=seed),
        )

    def tested(self, fitted: Regressor, outputs: NumberOutputs, targets: NumberTargets) -> Regressor:
        """How often intervals hold the truth."""
        if fitted.intervals is None:
            return fitted
        return replace(fitted, intervals=fitted.intervals.tested(outputs.values, targets.values))

    def score(
        self,
        fitted: Regressor,
        outputs: NumberOutputs,
        targets: NumberTargets,
        *,
        usual: Mapping[str, Any],
        used_for_choosing: bool,
    ) -> NumberScores:
        """Beside always naming the mean or the median."""
        ends = None
        if fitted.intervals is not None:
            try:
                ends = fitted.intervals.around(outputs.values, fitted.usual)
            except UsageError:  # too few pictures calibrate
                ends = None
        return score(
            outputs.values,
            targets.values,
            names=targets.names,
            usual=self._usual(usual, targets),
            ends=ends,
            coverage=fitted.usual,
            used_for_choosing=used_for_choosing,
        )

    def read_scores(self, document: Mapping[str, Any]) -> NumberScores:
        """Out of a run.json."""
        return NumberScores(**document)

    def trust(self, fitted: Regressor, outputs: NumberOutputs, targets: NumberTargets) -> dict[str, Any]:
        """Coverage and width of intervals."""
        out = []
        for share in dict.fromkeys((*COVERAGES, fitted.usual)):
            try:
                out.append(fitted.coverage(share).to_dict())
            except UsageError:
                continue
        return {"intervals": out}

    def table(
        self, fitted: Regressor, outputs: NumberOutputs, targets: NumberTargets
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """For each target the truth, under the column's own name, the estimate and its interval."""
        columns: list[str] = []
        values: list[NDArray[Any]] = []
        ends = None
        if fitted.intervals is not None and len(targets):
            try:
                ends = fitted.intervals.around(outputs.values, fitted.usual)
            except UsageError:
                ends = None
        for o, name in enumerate(targets.names):
            columns += [name, f"{name} estimated", *([f"{name} low", f"{name} high"] if ends else [])]
            values += [targets.values[:, o], outputs.values[:, o], *([ends[0][:, o], ends[1][:, o]] if ends else [])]
        rows = [tuple(float(f"{value:.9g}") for value in row) for row in np.array(values).T] if len(targets) else []
        return columns, rows

    def about(self, train: NumberTargets) -> dict[str, Any]:
        """Mean and median of each target."""
        return {
            "targets": {
                name: {"mean": float(column.mean()), "median": float(np.median(column))}
                for name, column in zip(train.names, train.values.T, strict=True)
            }
        }

    def _usual(self, said: Mapping[str, Any], targets: NumberTargets) -> list[tuple[float, float]]:
        """(mean, median) of each target."""
        try:
            of_train = [said["targets"][name] for name in targets.names]
            return [(float(one["mean"]), float(one["median"])) for one in of_train]
        except (KeyError, TypeError, ValueError):
            return [(float(column.mean()), float(np.median(column))) for column in targets.values.T]

    def parity(
        self, fitted: Regressor, reference: NumberOutputs, found: NumberOutputs, *, targets: NumberTargets, **said: Any
    ) -> "NumberParity":
        """Of the numbers."""
        from warmstart.tasks.regress.parity import compare

        return compare(reference.values, found.values, targets.values, **said)

    def columns(self, fitted: Regressor) -> tuple[str, ...]:
        """The targets; none where these are labels."""
        return () if fitted.names == (LABEL,) else fitted.names

    def judged(self, fitted: Regressor, listing: Listing) -> tuple[Listing, tuple[Problem, ...]]:
        """Those with a number in each column."""
        return with_numbers(listing), ()

    def targets_for(self, fitted: Regressor, examples: Sequence[Example]) -> NumberTargets:
        """Numbers; NaN where there is none."""
        values = np.array([numbers_of(example, fitted.names) for example in examples], np.float64)
        return NumberTargets(names=fitted.names, values=values.reshape(-1, len(fitted.names)))

    graph_outputs: ClassVar[Mapping[str, str]] = {"values": "float32 (batch, targets), in the targets' units"}

    def graph(self, fitted: Regressor) -> "nn.Module":
        """The map."""
        from warmstart.tasks.regress.graph import GivenNumbers, Numbers

        return Numbers(fitted.map) if isinstance(fitted.map, LinearMap) else GivenNumbers(fitted.map)

    def exported(self, fitted: Regressor) -> dict[str, Any]:
        """Names and what intervals are made of."""
        of_intervals = fitted.intervals and {
            name: np.asarray(getattr(fitted.intervals, name)).tolist() for name in ("scale", "held_out", "test")
        }
        return {
            "targets": list(fitted.names),
            "coverage": fitted.usual,
            "intervals": of_intervals,
            "taps": list(fitted.taps),
            "head": fitted.head,
        }

    def reading(self, document: Mapping[str, Any]) -> NumberAnswers:
        """Answers without novelty."""
        names = _names(document["targets"])
        said = required(document["intervals"], "intervals", Mapping | None)
        arrays = {name: np.array(said[name], np.float64) for name in ("scale", "held_out", "test")} if said else {}
        if arrays and not arrays["test"].size:
            arrays["test"] = np.zeros((2, 0, len(names)))
        head = document.get("head")
        head = head if head in (GIVEN, MODULE) else RIDGE
        return NumberAnswers(
            names=names, usual=read_share(document["coverage"], "coverage"), intervals=_intervals(names, arrays), head=head
        )

    def described(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Targets, and whether intervals can be asked for."""
        return {
            "head": RIDGE if "head" not in document else MODULE if "operations" in document["head"] else GIVEN,
            "targets": list(_names(document["targets"])),
            "calibrated": document["intervals"] is True,
            "coverage": read_share(document["coverage"], "coverage"),
        }

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Regressor:
        """Out of a model folder."""
        names, layout = _names(document["targets"]), dict(document["layout"])
        taps = tuple(required(document["taps"], "taps", tuple[str, ...]))
        check_taps("taps", list(taps), layout)
        of_intervals = {n.removeprefix("intervals."): a for n, a in arrays.items() if n.startswith("intervals.")}
        return Regressor(
            names=names,
            taps=taps,
            map=_map(document.get("head"), arrays, sum(layout[tap] for tap in taps), len(names)),
            usual=read_share(document["coverage"], "coverage"),
            intervals=_intervals(names, of_intervals if document["intervals"] else {}),
            novelty=read_novelty(document["novelty"], arrays, layout),
        )


TASK = RegressTask()


def _map(head: Any, arrays: Mapping[str, NDArray[Any]], width: int, n_targets: int) -> LinearMap | Written | KeptModule:
    if head is not None:
        own = {name.removeprefix("map."): array for name, array in arrays.items() if name.startswith("map.")}
        settings = required(head, "head", Mapping)
        found = (
            KeptModule.from_arrays(settings, own) if "operations" in settings else Written.from_arrays(settings, own, of="map")
        )
        if (found.n_features, found.n_outputs) != (width, n_targets):
            raise ValueError(
                f"'map' from {found.n_features} features to {found.n_outputs} numbers, expected {width} and {n_targets}"
            )
        return found
    return read_map(arrays, width, n_targets)


def _names(values: Any) -> tuple[str, ...]:
    names = tuple(required(values, "targets", tuple[str, ...]))
    if not names or len(set(names)) < len(names) or not all(names):
        raise ValueError(f"'targets' = {values!r:.80}, expected names, each once")
    return names


def _intervals(names: tuple[str, ...], arrays: Mapping[str, NDArray[Any]]) -> Intervals | None:
    if not arrays:
        return None
    found = {name: arrays[name] for name in ("scale", "held_out", "test")}
    o, n, m = len(names), len(found["held_out"]), found["test"].shape[1] if found["test"].ndim == 3 else -1
    for name, shape in (("scale", (3, o)), ("held_out", (n, o)), ("test", (2, m, o))):
        array = found[name]
        if array.shape != shape or array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(
                f"'intervals.{name}' of shape {array.shape} and type {array.dtype}, expected finite float64 {shape}"
            )
    if not (found["scale"][0] > 0).all() or (np.diff(found["held_out"], axis=0) < 0).any() or not n:
        raise ValueError("'intervals', whose scale is not above 0, or whose errors are not in ascending order")
    return Intervals(names=names, **found)
