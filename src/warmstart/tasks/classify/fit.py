"""The head on the taps and with the penalty that do best on pictures it has not seen.

N examples, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from warmstart.errors import UsageError
from warmstart.extraction.features import Rows
from warmstart.heads.standardising import Array
from warmstart.inspection import speed
from warmstart.plan import GIVEN, HEAD_WAS_GIVEN, MODULE
from warmstart.strategy.resize import Judged
from warmstart.task_protocol import Fitting, Indices, Learnt, Part
from warmstart.tasks.classify.answers import ClassOutputs
from warmstart.tasks.classify.classifier import Classifier
from warmstart.tasks.classify.heads.catalog import HeadSpec
from warmstart.tasks.classify.metrics import log_losses
from warmstart.tasks.classify.selection import ENOUGH_VAL, FOLDS, Choice, choose_head, refit
from warmstart.tasks.classify.targets import ClassTargets
from warmstart.tasks.classify.temperature import fit_temperature, softmax


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassLearnt(Learnt[Classifier]):
    """With the whole of the choice."""

    choice: Choice


def fitted(train: Part[ClassTargets], val: Part[ClassTargets], run: Fitting) -> ClassLearnt:
    """See `heads.selection`."""
    names, n = train.targets.class_names, len(train)

    def reader(taps: tuple[str, ...]) -> Callable[[Indices], Array]:
        return lambda at: _rows(train, val, at, n).features(taps)

    plan = run.plan
    choice = choose_head(
        plan.head,
        {name: reader(taps) for name, taps in run.tap_sets.items()},
        np.concatenate([train.targets.labels, val.targets.labels]),
        n_classes=len(names),
        train=np.arange(n),
        val=np.arange(n, n + len(val)),
        units=np.concatenate([train.units, val.units]),
        class_weight=plan.class_weight,
        seed=run.seed,
        spec=_given(run),
    )
    return ClassLearnt(
        fitted=Classifier(
            class_names=names,
            taps=run.tap_sets[choice.tap_set],
            head=choice.head,
            head_name=plan.head,
            positive=plan.positive,
            threshold=plan.threshold,
        ),
        tap_set=choice.tap_set,
        by_folds=choice.method == "folds",
        held_out=ClassOutputs(probabilities=softmax(choice.apart_logits, 1.0), logits=choice.apart_logits),
        record=choice.to_dict(),
        penalty=choice.settings.get("penalty", 0.0),
        choice=choice,
    )


def _given(run: Fitting) -> HeadSpec | None:
    if run.plan.head not in (GIVEN, MODULE):
        return None
    if run.head is None:
        raise UsageError(HEAD_WAS_GIVEN)
    if run.plan.head == MODULE:
        from warmstart.tasks.classify.heads.from_torch import module_spec

        return module_spec(run.head, run.seed)
    from warmstart.tasks.classify.heads.from_sklearn import given_spec

    return given_spec(run.head)


def refitted(learnt: ClassLearnt, part: Part[ClassTargets]) -> Classifier:
    """The chosen head on all of a part."""
    from dataclasses import replace

    names, X = part.targets.class_names, part.rows().features(learnt.fitted.taps)
    return replace(learnt.fitted, head=refit(learnt.choice, X, part.targets.labels, n_classes=len(names)))


def judged(learnt: ClassLearnt, targets: ClassTargets) -> Judged:
    """What train pictures lost by what was said of them while folds held them out; at the temperature that fits best.

    It allows for a mistake that was not seen: two modes with none would otherwise differ by numerical dust.
    """
    logits, labels = learnt.held_out.logits, targets.labels
    temperature = fit_temperature(logits, labels, doubt=1 / (len(labels) + 2))
    return Judged(
        losses=log_losses(softmax(logits, temperature), labels),
        words="log-loss",
        right=logits.argmax(axis=1) == labels,
    )


def fit_seconds(n_train: int, widths: Sequence[int], targets: ClassTargets, val: ClassTargets) -> float:
    """About how long `fitted` takes for sets of taps of these widths. ``targets``: of train."""
    k = len(targets.class_names)
    by_class = np.bincount(val.labels, minlength=k)
    return speed.fit_seconds(n_train, widths, n_outputs=k, folds=1 if by_class.min() >= ENOUGH_VAL else FOLDS)


def _rows(train: Part[ClassTargets], val: Part[ClassTargets], at: Indices, n: int) -> Rows:
    """Of positions among those of train and then those of val; all are of one of the two."""
    return train.read(at) if not len(at) or at.max() < n else val.read(at - n)
