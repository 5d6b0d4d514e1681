"""Which taps and which setting of a head: tried on pictures the fit has not seen, never on test.

    for each set of taps: fit_path over the grid → held-out logits → temperature → log-loss → the candidate with the lowest

Held out is val where every class has `ENOUGH_VAL` pictures in it. Otherwise val is too small to choose by, and each picture of
train is held out once, in stratified folds that divide no copies and no group; val then stays untouched and its scores flatter nobody.

Why log-loss, when accuracy is what people ask for: accuracy counts pictures, its standard error on a few hundred is larger than
what candidates differ by, and the highest of many such counts is the luckiest. Log-loss uses how sure each picture was. It is
taken at the candidate's own best temperature, as the model would be used, so that no head is punished for the scale of its
logits. Measured on 6 splits of solar cells and 3 of clothing (frozen EfficientNet-Lite0), mean test accuracy when chosen by
log-loss or by accuracy: solar cells on val 0.872 or 0.861, by folds 0.869 or 0.871; clothing by folds 0.888 or 0.883. Asking
first for an accuracy within one standard error of the best changed none of the choices by log-loss.

N examples, D features, K classes, F folds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from warmstart.errors import UnknownNameError
from warmstart.heads.folds import dealt, units_by_class
from warmstart.heads.standardising import Array, blocks
from warmstart.plan import CLASS_WEIGHTS
from warmstart.tasks.classify.heads.catalog import HeadSpec, head_spec
from warmstart.tasks.classify.heads.protocol import Head, Labels, Settings
from warmstart.tasks.classify.metrics import log_losses
from warmstart.tasks.classify.temperature import fit_temperature, softmax

Indices = NDArray[np.int64]
# Name of a tap set → its features (N, D), or what reads some of their rows: (M,) → (M, D).
_Source = Array | Callable[[Indices], Array]
FeatureSets = Mapping[str, _Source]

ENOUGH_VAL = 20  # pictures per class: below, one picture moves its class's accuracy by more than 5 points
FOLDS = 5
FEW_FOLDS = 3
MANY_EXAMPLES = 5000  # from here on two thirds of train are plenty to fit on, and every picture is held out anyway
PATIENCE = 2  # the held-out log-loss falls and then rises along the grid; two rises are not noise any more


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One set of taps with one setting, and how it did on held-out pictures."""

    tap_set: str
    settings: Settings
    accuracy: float
    log_loss: float  # at the candidate's own best temperature, as the model would be used


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """What was chosen, from what, and the head fitted with it on train only."""

    head_name: str
    spec: HeadSpec
    tap_set: str
    settings: Settings
    method: Literal["val", "folds"]
    folds: int | None  # None when chosen on val
    candidates: tuple[Candidate, ...]  # in the order tried
    head: Head
    held_out: Indices  # the examples that the choice was made on: val, or train
    held_out_logits: Array  # (len(held_out), K), of heads that had not seen them
    apart_logits: Array  # the same, of the candidate that the *other* pictures chose: what probabilities are calibrated on
    temperature: float  # fitted on held_out_logits
    class_weight: str
    fitted_on: int  # how many examples a candidate learnt from

    def to_dict(self) -> dict[str, Any]:
        """The table for a run record, JSON-ready."""
        return {
            "head": self.head_name,
            "tap_set": self.tap_set,
            "settings": dict(self.settings),
            "method": self.method,
            "folds": self.folds,
            "temperature": self.temperature,
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }


def choose_head(
    head_name: str,
    features: FeatureSets,
    labels: Labels,
    *,
    n_classes: int,
    train: Indices,
    val: Indices,
    units: Indices | None = None,
    class_weight: str = "none",
    seed: int = 0,
    spec: HeadSpec | None = None,
) -> Choice:
    """The best set of taps and setting of a head for ``labels`` (N,); ``train`` and ``val`` index the N examples.

    ``units`` (N,): examples with the same number are held out together (see `heads.folds`). Of the N rows only those in train and val
    are read; where features come as functions, those of one set at a time. ``spec``: of a head that is not in the catalogue.
    Raises UnknownNameError for an unknown head or class weight.
    """
    spec = spec or head_spec(head_name)
    trial = _trial(labels, n_classes, train, val, units, class_weight, seed)
    attempts = [attempt for tap_set, source in features.items() for attempt in _attempts(spec, tap_set, source, trial)]
    best = min(attempts, key=lambda attempt: attempt.candidate.log_loss)  # of equals the first, which is more regularised
    fitted_on = trial.fitted_on
    head = spec.head(**same_prior(best.candidate.settings, fitted_on, len(train))).fit(
        _rows(features[best.candidate.tap_set], train), trial.y, n_classes=n_classes, sample_weight=trial.weights
    )
    return Choice(
        head_name=head_name,
        spec=spec,
        tap_set=best.candidate.tap_set,
        settings=best.candidate.settings,
        method="val" if trial.fold_of is None else "folds",
        folds=None if trial.fold_of is None else int(trial.fold_of.max()) + 1,
        candidates=tuple(attempt.candidate for attempt in attempts),
        head=head,
        held_out=trial.held_out,
        held_out_logits=best.logits,
        apart_logits=_chosen_by_others(attempts, trial, seed),
        temperature=best.temperature,
        class_weight=class_weight,
        fitted_on=fitted_on,
    )


def refit(choice: Choice, X: Array, y: Labels, *, n_classes: int) -> Head:
    """The chosen head fitted anew on X (N, D) of the chosen taps and y (N,): train and val together, once all is chosen."""
    weights = class_weights(y, n_classes, choice.class_weight)
    settings = same_prior(choice.settings, choice.fitted_on, len(y))
    return choice.spec.head(**settings).fit(X, y, n_classes=n_classes, sample_weight=weights[y])


def same_prior(settings: Settings, chosen_with: int, fitted_on: int) -> dict[str, Any]:
    """Settings chosen with so many examples, for a fit on more.

    A penalty beside the mean loss is a Gaussian prior of precision penalty · N (Bishop, Pattern Recognition and Machine Learning,
    section 4.5): the prior does not know how many examples will follow, so the penalty falls as 1 / N.
    """
    scaled = {"penalty": settings["penalty"] * chosen_with / fitted_on} if "penalty" in settings else {}
    return {**settings, **scaled}


def class_weights(y: Labels, n_classes: int, class_weight: str) -> Array:
    """(K,): 1 for 'none'; N / (K · count) for 'balanced', so that every class weighs the same and the mean weight is 1."""
    if class_weight == "none":
        return np.ones(n_classes, np.float32)
    if class_weight != "balanced":
        raise UnknownNameError("class weight", class_weight, CLASS_WEIGHTS)
    count = np.bincount(y, minlength=n_classes)
    return (len(y) / (np.count_nonzero(count) * np.maximum(count, 1))).astype(np.float32)


def stratified_folds(y: Labels, seed: int, units: Indices | None = None) -> Indices:
    """(N,): the fold that holds each example out; see `heads.folds.dealt`.

    `FOLDS`, or `FEW_FOLDS` for many examples, or as many as the smallest class has units, but at least 2.
    """
    counts = units_by_class(y, units)
    wanted = FOLDS if len(y) < MANY_EXAMPLES else FEW_FOLDS
    return dealt(y, max(2, min(wanted, int(counts[counts > 0].min()))), seed, units)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Trial:
    """Who is fitted on and who is held out: the same for every candidate."""

    y: Labels  # of train
    weights: Array  # of train, by class
    train: Indices
    fold_of: Indices | None  # of train; None: val is held out
    held_out: Indices
    held_out_y: Labels
    held_out_units: Indices | None
    held_out_weights: Array
    n_classes: int

    @property
    def fitted_on(self) -> int:
        """How many examples a candidate learns from."""
        return len(self.train) if self.fold_of is None else round(len(self.train) * (1 - 1 / (int(self.fold_of.max()) + 1)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Attempt:
    candidate: Candidate
    logits: Array  # of the held-out pictures
    losses: NDArray[np.float64]  # of each of them, weighted
    temperature: float


def _trial(
    labels: Labels, n_classes: int, train: Indices, val: Indices, units: Indices | None, class_weight: str, seed: int
) -> _Trial:
    y = labels[train]
    weights = class_weights(y, n_classes, class_weight)
    by_val = np.bincount(labels[val], minlength=n_classes).min() >= ENOUGH_VAL
    held_out = val if by_val else train
    return _Trial(
        y=y,
        weights=weights[y],
        train=train,
        fold_of=None if by_val else stratified_folds(y, seed, None if units is None else units[train]),
        held_out=held_out,
        held_out_y=labels[held_out],
        held_out_units=None if units is None else units[held_out],
        held_out_weights=weights[labels[held_out]],
        n_classes=n_classes,
    )


def _attempts(spec: HeadSpec, tap_set: str, source: _Source, trial: _Trial) -> Iterator[_Attempt]:
    """Down the grid until the held-out log-loss has not improved for `PATIENCE` settings."""
    lowest, without_gain = np.inf, 0
    for settings, logits in zip(spec.grid, _held_out_logits(spec, source, trial), strict=False):
        temperature = fit_temperature(logits, trial.held_out_y)
        probabilities = softmax(logits, temperature)
        losses = log_losses(probabilities, trial.held_out_y) * trial.held_out_weights
        loss = float(losses.sum() / trial.held_out_weights.sum())
        correct = probabilities.argmax(axis=1) == trial.held_out_y
        candidate = Candidate(
            tap_set=tap_set,
            settings=settings,
            accuracy=float(np.average(correct, weights=trial.held_out_weights)),
            log_loss=loss,
        )
        yield _Attempt(candidate=candidate, logits=logits, losses=losses, temperature=temperature)
        lowest, without_gain = (loss, 0) if loss < lowest else (lowest, without_gain + 1)
        if without_gain == PATIENCE:
            return


def _chosen_by_others(attempts: Sequence[_Attempt], trial: _Trial, seed: int) -> Array:
    """Logits (len(held_out), K) in which no picture's own label had a part in choosing the candidate that they come from.

    The best of many candidates flatters on the pictures that it was the best on. So these are dealt into folds, and each fold is
    given the logits of the candidate that the other folds prefer (cross-validating the choice: S. Varma, R. Simon, BMC Bioinformatics
    7:91, 2006). Nothing is fitted for it. Mostly all folds agree, and then these are the logits of the candidate that was chosen.
    """
    fold_of = stratified_folds(trial.held_out_y, seed, trial.held_out_units) if trial.fold_of is None else trial.fold_of
    losses = np.stack([attempt.losses for attempt in attempts])  # (candidates, held out)
    logits = np.empty_like(attempts[0].logits)
    for fold in range(int(fold_of.max()) + 1):
        inside = fold_of == fold
        logits[inside] = attempts[int(losses[:, ~inside].sum(axis=1).argmin())].logits[inside]
    return logits


def _held_out_logits(spec: HeadSpec, source: _Source, trial: _Trial) -> Iterator[Array]:
    """For each setting of the grid, logits (len(held_out), K) by heads that have not seen the picture."""
    X_train = _rows(source, trial.train)
    if trial.fold_of is None:
        X_val = _rows(source, trial.held_out)
        path = spec.head.fit_path(X_train, trial.y, n_classes=trial.n_classes, weights=trial.weights[None], grid=spec.grid)
        for (head,) in path:
            yield head.logits(X_val)
        return
    folds = [trial.fold_of == fold for fold in range(int(trial.fold_of.max()) + 1)]
    weights = np.stack([np.where(held_out, 0, trial.weights) for held_out in folds])
    for heads in spec.head.fit_path(X_train, trial.y, n_classes=trial.n_classes, weights=weights, grid=spec.grid):
        logits = np.empty((len(X_train), trial.n_classes), np.float32)
        for held_out, head in zip(folds, heads, strict=True):
            rows = np.flatnonzero(held_out)
            for block in blocks(len(rows)):  # a fifth of the features need not be copied at once
                logits[rows[block]] = head.logits(X_train[rows[block]])
        yield logits


def _rows(source: _Source, rows: Indices) -> Array:
    return source(rows) if callable(source) else source[rows]
