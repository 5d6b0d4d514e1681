"""Classification as the engine of a run asks for it: one class a picture. See `task_protocol.Task`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from warmstart.data.class_names import class_name_of
from warmstart.data.listing import check_classes
from warmstart.data.nested import as_classes_are_named
from warmstart.errors import DataError, UnknownNameError, UsageError
from warmstart.extraction.described import required
from warmstart.extraction.features import Rows
from warmstart.heads.linear_map import LinearMap
from warmstart.model.checking import check_taps
from warmstart.plan import Plan
from warmstart.predicting import ModelFacts
from warmstart.records import Example, Listing, Problem, Scores
from warmstart.task_protocol import Fitting, Inputs, Part, Tunable
from warmstart.tasks.classify.answers import ClassAnswers, ClassOutputs
from warmstart.tasks.classify.classifier import Classifier
from warmstart.tasks.classify.described import read_class_names, read_temperature, read_threshold
from warmstart.tasks.classify.heads.catalog import head_class
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.tasks.classify.heads.module import ModuleHead
from warmstart.tasks.classify.heads.protocol import Head
from warmstart.tasks.classify.metrics import score
from warmstart.tasks.classify.targets import ClassTargets
from warmstart.tasks.classify.trust import Trust

if TYPE_CHECKING:
    from torch import nn

    from warmstart.tasks.classify.fit import ClassLearnt
    from warmstart.tasks.classify.loss import ClassObjective
    from warmstart.tasks.classify.model import ClassExported, ClassModel
    from warmstart.tasks.classify.parity import Parity
    from warmstart.training.own_head import OwnHead
    from warmstart.training_settings import TrainingSettings


class ClassTunable:
    """A linear head, or a module of the user's, right of the cut. See `task_protocol.Tunable`."""

    least_deviation: ClassVar[float] = 0.0

    def start(self, learnt: "ClassLearnt") -> "LinearMap | OwnHead":
        """The frozen head."""
        head = learnt.fitted.head
        if isinstance(head, ModuleHead):
            assert head.own is not None
            return head.own
        assert isinstance(head, LinearHead)
        return head.map

    def tuned(self, learnt: "ClassLearnt", head: "LinearMap | OwnHead") -> Classifier:
        """As the frozen one, with another head."""
        made = LinearHead.of_map(head) if isinstance(head, LinearMap) else cast(Head, ModuleHead(own=head))
        return replace(learnt.fitted, head=made)

    def n_outputs(self, targets: ClassTargets) -> int:
        """K."""
        return len(targets.class_names)

    def objective(self, targets: ClassTargets, settings: "TrainingSettings", options: None) -> "ClassObjective":
        """Cross-entropy."""
        from warmstart.tasks.classify.loss import ClassObjective

        return ClassObjective.of(len(targets.class_names), settings)


class ClassifyTask:
    """See `task_protocol.Task`."""

    name: ClassVar[str] = "classify"
    parts: ClassVar[Mapping[str, str]] = {
        "advised training": "warmstart.tasks.classify.advice.auto_train:train_advised",
        "findings": "warmstart.tasks.classify.doctor.run_findings:examine",
        "fixes": "warmstart.tasks.classify.doctor.fixes:apply_fixes",
        "judged": "warmstart.tasks.classify.fit:judged",
        "forecast": "warmstart.tasks.classify.fit:fit_seconds",
        "pictures": "warmstart.tasks.classify.embedding_map:write",
        "sure": "warmstart.tasks.classify.tree:surely",
        "shown": "warmstart.tasks.classify.shown",
        "source": "warmstart.tasks.classify.source:source_model",
        "report": "warmstart.tasks.classify.report.made:report",
        "comparison report": "warmstart.tasks.classify.report.made:comparison",
    }
    tunable: ClassVar[Tunable | None] = ClassTunable()
    target_words: ClassVar[tuple[str, str]] = ("class", "classes")
    options: ClassVar[type | None] = None  # they are fields of `Plan`, from when there was no other task

    def claims(self, listing: Listing) -> str | None:
        """Nothing: it is what remains."""
        return None

    trains_in_fit: ClassVar[bool] = False

    def inputs(self, plan: Plan, stages: Sequence[str]) -> Inputs:
        """Taps."""
        return Inputs()

    def usable(self, listing: Listing) -> Listing:
        """All of it."""
        if listing.columns:
            raise DataError(
                f"{listing.source!r}: classes are learnt from the column label, and {', '.join(listing.columns)} was named with --target. "
                "Rename that column to label, or name another task with --task"
            )
        check_classes(listing, 2)
        return listing

    def targets(self, listing: Listing) -> ClassTargets:
        """Labels."""
        return ClassTargets.of(listing.examples, listing.class_names)

    def check(self, plan: Plan, targets: ClassTargets, source: str) -> None:
        """A positive class must be one of two."""
        if plan.positive is None:
            return
        if plan.positive not in targets.class_names:
            raise UnknownNameError("class for --positive", plan.positive, targets.class_names)
        if len(targets.class_names) != 2:
            raise UsageError(f"--positive is for two classes; {source} has {len(targets.class_names)}")

    def fit(self, train: Part[ClassTargets], val: Part[ClassTargets], run: Fitting) -> "ClassLearnt":
        """The head on the taps and with the penalty that do best on held-out pictures."""
        from warmstart.tasks.classify.fit import fitted

        return fitted(train, val, run)

    def refit(self, learnt: Any, part: Part[ClassTargets], run: Fitting) -> Classifier:
        """The chosen head."""
        from warmstart.tasks.classify.fit import refitted

        return refitted(learnt, part)

    def calibrate(
        self, fitted: Classifier, outputs: ClassOutputs, targets: ClassTargets, *, bank: Rows | None, seed: int
    ) -> Classifier:
        """Temperature, sets of classes, novelty."""
        from warmstart.tasks.classify.trusted import calibrated

        return calibrated(fitted, outputs, targets, bank=bank, seed=seed)

    def tested(self, fitted: Classifier, outputs: ClassOutputs, targets: ClassTargets) -> Classifier:
        """How often sets hold the true class."""
        from warmstart.tasks.classify.trusted import tested

        return tested(fitted, outputs, targets)

    def score(
        self,
        fitted: Classifier,
        outputs: ClassOutputs,
        targets: ClassTargets,
        *,
        usual: Mapping[str, Any],
        used_for_choosing: bool,
    ) -> Scores:
        """Beside always naming the most frequent class; of ``targets`` where the model does not know that class."""
        name = usual.get("majority_class")
        return score(
            probabilities=outputs.probabilities,
            labels=targets.labels,
            class_names=fitted.class_names,
            majority_label=fitted.class_names.index(name) if name in fitted.class_names else targets.majority(),
            used_for_choosing=used_for_choosing,
            predicted=fitted.reading.decide(outputs.probabilities),
        )

    def read_scores(self, document: Mapping[str, Any]) -> Scores:
        """Out of a run.json."""
        return Scores.from_dict(document)

    def trust(self, fitted: Classifier, outputs: ClassOutputs, targets: ClassTargets) -> dict[str, Any]:
        """Calibration error, sets, novelty."""
        from warmstart.tasks.classify.trusted import described

        return described(fitted, outputs, targets)

    def table(
        self, fitted: Classifier, outputs: ClassOutputs, targets: ClassTargets
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        """The true class, the predicted one, its probability."""
        names, shares = fitted.class_names, outputs.probabilities
        predicted = fitted.reading.decide(shares)
        rows = [
            (names[true], names[label], f"{float(p[label]):.6f}")
            for true, label, p in zip(targets.labels, predicted, shares, strict=True)
        ]
        return ("true", "predicted", "probability"), rows

    def about(self, train: ClassTargets) -> dict[str, Any]:
        """The most frequent class."""
        return {"majority_class": train.class_names[train.majority()]}

    def parity(
        self, fitted: Classifier, reference: ClassOutputs, found: ClassOutputs, *, targets: ClassTargets | None, **said: Any
    ) -> "Parity":
        """Of probabilities and decisions."""
        from warmstart.tasks.classify.parity import compare

        return compare(
            reference.probabilities,
            found.probabilities,
            labels=None if targets is None else targets.labels,
            class_names=fitted.class_names,
            decide=fitted.reading.decide,
            **said,
        )

    def model(self, **parts: Any) -> "ClassModel":
        """With what a classifier has beside."""
        from warmstart.tasks.classify.model import ClassModel

        return ClassModel(**parts)

    def card(self, facts: ModelFacts, place: str) -> str:
        """See `predicting.card_of`."""
        from warmstart.report.cards import model_card

        return model_card(facts, place, self)

    def columns(self, fitted: Classifier) -> tuple[str, ...]:
        """None."""
        return ()

    def judged(self, fitted: Classifier, listing: Listing) -> tuple[Listing, tuple[Problem, ...]]:
        """Those of classes that the model knows, by the model's own names of them; folders in folders, where its classes are nested."""
        # One that was trained when space around a folder's name counted has it still.
        listing = as_classes_are_named(listing, fitted.class_names)
        own = {class_name_of(name): name for name in fitted.class_names}
        examples = [replace(e, class_name=own.get(e.class_name, e.class_name)) for e in listing.examples]
        names = sorted(own.get(name, name) for name in listing.class_names)
        foreign = [name for name in names if name not in fitted.class_names]
        kept = [e for e in examples if e.class_name not in foreign]
        problems: tuple[Problem, ...] = ()
        if foreign:
            known = ", ".join(fitted.class_names[:20]) + (" …" if len(fitted.class_names) > 20 else "")
            message = f"classes {', '.join(foreign)} are not among the model's ({known}); their pictures are left out."
            problems = (Problem(path=listing.source, kind="foreign-class", message=message),)
        return replace(listing, examples=tuple(kept), class_names=fitted.class_names), problems

    def targets_for(self, fitted: Classifier, examples: Sequence[Example]) -> ClassTargets:
        """Labels; -1 for a class that the model does not know."""
        label_of = {name: i for i, name in enumerate(fitted.class_names)}
        labels = np.array([label_of.get(example.class_name, -1) for example in examples], dtype=np.int64)
        return ClassTargets(class_names=fitted.class_names, labels=labels)

    graph_outputs: ClassVar[Mapping[str, str]] = {
        "probabilities": "float32 (batch, classes), calibrated, summing to 1",
        "logits": "before the temperature",
    }

    def graph(self, fitted: Classifier) -> "nn.Module":
        """Probabilities, then logits."""
        from warmstart.tasks.classify.heads_in_torch import Probabilities

        return Probabilities(fitted.head, fitted.temperature)

    def exported(self, fitted: Classifier) -> dict[str, Any]:
        """Names, threshold, scores for sets of classes; not the bank that novelty is told by, which is larger than a small network."""
        return {
            "class_names": list(fitted.class_names),
            "positive": fitted.positive,
            "threshold": fitted.threshold,
            "temperature": fitted.temperature,
            "head": fitted.head_name,
            "taps": list(fitted.taps),
            "trust": fitted.trust
            and {
                "calibration": [float(f"{score:.6g}") for score in fitted.trust.calibration],
                "test": [float(f"{score:.6g}") for score in fitted.trust.test],
            },
        }

    def reading(self, document: Mapping[str, Any]) -> ClassAnswers:
        """Answers without novelty."""
        class_names = read_class_names(document["class_names"])
        positive, threshold = read_threshold(document["positive"], document["threshold"], class_names)
        head = document.get("head")
        return ClassAnswers(
            class_names=class_names,
            positive=positive,
            threshold=threshold,
            trust=_exported_trust(required(document["trust"], "trust", Mapping | None)),
            uncalibrated=" when it was exported. Train again, then export again, for one that is.",
            head_name=head if isinstance(head, str) else None,
        )

    def exported_model(self, *opened: Any) -> "ClassExported":
        """With what a classifier has beside."""
        from warmstart.tasks.classify.model import ClassExported

        return ClassExported(*opened)

    def described(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Classes, and whether sets of them can be asked for."""
        return {
            "head": document["head"]["name"],
            "classes": list(read_class_names(document["class_names"])),
            "calibrated": document.get("trust") is not None,
            "positive": document["positive"],
        }

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Classifier:
        """Out of a model folder of any format."""
        required(document["head"], "head", Mapping)
        required(document["head"]["name"], "head.name", str)
        trust = required(document.get("trust"), "trust", Mapping | None)  # not in the folders of models from before it
        head = head_class(document["head"]["name"])
        class_names = read_class_names(document["class_names"])
        positive, threshold = read_threshold(document["positive"], document["threshold"], class_names)
        required(document["about"].get("majority_class"), "about.majority_class", str | None)
        if trust and required(trust["novelty"], "trust.novelty", Mapping | None):
            check_taps("trust.novelty.taps", trust["novelty"]["taps"], dict(document["layout"]))
        return Classifier(
            class_names=class_names,
            taps=tuple(required(document["taps"], "taps", tuple[str, ...])),
            head=head.from_arrays(document["head"]["settings"], _below("head.", arrays)),
            head_name=document["head"]["name"],
            temperature=read_temperature(document["temperature"]),
            positive=positive,
            threshold=threshold,
            trust=Trust.from_arrays(trust, _below("trust.", arrays)) if trust else None,
        )


TASK = ClassifyTask()


def _exported_trust(values: Mapping[str, Any] | None) -> Trust | None:
    if values is None:
        return None
    scores = {name: required(values[name], f"trust.{name}", tuple[float, ...]) for name in ("calibration", "test")}
    return Trust.from_arrays({"novelty": None}, {name: np.array(scores[name], np.float64) for name in scores})


def _below(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
