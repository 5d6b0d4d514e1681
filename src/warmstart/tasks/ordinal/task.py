"""Values in an order as the engine of a run asks for them. See `task_protocol.Task`."""

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
from warmstart.model.checking import check_taps, read_map, read_novelty, read_share
from warmstart.plan import Plan
from warmstart.records import Example, Listing, Problem
from warmstart.task_base import BaseTask
from warmstart.task_protocol import Fitting, Part, Tunable
from warmstart.tasks.ordinal.calibration import TEMPERATURES, fit_temperature
from warmstart.tasks.ordinal.options import OrderOptions
from warmstart.tasks.ordinal.ranker import HEAD, OrderAnswers, OrderOutputs, Ranker
from warmstart.tasks.ordinal.scores import OrderScores, score
from warmstart.tasks.ordinal.sets import OrderSets, decide
from warmstart.tasks.ordinal.targets import UNKNOWN, OrderTargets, place_of, placed, ranking, value_of, with_values

if TYPE_CHECKING:
    from torch import nn

    from warmstart.tasks.ordinal.fit import OrderLearnt
    from warmstart.tasks.ordinal.loss import OrderObjective
    from warmstart.tasks.ordinal.parity import OrderParity
    from warmstart.training_settings import TrainingSettings

COVERAGES = (0.80, 0.90, 0.95)  # in the record; a model makes sets for any
NOVELTY_TAPS = ("pooled",)


class OrderTunable:
    """A linear head right of the cut, one row of weights for all thresholds. See `task_protocol.Tunable`."""

    least_deviation: ClassVar[float] = FLOOR
    tied: ClassVar[bool] = True

    def start(self, learnt: "OrderLearnt") -> LinearMap:
        """The frozen map, its thresholds measured from the prior."""
        one = learnt.fitted.map
        return LinearMap(coef=one.coef, intercept=(one.intercept - learnt.prior).astype(np.float32))

    def tuned(self, learnt: "OrderLearnt", head: LinearMap) -> Ranker:
        """As the frozen one, with another map."""
        thresholds = np.maximum.accumulate(head.intercept + learnt.prior)
        return replace(learnt.fitted, map=LinearMap(coef=head.coef, intercept=thresholds.astype(np.float32)))

    def n_outputs(self, targets: OrderTargets) -> int:
        """K - 1."""
        return len(targets.names) - 1

    def objective(self, targets: OrderTargets, settings: "TrainingSettings", options: OrderOptions) -> "OrderObjective":
        """The loss of the frozen head."""
        from warmstart.heads.cumulative import prior_logits
        from warmstart.tasks.ordinal.loss import OrderObjective

        if settings.class_weights is not None or settings.label_smoothing:
            raise UsageError(
                "class_weights and label_smoothing are for classes, and values in an order are learnt here: leave them out"
            )
        if settings.choose_by == "accuracy":
            raise UsageError(
                "choose_by=accuracy is for classes; epochs of values in an order are compared by loss: leave it out"
            )
        order = ranking(targets.names, options.order, left_out=targets.left_out)
        return OrderObjective(
            rank_of=np.array([order.index(name) for name in targets.names], np.int64),
            prior=prior_logits(targets.ranks(order), len(order)),
        )


class OrdinalTask(BaseTask):
    """See `task_protocol.Task`."""

    name: ClassVar[str] = "ordinal"
    parts: ClassVar[Mapping[str, str]] = {
        "shown": "warmstart.tasks.ordinal.shown",
        "figures": "warmstart.tasks.ordinal.figures:figures",
        "judged": "warmstart.tasks.ordinal.fit:judged",
    }
    tunable: ClassVar[Tunable | None] = OrderTunable()
    target_words: ClassVar[tuple[str, str]] = ("value", "values")
    options: ClassVar[type | None] = OrderOptions

    def usable(self, listing: Listing) -> Listing:
        """Examples with a value."""
        return with_values(listing)

    def targets(self, listing: Listing) -> OrderTargets:
        """The values."""
        return OrderTargets.of(listing.examples, listing.class_names)

    def check(self, plan: Plan, targets: OrderTargets, source: str) -> None:
        """What is for classes alone; an order that does not fit the values."""
        of_classes = {
            "--head": plan.head != "linear",
            "--class-weight": plan.class_weight != "none",
            "--positive": plan.positive is not None,
        }
        if given := [flag for flag, is_given in of_classes.items() if is_given]:
            raise UsageError(f"{', '.join(given)} is for classes, and {source} is learnt as values in an order: leave it out")
        ranking(targets.names, OrderOptions(**plan.options).order, left_out=targets.left_out, source=source)

    def fit(self, train: Part[OrderTargets], val: Part[OrderTargets], run: Fitting) -> "OrderLearnt":
        """A cumulative link model, chosen by folds of train."""
        from warmstart.tasks.ordinal.fit import fitted

        return fitted(train, run.plan.target, run)

    def refit(self, learnt: Any, part: Part[OrderTargets], run: Fitting) -> Ranker:
        """With the chosen taps and penalty."""
        from warmstart.tasks.ordinal.fit import refitted

        return refitted(learnt, part)

    def calibrate(
        self, fitted: Ranker, outputs: OrderOutputs, targets: OrderTargets, *, bank: Rows | None, seed: int
    ) -> Ranker:
        """Temperature, sets, novelty."""
        novelty = None if bank is None else Novelty.of(bank.features(NOVELTY_TAPS), NOVELTY_TAPS, seed=seed)
        if outputs.logits is None or not len(targets):
            return replace(fitted, novelty=novelty)
        y = targets.ranks(fitted.order)
        fitted = replace(fitted, temperature=fit_temperature(outputs.logits, y, doubt=1 / (len(y) + 2)), novelty=novelty)
        return replace(fitted, sets=OrderSets.of(fitted.probabilities(outputs.logits), y))

    def tested(self, fitted: Ranker, outputs: OrderOutputs, targets: OrderTargets) -> Ranker:
        """How often sets hold the true value."""
        if fitted.sets is None:
            return fitted
        return replace(fitted, sets=fitted.sets.tested(outputs.probabilities, targets.ranks(fitted.order)))

    def score(
        self,
        fitted: Ranker,
        outputs: OrderOutputs,
        targets: OrderTargets,
        *,
        usual: Mapping[str, Any],
        used_for_choosing: bool,
    ) -> OrderScores:
        """Beside always answering the median, the most frequent value, or the shares of train."""
        y = targets.ranks(fitted.order)
        return score(
            outputs.probabilities,
            y,
            order=fitted.order,
            usual=self._usual(usual, fitted.order, y),
            sets=None if fitted.sets is None else fitted.sets.around(outputs.probabilities, fitted.usual),
            coverage=fitted.usual,
            used_for_choosing=used_for_choosing,
        )

    def read_scores(self, document: Mapping[str, Any]) -> OrderScores:
        """Out of a run.json."""
        return OrderScores(**document)

    def trust(self, fitted: Ranker, outputs: OrderOutputs, targets: OrderTargets) -> dict[str, Any]:
        """The temperature; coverage and size of sets."""
        sets = (
            []
            if fitted.sets is None
            else [fitted.coverage(share).to_dict() for share in dict.fromkeys((*COVERAGES, fitted.usual))]
        )
        return {"temperature": fitted.temperature, "sets": sets}

    def table(
        self, fitted: Ranker, outputs: OrderOutputs, targets: OrderTargets
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """The true value, what is said, how many ranks it is too high, the ends of its set, and each value's probability."""
        p, order, y = outputs.probabilities, fitted.order, targets.ranks(fitted.order)
        sets = None if fitted.sets is None or not len(y) else fitted.sets.around(p, fitted.usual)
        columns = ["true", "said", "ranks too high", *(["set from", "set to"] if sets is not None else [])]
        rows = []
        for i, rank in enumerate(decide(p)):
            ends = [] if sets is None else [order[at] for at in np.flatnonzero(sets[i])[[0, -1]]]
            rows.append((order[y[i]], order[rank], int(rank - y[i]), *ends, *(f"{value:.6f}" for value in p[i].tolist())))
        return [*columns, *(f"{name} probability" for name in order)], rows

    def about(self, train: OrderTargets) -> dict[str, Any]:
        """The share of pictures of each value."""
        return {"value_shares": {name: float(np.mean(train.labels == i)) for i, name in enumerate(train.names)}}

    def _usual(self, said: Mapping[str, Any], order: Sequence[str], y: NDArray[np.int64]) -> NDArray[np.float64]:
        """(K,)."""
        try:
            return np.array([float(said["value_shares"][name]) for name in order])
        except (KeyError, TypeError, ValueError):
            return np.bincount(y, minlength=len(order)) / len(y)

    def parity(
        self, fitted: Ranker, reference: OrderOutputs, found: OrderOutputs, *, targets: OrderTargets, **said: Any
    ) -> "OrderParity":
        """Of the probabilities and of what is said."""
        from warmstart.tasks.ordinal.parity import compare

        y = targets.ranks(fitted.order)
        return compare(reference.probabilities, found.probabilities, y, order=fitted.order, **said)

    def columns(self, fitted: Ranker) -> tuple[str, ...]:
        """The one that it learnt from."""
        return fitted.columns

    def judged(self, fitted: Ranker, listing: Listing) -> tuple[Listing, tuple[Problem, ...]]:
        """Those with a value that the model knows."""
        places, known = place_of(fitted.order), []
        foreign: dict[str, int] = {}
        for example in listing.examples:
            value = value_of(example, listing.columns)
            if placed(value, places) == UNKNOWN:
                foreign[value] = foreign.get(value, 0) + 1
            else:
                known.append(example)
        problems = tuple(
            Problem(
                path=listing.source,
                kind="foreign-value",
                message=f"value {value!r} is not among the model's ({', '.join(fitted.order)}); its {count} pictures are not counted.",
            )
            for value, count in foreign.items()
        )
        return replace(listing, examples=tuple(known)), problems

    def targets_for(self, fitted: Ranker, examples: Sequence[Example]) -> OrderTargets:
        """Values as the model has them."""
        return OrderTargets.of(examples, fitted.order, fitted.columns)

    graph_outputs: ClassVar[Mapping[str, str]] = {
        "probabilities": "float32 (batch, values), calibrated, from the lowest value to the highest"
    }

    def graph(self, fitted: Ranker) -> "nn.Module":
        """Probabilities."""
        from warmstart.tasks.ordinal.graph import Values

        return Values(fitted.map, fitted.temperature)

    def exported(self, fitted: Ranker) -> dict[str, Any]:
        """The order, and what sets are made by."""
        sets = fitted.sets and {name: array.tolist() for name, array in fitted.sets.arrays().items()}
        return {"order": list(fitted.order), "coverage": fitted.usual, "sets": sets, "taps": list(fitted.taps), "head": HEAD}

    def reading(self, document: Mapping[str, Any]) -> OrderAnswers:
        """Answers without novelty."""
        order = _order(document["order"])
        said = required(document["sets"], "sets", Mapping | None)
        arrays = {name: np.array(said[name], np.float64) for name in ("held_out", "test", "true")} if said else {}
        if arrays and not arrays["test"].size:
            arrays["test"] = np.zeros((0, len(order)))
        sets = OrderSets.from_arrays(arrays, len(order)) if arrays else None
        return OrderAnswers(order=order, usual=read_share(document["coverage"], "coverage"), sets=sets)

    def described(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The order, and whether sets can be asked for."""
        return {
            "head": HEAD,
            "order": list(_order(document["order"])),
            "calibrated": document["calibrated"] is True,
            "coverage": read_share(document["coverage"], "coverage"),
        }

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Ranker:
        """Out of a model folder."""
        order, layout = _order(document["order"]), dict(document["layout"])
        taps = tuple(required(document["taps"], "taps", tuple[str, ...]))
        check_taps("taps", list(taps), layout)
        learnt = read_map(arrays, sum(layout[tap] for tap in taps), len(order) - 1, rows=1)
        if np.any(np.diff(learnt.intercept) < 0):
            raise ValueError("'map.intercept', expected thresholds in ascending order")
        temperature = float(required(document["temperature"], "temperature", float))
        if not 0.9 * TEMPERATURES[0] <= temperature <= 1.1 * TEMPERATURES[1]:
            raise ValueError(f"'temperature' = {temperature!r}, expected {TEMPERATURES[0]} … {TEMPERATURES[1]}")
        of_sets = {n.removeprefix("sets."): a for n, a in arrays.items() if n.startswith("sets.")}
        return Ranker(
            order=order,
            columns=tuple(required(document["columns"], "columns", tuple[str, ...])),
            taps=taps,
            map=learnt,
            temperature=temperature,
            usual=read_share(document["coverage"], "coverage"),
            sets=OrderSets.from_arrays(of_sets, len(order)) if document["calibrated"] else None,
            novelty=read_novelty(document["novelty"], arrays, layout),
        )


TASK = OrdinalTask()


def _order(values: Any) -> tuple[str, ...]:
    order = tuple(required(values, "order", tuple[str, ...]))
    if len(order) < 2 or len(set(order)) < len(order) or not all(order):
        raise ValueError(f"'order' = {values!r:.80}, expected two or more names, each once")
    return order
