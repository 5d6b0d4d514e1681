"""Which pictures say how far a model can be trusted: none that it was fitted on, and none whose own label had a part in a choice.

    frozen   choice by folds of train → the logits of held-out folds │ each from the setting that
             choice on val            → the logits of val            │ the *other* pictures chose
             and, where trained networks stood against it on val: a half that was kept apart, or, if val is too small, not apart
    trained  a half of val chooses taps, penalty and epoch, the other half calibrates; a val that is too small for halves does both

They give the temperature and the scores that sets of classes are made from. Novelty needs no label; its bank is train and val, and of a
trained network, which has learnt train by heart, val alone. Reasons and measurements: docs/trust.md.

N pictures, K classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from warmstart.evaluation.calibration import (
    error_when_calibrated,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
    softmax,
)
from warmstart.evaluation.conformal import conformity, of_label, prediction_sets
from warmstart.evaluation.novelty import UNLIKE, Novelty
from warmstart.evaluation.trust import Trust
from warmstart.extraction.features import columns
from warmstart.model.predictor import Model
from warmstart.session.probe import Probe

COVERAGES = (0.80, 0.90, 0.95, 0.99)  # in the record; a model makes sets for any
NOVELTY_TAPS = ("pooled",)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Held-out logits (N, K), their labels (N,), and what to say about them."""

    logits: np.ndarray
    labels: np.ndarray
    on: str  # which pictures, in words
    apart: bool  # whether none of them had a part in choosing what it was judged by

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"on": self.on, "pictures": len(self.labels), "apart": self.apart}


def of_frozen(seen: Probe) -> Calibration:
    """What calibrates a head on the frozen network."""
    choice, n = seen.choice, len(seen.choice.held_out)
    by_folds = choice.method == "folds"
    if len(seen.calibrating) and not by_folds:  # val also decides between it and a trained network
        logits = choice.head.logits(seen.features(seen.calibrating))
        on = f"{len(seen.calibrating):,} pictures of val"
        return Calibration(logits=logits, labels=seen.dataset.targets.labels[seen.calibrating], on=on, apart=True)
    on = f"{n:,} pictures of {'train, each held out once' if by_folds else 'val'}"
    return Calibration(logits=choice.apart_logits, labels=seen.dataset.targets.labels[choice.held_out], on=on, apart=True)


def of_tuned(seen: Probe, model: Model, rows: np.ndarray) -> Calibration:
    """What calibrates a trained network, whose ``rows`` (N of the data set, D) are filled for val."""
    apart = bool(len(seen.calibrating))
    positions = seen.calibrating if apart else seen.choosing
    return Calibration(
        logits=model.head.logits(columns(rows[positions], model.layout, model.taps)),
        labels=seen.dataset.targets.labels[positions],
        on=f"{len(positions):,} pictures of val" + ("" if apart else ", by which the epoch was chosen as well"),
        apart=apart,
    )


def also_chosen_by(calibration: Calibration, seen: Probe) -> Calibration:
    """What calibrated a frozen network that was then held against trained ones on the part of val that chooses."""
    if seen.choice.method == "folds" or len(seen.calibrating):
        return calibration
    return replace(calibration, on=f"{calibration.on}, by which it was chosen as well", apart=False)


def calibrated(model: Model, calibration: Calibration, bank: np.ndarray, *, seed: int) -> Model:
    """The model with the temperature, the scores for sets of classes, and the bank of rows (M, D) that novelty is told by."""
    temperature = fit_temperature(calibration.logits, calibration.labels, doubt=1 / (len(calibration.labels) + 2))
    scores = of_label(conformity(softmax(calibration.logits, temperature)), calibration.labels)
    novelty = Novelty.of(columns(bank, model.layout, NOVELTY_TAPS), NOVELTY_TAPS, seed=seed)
    trust = Trust(calibration=np.sort(scores), test=np.empty(0), novelty=novelty)
    return replace(model, temperature=temperature, trust=trust)


def tested(model: Model, probabilities: np.ndarray, labels: np.ndarray) -> Model:
    """The model that knows how often its sets hold the true class, from probabilities (N, K) and labels of test."""
    assert model.trust is not None
    return replace(model, trust=replace(model.trust, test=np.sort(of_label(conformity(probabilities), labels))))


def describe(
    model: Model, calibration: Calibration, probabilities: np.ndarray, labels: np.ndarray, rows: np.ndarray
) -> dict[str, Any]:
    """The `trust` part of a run record. probabilities, labels and rows: of test, possibly none."""
    assert model.trust is not None
    out: dict[str, Any] = {"temperature": model.temperature, "calibration": calibration.to_dict()}
    if not len(labels):
        return out
    predicted = model.decide(probabilities)
    before = uncalibrated(probabilities, model.temperature)
    confidence = probabilities[np.arange(len(labels)), predicted]
    novelty = model.novelty(rows)
    return out | {
        "ece": {
            "before": expected_calibration_error(reliability_bins(before, labels, predicted)),
            "after": expected_calibration_error(reliability_bins(probabilities, labels, predicted)),
            "p95_when_calibrated": error_when_calibrated(confidence),
        },
        "sets": [_sets(model, share, probabilities) for share in COVERAGES],
        "novelty": None if novelty is None or model.trust.novelty is None else _novelty(model.trust.novelty, novelty),
    }


def uncalibrated(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """What the probabilities (N, K) would be at temperature 1: logits are their logarithms times it, up to a constant a row."""
    return np.asarray(softmax(temperature * np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float64).tiny))))


def _sets(model: Model, share: float, probabilities: np.ndarray) -> Mapping[str, Any]:
    assert model.trust is not None
    sizes = prediction_sets(probabilities, model.trust.limit(share)).sum(axis=1)
    return {
        **model.trust.coverage(share).to_dict(),
        "mean_size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
    }


def _novelty(known: Novelty, of_test: np.ndarray) -> dict[str, Any]:
    return {
        "bank": len(known.bank),
        "unlike_from": UNLIKE,
        "test_unlike": float((of_test >= UNLIKE).mean()),  # about one of a hundred where test is like training
    }
