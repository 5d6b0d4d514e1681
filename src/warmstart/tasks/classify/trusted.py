"""How far to trust a classifier: a temperature, scores for sets of classes, novelty; and what became of them on test.

Novelty needs no label; its bank is what was learnt from, and of a trained network, which has learnt train by heart, val alone.

N pictures, K classes.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from warmstart.evaluation.novelty import UNLIKE, Novelty
from warmstart.extraction.features import Rows
from warmstart.tasks.classify.answers import ClassOutputs
from warmstart.tasks.classify.classifier import Classifier
from warmstart.tasks.classify.conformal import conformity, of_label, prediction_sets
from warmstart.tasks.classify.targets import ClassTargets
from warmstart.tasks.classify.temperature import (
    error_when_calibrated,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
    softmax,
)
from warmstart.tasks.classify.tree import sure_on_test
from warmstart.tasks.classify.trust import Trust

COVERAGES = (0.80, 0.90, 0.95, 0.99)  # in the record; a model makes sets for any
NOVELTY_TAPS = ("pooled",)


def calibrated(fitted: Classifier, outputs: ClassOutputs, targets: ClassTargets, *, bank: Rows | None, seed: int) -> Classifier:
    """With the temperature, the scores for sets of classes, and the bank of rows that novelty is told by."""
    logits, labels = outputs.logits, targets.labels
    assert logits is not None
    temperature = fit_temperature(logits, labels, doubt=1 / (len(labels) + 2))
    scores = of_label(conformity(softmax(logits, temperature)), labels)
    novelty = None if bank is None else Novelty.of(bank.features(NOVELTY_TAPS), NOVELTY_TAPS, seed=seed)
    return replace(fitted, temperature=temperature, trust=Trust(calibration=np.sort(scores), test=np.empty(0), novelty=novelty))


def tested(fitted: Classifier, outputs: ClassOutputs, targets: ClassTargets) -> Classifier:
    """The one that knows how often its sets hold the true class of test."""
    assert fitted.trust is not None
    scores = np.sort(of_label(conformity(outputs.probabilities), targets.labels))
    return replace(fitted, trust=replace(fitted.trust, test=scores))


def described(fitted: Classifier, outputs: ClassOutputs, targets: ClassTargets) -> dict[str, Any]:
    """A part of a run record, on test, which may be empty."""
    assert fitted.trust is not None
    probabilities, labels = outputs.probabilities, targets.labels
    out: dict[str, Any] = {"temperature": fitted.temperature}
    if not len(labels):
        return out
    predicted = fitted.reading.decide(probabilities)
    before = uncalibrated(probabilities, fitted.temperature)
    confidence = probabilities[np.arange(len(labels)), predicted]
    known = fitted.trust.novelty
    return out | {
        "ece": {
            "before": expected_calibration_error(reliability_bins(before, labels, predicted)),
            "after": expected_calibration_error(reliability_bins(probabilities, labels, predicted)),
            "p95_when_calibrated": error_when_calibrated(confidence),
        },
        "sets": [_sets(fitted.trust, share, probabilities) for share in COVERAGES],
        "novelty": None if outputs.novelty is None or known is None else _novelty(known, outputs.novelty),
        **({"sure": sure} if (sure := sure_on_test(fitted.class_names, probabilities, labels)) else {}),
    }


def uncalibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """What the probabilities (N, K) would be at temperature 1: logits are their logarithms times it, up to a constant a row."""
    return np.asarray(softmax(temperature * np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny))))


def _sets(trust: Trust, share: float, probabilities: np.ndarray) -> Mapping[str, Any]:
    sizes = prediction_sets(probabilities, trust.limit(share)).sum(axis=1)
    return {
        **trust.coverage(share).to_dict(),
        "mean_size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
    }


def _novelty(known: Novelty, of_test: np.ndarray) -> dict[str, Any]:
    return {
        "bank": len(known.bank),
        "unlike_from": UNLIKE,
        "test_unlike": float((of_test >= UNLIKE).mean()),  # about one of a hundred where test is like training
    }
