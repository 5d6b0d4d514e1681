"""Learning curves: what transfer brought, read off accuracy on val over wall-clock time, and whether a run overfitted.

    one curve   ── shape ──────────► start, slope, asymptote
    two curves  ── compare_shapes ─► a verdict and a sentence on each of the three
    its points  ── overfitting ────► what happened and what to do about it, or None

Accuracy on val describes training and is what epochs are chosen by: the best of many epochs flatters, more so the more there
were. How good a model is, its scores on test say.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CLEARLY_FASTER = 2.0  # times: evaluations come once an epoch, and when a noisy curve first touches a level is partly luck
WINDOW = 3  # epochs that are averaged before the loss of two times is compared
SURE = 4.0  # standard errors by which a loss must have changed
WORTH_SAYING = 0.05  # share of itself by which val loss must have risen

AGAINST_OVERFITTING = (
    "What is kept is the epoch that was best on val. To gain from more epochs: stronger augmentation, more weight decay, label "
    "smoothing or mixup, a later cut (less to train), or more pictures."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One evaluation on val. Losses in nats, as `training.events.Epoch` tells them."""

    epoch: int  # 0: before the first step
    seconds: float  # wall-clock since the plan began, everything included: listing, extraction, training, evaluation
    train_loss: float | None  # None at epoch 0, and at the first evaluation after a cut was moved
    val_loss: float
    val_accuracy: float  # 0 … 1


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """All evaluations of one plan, in order; a frozen plan has exactly one: its head, fitted.

    Raises ValueError for no points, or epochs or seconds that run backwards.
    """

    name: str  # of the plan, as the user wrote it
    points: tuple[CurvePoint, ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError(f"the curve of {self.name!r} has no points; a plan is evaluated at least once")
        for before, after in zip(self.points, self.points[1:], strict=False):
            if after.epoch <= before.epoch or after.seconds < before.seconds:
                raise ValueError(
                    f"the curve of {self.name!r} runs backwards: epoch {before.epoch} at {before.seconds} s is followed by "
                    f"epoch {after.epoch} at {after.seconds} s"
                )


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The three things transfer can bring: a higher start, slope, asymptote.

    L. Torrey, J. Shavlik, "Transfer Learning", Handbook of Research on Machine Learning Applications, 2009, chapter 11.

    The slope as the time to 90 % of the curve's *own* asymptote favours curves with a low one: who learns little has learned
    nearly all of it soon, and where one class is frequent, naming always that one may be 90 % of it. `compare_shapes` therefore
    judges by the time to the same accuracy.
    """

    start: float  # accuracy before the first epoch; of a frozen plan, its only one
    after_first_epoch: float | None  # None when there was no epoch
    asymptote: float  # the best
    epochs_to_90: int  # first epoch with accuracy >= 0.9 × asymptote
    seconds_to_90: float


Verdict = Literal["helped", "hurt", "no clear difference"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What the warm start did to one of the three, and the numbers that say so in a sentence or two."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What a warm start brought, measured against a cold one."""

    warm: str  # names of the plans
    cold: str
    start: Effect
    slope: Effect
    asymptote: Effect

    @property
    def sentences(self) -> tuple[str, str, str]:
        """On start, slope and asymptote."""
        return self.start.sentence, self.slope.sentence, self.asymptote.sentence


def shape(curve: LearningCurve) -> Shape:
    """Start, slope and asymptote of a curve."""
    first, best = curve.points[0], max(point.val_accuracy for point in curve.points)
    nearly = _first_at(curve, 0.9 * best)
    return Shape(
        start=first.val_accuracy,
        after_first_epoch=curve.points[1].val_accuracy if len(curve.points) > 1 else None,
        asymptote=best,
        epochs_to_90=nearly.epoch,
        seconds_to_90=nearly.seconds,
    )


def compare_shapes(warm: LearningCurve, cold: LearningCurve, *, val_pictures: int) -> Transfer:
    """What the warm start brought, measured against the cold one on the same ``val_pictures`` and under the same budget.

    A difference in accuracy counts when it is beyond the 95 % interval that val pictures leave it (see `_chance`), a
    difference in time from `CLEARLY_FASTER` on.
    """
    return Transfer(
        warm=warm.name,
        cold=cold.name,
        start=_start(warm, cold, val_pictures),
        slope=_slope(warm, cold),
        asymptote=_asymptote(warm, cold, val_pictures),
    )


def overfitting(points: Sequence[CurvePoint]) -> str | None:
    """What overfitting did (`AGAINST_OVERFITTING`: what to do); None where there is none, or too few epochs (5 at least) to see it.

    It is a gap between val and training loss that *grows*: since its lowest time, val loss has risen while training loss has
    fallen. The gap's level says nothing, because mixup, label smoothing, class weights and augmentation make the training
    loss a different quantity; its change does, and so a pause in which both rise or both fall is not reported.

    "Lowest" and "now" are means of `WINDOW` epochs that do not overlap. Both changes must exceed `SURE` standard errors,
    where the noise from epoch to epoch is read off the curve itself since its lowest time (before, high learning rates make
    it larger): for white noise of deviation σ the second differences have deviation √6 σ, and their median size is 0.6745
    times that, whatever smooth trend lies beneath. Of simulated runs of 5 to 40 epochs whose val loss is only noise around a
    level, 3 in 100 at most were reported, whatever the size of the noise.
    """
    seen = [point for point in points if math.isfinite(point.val_loss) and math.isfinite(point.train_loss or 0.0)]
    if len(seen) < 2 * WINDOW:
        return None
    val = np.array([point.val_loss for point in seen])
    means = np.convolve(val, np.full(WINDOW, 1 / WINDOW), mode="valid")
    lowest = int(np.argmin(means[: len(val) - 2 * WINDOW + 1]))
    then, now = seen[lowest : lowest + WINDOW], seen[-WINDOW:]
    train_then, train_now = _train_losses(then), _train_losses(now)
    if not train_then or not train_now:
        return None
    rise = float(means[-1] - means[lowest])
    fall = float(np.mean(train_then) - np.mean(train_now))
    sure_rise = SURE * _noise(val[lowest:]) * math.sqrt(2 / WINDOW)
    sure_fall = SURE * _noise(_train_losses(seen[lowest:])) * math.sqrt(1 / len(train_then) + 1 / len(train_now))
    if rise <= max(sure_rise, WORTH_SAYING * means[lowest]) or fall <= sure_fall:
        return None
    accuracy_then, accuracy_now = (float(np.mean([point.val_accuracy for point in window])) for window in (then, now))
    meaning = (
        "the network unlearned what carries over to new pictures"
        if accuracy_now < accuracy_then - 0.005
        else "so far it grew overconfident rather than worse"
    )
    return (
        f"Overfitting since about epoch {then[WINDOW // 2].epoch}: loss on val rose from {means[lowest]:.3f} to {means[-1]:.3f} "
        f"while training loss fell from {np.mean(train_then):.3f} to {np.mean(train_now):.3f} (means of up to {WINDOW} epochs), "
        f"so the gap between them grew by {rise + fall:.3f}. Accuracy on val went from {accuracy_then:.1%} to "
        f"{accuracy_now:.1%}: {meaning}."
    )


def _first_at(curve: LearningCurve, accuracy: float) -> CurvePoint:
    """For an accuracy that the curve is known to reach."""
    return next(point for point in curve.points if point.val_accuracy >= accuracy)


def _start(warm: LearningCurve, cold: LearningCurve, n: int) -> Effect:
    of_warm, of_cold = shape(warm), shape(cold)
    verdict = _verdict(of_warm.start, of_cold.start, n)
    both = of_warm.after_first_epoch is not None and of_cold.after_first_epoch is not None
    after = f"; after it {of_warm.after_first_epoch:.1%} and {of_cold.after_first_epoch:.1%}" if both else ""
    return Effect(
        verdict=verdict,
        sentence=f"Start: {_in_words(verdict)}. Before the first epoch {warm.name} was at {of_warm.start:.1%} on val and "
        f"{cold.name} at {of_cold.start:.1%}{after}{_doubt(verdict, of_warm.start, of_cold.start, n)}.",
    )


def _slope(warm: LearningCurve, cold: LearningCurve) -> Effect:
    """By the time to the lower of the two asymptotes, which is the highest accuracy that both reached."""
    of_warm, of_cold = shape(warm), shape(cold)
    own = (
        f"90% of its own best took {warm.name} {_in_seconds(of_warm.seconds_to_90)} and {cold.name} "
        f"{_in_seconds(of_cold.seconds_to_90)}."
    )
    if of_cold.asymptote == of_cold.start:
        sentence = f"Slope: nothing to compare. {cold.name} never got better than it began, {of_cold.start:.1%}. {own}"
        return Effect(verdict="no clear difference", sentence=sentence)
    level = min(of_cold.asymptote, of_warm.asymptote)
    warm_s, cold_s = _first_at(warm, level).seconds, _first_at(cold, level).seconds
    verdict: Verdict = "no clear difference"
    if warm_s * CLEARLY_FASTER < cold_s:
        verdict = "helped"
    elif cold_s * CLEARLY_FASTER < warm_s:
        verdict = "hurt"
    if level == of_cold.asymptote:
        times = (
            f"{warm.name} reached the best of {cold.name}, {level:.1%}, after {_in_seconds(warm_s)}, {cold.name} itself after "
            f"{_in_seconds(cold_s)}"
        )
    else:
        times = (
            f"{warm.name} never reached the best of {cold.name}, {of_cold.asymptote:.1%}; its own best, {level:.1%}, took it "
            f"{_in_seconds(warm_s)} and {cold.name} {_in_seconds(cold_s)}"
        )
    return Effect(verdict=verdict, sentence=f"Slope: {_in_words(verdict)}. {times}. {own}")


def _asymptote(warm: LearningCurve, cold: LearningCurve, n: int) -> Effect:
    of_warm, of_cold = shape(warm).asymptote, shape(cold).asymptote
    verdict = _verdict(of_warm, of_cold, n)
    return Effect(
        verdict=verdict,
        sentence=f"Asymptote: {_in_words(verdict)}. At best {warm.name} was at {of_warm:.1%} on val and {cold.name} at "
        f"{of_cold:.1%}{_doubt(verdict, of_warm, of_cold, n)}.",
    )


def _verdict(warm: float, cold: float, n: int) -> Verdict:
    if abs(warm - cold) <= _chance(warm, cold, n):
        return "no clear difference"
    return "helped" if warm > cold else "hurt"


def _chance(a: float, b: float, n: int) -> float:
    """Half the 95 % interval of a difference of two accuracies on n pictures each.

    One picture right and one wrong are added to both sides, so that it also holds near 0 and 1 and for few pictures (A.
    Agresti, B. Caffo, The American Statistician 54, 2000). The pictures are the same on both sides, which a curve does not
    use: `intervals.paired_bootstrap` is narrower wherever both sides err on the same ones.
    """
    p, q = ((n * accuracy + 1) / (n + 2) for accuracy in (a, b))
    return 1.96 * math.sqrt((p * (1 - p) + q * (1 - q)) / (n + 2))


def _doubt(verdict: Verdict, a: float, b: float, n: int) -> str:
    if verdict != "no clear difference":
        return ""
    return f"; on {n:,} val pictures less than {100 * _chance(a, b, n):.1f} points apart can be chance"


def _in_words(verdict: Verdict) -> str:
    return "transfer made no clear difference" if verdict == "no clear difference" else f"transfer {verdict}"


def _in_seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _train_losses(points: Sequence[CurvePoint]) -> list[float]:
    return [point.train_loss for point in points if point.train_loss is not None]


def _noise(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Standard deviation of the noise around a smooth curve; see `overfitting`."""
    return float(np.median(np.abs(np.diff(values, 2)))) / (0.6745 * math.sqrt(6)) if len(values) > 2 else math.inf
