"""Labels of a picture, any number of them, as the engine of a run asks for them. See `task_protocol.Task`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from warmstart.data.manifest import LABELS
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
from warmstart.tasks.multilabel.calibration import calibration_error, platt
from warmstart.tasks.multilabel.labeller import LabelAnswers, Labeller, LabelOutputs
from warmstart.tasks.multilabel.options import LabelOptions
from warmstart.tasks.multilabel.recall import RecallControl, least_pictures
from warmstart.tasks.multilabel.scores import LabelScores, score
from warmstart.tasks.multilabel.targets import NONE, LabelTargets, entries_of, is_list, names_in, why_labels, with_labels
from warmstart.tasks.multilabel.thresholds import thresholds

if TYPE_CHECKING:
    from torch import nn

    from warmstart.tasks.multilabel.fit import LabelLearnt
    from warmstart.tasks.multilabel.loss import LabelObjective
    from warmstart.tasks.multilabel.parity import LabelParity
    from warmstart.training_settings import TrainingSettings

RECALLS = (0.80, 0.90, 0.95)  # in the record; a model answers for any
NOVELTY_TAPS = ("pooled",)


class LabelTunable:
    """A linear head right of the cut. See `task_protocol.Tunable`."""

    least_deviation: ClassVar[float] = FLOOR

    def start(self, learnt: "LabelLearnt") -> LinearMap:
        """The frozen map."""
        return learnt.fitted.map

    def tuned(self, learnt: "LabelLearnt", head: LinearMap) -> Labeller:
        """As the frozen one, with another map."""
        return replace(learnt.fitted, map=head)

    def n_outputs(self, targets: LabelTargets) -> int:
        """O."""
        return len(targets.names)

    def objective(self, targets: LabelTargets, settings: "TrainingSettings", options: LabelOptions) -> "LabelObjective":
        """Binary cross-entropy, or the asymmetric loss."""
        from warmstart.tasks.multilabel.loss import LabelObjective

        if settings.class_weights is not None:
            raise UsageError("class_weights are for one class a picture, and labels are learnt here: leave them out")
        if settings.choose_by == "accuracy":
            raise UsageError(
                "choose_by=accuracy is for one class a picture; epochs of labels are compared by loss: leave it out"
            )
        return LabelObjective(kind=options.loss, smoothing=settings.label_smoothing)


class MultilabelTask(BaseTask):
    """See `task_protocol.Task`."""

    name: ClassVar[str] = "multilabel"
    parts: ClassVar[Mapping[str, str]] = {
        "shown": "warmstart.tasks.multilabel.shown",
        "judged": "warmstart.tasks.multilabel.fit:judged",
        "figures": "warmstart.tasks.multilabel.figures:figures",
    }
    tunable: ClassVar[Tunable | None] = LabelTunable()
    target_words: ClassVar[tuple[str, str]] = ("labels", "labels")
    options: ClassVar[type | None] = LabelOptions

    def claims(self, listing: Listing) -> str | None:
        """A table with a column of labels, or with several columns of 0 and 1."""
        return why_labels(listing)

    def usable(self, listing: Listing) -> Listing:
        """Examples of which something is known."""
        return with_labels(listing)

    def targets(self, listing: Listing) -> LabelTargets:
        """The labels."""
        return LabelTargets.of(listing.examples, listing.class_names, listing.columns)

    def check(self, plan: Plan, targets: LabelTargets, source: str) -> None:
        """What is for one class a picture, a loss that nothing is trained with, a recall that too few pictures can promise."""
        of_classes = {
            "--head": plan.head != "linear",
            "--class-weight": plan.class_weight != "none",
            "--positive": plan.positive is not None,
        }
        if given := [flag for flag, is_given in of_classes.items() if is_given]:
            raise UsageError(
                f"{', '.join(given)} is for one class a picture, and {source} holds labels ({', '.join(targets.names[:10])}"
                f"{' …' if len(targets.names) > 10 else ''}): leave it out"
            )
        if plan.options.get("loss", "bce") != "bce" and not plan.trains_network:
            raise UsageError(
                f"--loss {plan.options['loss']} is for training right of a cut, and nothing is trained at cut {plan.cut}: name a stage by "
                "--cut, or leave it out"
            )
        recall, there = plan.options.get("recall"), int((targets.values == 1).any(axis=1).sum())
        if recall is not None and there < least_pictures(recall):
            raise UsageError(
                f"--recall {recall:g} needs {least_pictures(recall):,} pictures with a label that are held out, and {source} has {there:,} "
                f"in all: ask for {there / (there + 2):.2g} or less, or add pictures"
            )

    def fit(self, train: Part[LabelTargets], val: Part[LabelTargets], run: Fitting) -> "LabelLearnt":
        """Logistic regression, chosen by folds of train."""
        from warmstart.tasks.multilabel.fit import fitted

        return fitted(train, run)

    def refit(self, learnt: Any, part: Part[LabelTargets], run: Fitting) -> Labeller:
        """With the chosen taps and penalties."""
        from warmstart.tasks.multilabel.fit import refitted

        return refitted(learnt, part)

    def calibrate(
        self, fitted: Labeller, outputs: LabelOutputs, targets: LabelTargets, *, bank: Rows | None, seed: int
    ) -> Labeller:
        """Probabilities, thresholds, recall, novelty."""
        novelty = None if bank is None else Novelty.of(bank.features(NOVELTY_TAPS), NOVELTY_TAPS, seed=seed)
        if outputs.logits is None or not (targets.values == 1).any():
            return replace(fitted, novelty=novelty)
        fitted = replace(fitted, scale=platt(outputs.logits, targets.values), novelty=novelty)
        probabilities = fitted.probabilities(outputs.logits)
        control = RecallControl.of(probabilities, targets.values)
        if fitted.recall is None:
            limits = thresholds(probabilities, targets.values)
        else:
            try:
                limits = np.full(len(fitted.names), control.threshold(fitted.recall))
            except UsageError:  # of too few pictures nothing less than every label can be promised
                limits = np.zeros(len(fitted.names))
        return replace(fitted, thresholds=limits, control=control)

    def tested(self, fitted: Labeller, outputs: LabelOutputs, targets: LabelTargets) -> Labeller:
        """Which share of labels is found."""
        if fitted.control is None:
            return fitted
        return replace(fitted, control=fitted.control.tested(outputs.probabilities, targets.values))

    def score(
        self,
        fitted: Labeller,
        outputs: LabelOutputs,
        targets: LabelTargets,
        *,
        usual: Mapping[str, Any],
        used_for_choosing: bool,
    ) -> LabelScores:
        """Beside always giving each label its share in train."""
        return score(
            outputs.probabilities,
            fitted.reading.said(outputs.probabilities),
            targets.values,
            names=fitted.names,
            usual=self._usual(usual, targets),
            recall_asked=fitted.recall,
            used_for_choosing=used_for_choosing,
        )

    def read_scores(self, document: Mapping[str, Any]) -> LabelScores:
        """Out of a run.json."""
        return LabelScores(**document)

    def trust(self, fitted: Labeller, outputs: LabelOutputs, targets: LabelTargets) -> dict[str, Any]:
        """Calibration error; what each recall finds, and what it costs."""
        if fitted.control is None or not len(targets):
            return {"recall": []}
        found, known = [], targets.known
        for share in dict.fromkeys((*RECALLS, *([fitted.recall] if fitted.recall else []))):
            try:
                one = fitted.coverage(share)
            except UsageError:
                continue
            said = (outputs.probabilities >= one.threshold) & known
            right = int((said & (targets.values == 1)).sum())
            found.append(
                one.to_dict()
                | {
                    "precision": right / int(said.sum()) if said.any() else None,
                    "said_a_picture": float(said.sum() / len(said)),
                }
            )
        return {"recall": found, "calibration_error": calibration_error(outputs.probabilities, targets.values)}

    def table(
        self, fitted: Labeller, outputs: LabelOutputs, targets: LabelTargets
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """The truth as the user's table has it, what is said, and each label's probability."""
        listed = is_list(fitted.columns)
        said, p = fitted.reading.said(outputs.probabilities), outputs.probabilities
        columns = [*([LABELS] if listed else fitted.names), "said", *(f"{name} probability" for name in fitted.names)]
        rows = []
        for i, truth in enumerate(targets.values):
            flags = ["" if np.isnan(value) else int(value) for value in truth]
            own = [_joined(fitted.names, truth == 1)] if listed else flags
            rows.append((*own, _joined(fitted.names, said[i]), *(f"{value:.6f}" for value in p[i].tolist())))
        return columns, rows

    def about(self, train: LabelTargets) -> dict[str, Any]:
        """The share of pictures that have each label."""
        return {"label_shares": dict(zip(train.names, train.shares.tolist(), strict=True))}

    def _usual(self, said: Mapping[str, Any], targets: LabelTargets) -> NDArray[np.float64]:
        """(O,)."""
        try:
            return np.array([float(said["label_shares"][name]) for name in targets.names])
        except (KeyError, TypeError, ValueError):
            return targets.shares

    def parity(
        self, fitted: Labeller, reference: LabelOutputs, found: LabelOutputs, *, targets: LabelTargets, **said: Any
    ) -> "LabelParity":
        """Of the probabilities and of what is said."""
        from warmstart.tasks.multilabel.parity import compare

        return compare(
            reference.probabilities,
            found.probabilities,
            targets.values,
            names=fitted.names,
            thresholds=fitted.thresholds,
            **said,
        )

    def columns(self, fitted: Labeller) -> tuple[str, ...]:
        """Those that it learnt from."""
        return fitted.columns if is_list(fitted.columns) else fitted.names

    def judged(self, fitted: Labeller, listing: Listing) -> tuple[Listing, tuple[Problem, ...]]:
        """Those of which something is known that the model knows; labels that it does not know are named and not counted."""
        listing = with_labels(listing)
        problems = []
        if is_list(fitted.columns):
            foreign = sorted(
                {name for e in listing.examples for name in names_in(e.cells.get(LABELS))} - {*fitted.names, NONE[0]}
            )
            if foreign:
                known = ", ".join(fitted.names[:20]) + (" …" if len(fitted.names) > 20 else "")
                message = f"labels {', '.join(foreign)} are not among the model's ({known}); they are not counted."
                problems.append(Problem(path=listing.source, kind="foreign-label", message=message))
        kept = [e for e in listing.examples if not np.isnan(entries_of(e, fitted.names, fitted.columns)).all()]
        return replace(listing, examples=tuple(kept)), tuple(problems)

    def targets_for(self, fitted: Labeller, examples: Sequence[Example]) -> LabelTargets:
        """Entries as the model has them; NaN where an example says nothing."""
        return LabelTargets.of(examples, fitted.names, fitted.columns)

    graph_outputs: ClassVar[Mapping[str, str]] = {"probabilities": "float32 (batch, labels), calibrated, each for itself"}

    def graph(self, fitted: Labeller) -> "nn.Module":
        """Probabilities."""
        from warmstart.tasks.multilabel.graph import Labels

        return Labels(fitted.map, fitted.scale)

    def exported(self, fitted: Labeller) -> dict[str, Any]:
        """Names, thresholds, and what recall is promised by."""
        return {
            "labels": list(fitted.names),
            "thresholds": fitted.thresholds.tolist(),
            "recall": fitted.recall,
            "control": fitted.control and fitted.control.settings(),
            "taps": list(fitted.taps),
            "head": "logistic",
        }

    def reading(self, document: Mapping[str, Any]) -> LabelAnswers:
        """Answers without novelty."""
        names = _names(document["labels"])
        limits = np.array(required(document["thresholds"], "thresholds", tuple[float, ...]), np.float64)
        said = required(document["control"], "control", Mapping | None)
        arrays = {name: np.array(said[name], np.float64).reshape(2, -1) for name in ("held_out", "test")} if said else None
        return LabelAnswers(
            names=names,
            thresholds=_thresholds(limits, names),
            recall=_share(document["recall"]),
            control=None if arrays is None else RecallControl.from_arrays(arrays),
        )

    def described(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Labels, and whether a recall can be asked for."""
        return {
            "head": "logistic",
            "labels": list(_names(document["labels"])),
            "calibrated": document["calibrated"] is True,
            "recall": _share(document["recall"]),
        }

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Labeller:
        """Out of a model folder."""
        names, layout = _names(document["labels"]), dict(document["layout"])
        taps = tuple(required(document["taps"], "taps", tuple[str, ...]))
        check_taps("taps", list(taps), layout)
        learnt, scale = read_map(arrays, sum(layout[tap] for tap in taps), len(names)), arrays["scale"]
        if scale.shape != (2, len(names)) or scale.dtype != np.float64 or not np.isfinite(scale).all():
            raise ValueError(
                f"'scale' of shape {scale.shape} and type {scale.dtype}, expected finite float64 {(2, len(names))}"
            )
        if not (scale[0] > 0).all():
            raise ValueError("'scale', expected slopes above 0")
        control = {n.removeprefix("recall."): a for n, a in arrays.items() if n.startswith("recall.")}
        return Labeller(
            names=names,
            columns=_columns(document["columns"], names),
            taps=taps,
            map=learnt,
            scale=scale,
            thresholds=_thresholds(arrays["thresholds"], names),
            recall=_share(document["recall"]),
            control=RecallControl.from_arrays(control) if document["calibrated"] else None,
            novelty=read_novelty(document["novelty"], arrays, layout),
        )


TASK = MultilabelTask()


def _joined(names: Sequence[str], which: NDArray[np.bool_]) -> str:
    return ";".join(name for name, is_one in zip(names, which, strict=True) if is_one) or NONE[1]


def _names(values: Any) -> tuple[str, ...]:
    names = tuple(required(values, "labels", tuple[str, ...]))
    if not names or len(set(names)) < len(names) or not all(names):
        raise ValueError(f"'labels' = {values!r:.80}, expected names, each once")
    return names


def _columns(values: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    columns = tuple(required(values, "columns", tuple[str, ...]))
    if not is_list(columns) and not set(names) <= set(columns):
        raise ValueError(f"'columns' = {values!r:.80}, expected 'labels', or a column for each label")
    return columns


def _thresholds(values: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.float64]:
    if values.shape != (len(names),) or values.dtype != np.float64 or not np.all((values >= 0) & (values <= 1)):
        raise ValueError(
            f"'thresholds' of shape {values.shape} and type {values.dtype}, expected {len(names)} float64 in 0 … 1"
        )
    return values


def _share(value: Any) -> float | None:
    return None if value is None else read_share(value, "recall")
