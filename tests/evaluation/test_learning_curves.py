import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmstart.evaluation.learning_curves import (
    AGAINST_OVERFITTING,
    CurvePoint,
    LearningCurve,
    compare_shapes,
    overfitting,
    shape,
)


def curve(accuracies, *, name="plan", first_s=10.0, epoch_s=10.0):
    points = [
        CurvePoint(
            epoch=epoch,
            seconds=first_s + epoch * epoch_s,
            train_loss=None if epoch == 0 else 0.5,
            val_loss=0.5,
            val_accuracy=accuracy,
        )
        for epoch, accuracy in enumerate(accuracies)
    ]
    return LearningCurve(name=name, points=tuple(points))


def losses(val, train, accuracies=None):
    """Points with these losses; the first training loss is not there, as at epoch 0."""
    accuracies = [0.8] * len(val) if accuracies is None else accuracies
    return [
        CurvePoint(
            epoch=epoch,
            seconds=float(epoch),
            train_loss=None if epoch == 0 else float(train[epoch]),
            val_loss=float(val[epoch]),
            val_accuracy=float(accuracies[epoch]),
        )
        for epoch in range(len(val))
    ]


VAL = [0.50, 0.40, 0.36, 0.35, 0.37, 0.41, 0.45, 0.50, 0.56]  # lowest around epoch 3
TRAIN = [0.60, 0.45, 0.36, 0.30, 0.24, 0.19, 0.15, 0.12, 0.10]

some_curves = st.builds(
    curve,
    st.lists(st.floats(0, 1), min_size=1, max_size=12),
    first_s=st.floats(0, 100),
    epoch_s=st.floats(0, 100),
)
learning_curves = st.lists(st.floats(0, 1), min_size=2, max_size=12).map(lambda rest: curve([0.0, 0.01, *rest]))


@settings(deadline=None)
@given(some_curves)
def test_a_shape_is_read_off_the_points(drawn):
    found, accuracies = shape(drawn), [point.val_accuracy for point in drawn.points]
    assert found.start == accuracies[0]
    assert found.asymptote == max(accuracies)
    assert accuracies[found.epochs_to_90] >= 0.9 * max(accuracies)
    assert all(accuracy < 0.9 * max(accuracies) for accuracy in accuracies[: found.epochs_to_90])
    assert found.seconds_to_90 == drawn.points[found.epochs_to_90].seconds


def test_the_shape_of_a_known_curve():
    found = shape(curve([0.40, 0.60, 0.78, 0.85, 0.83], first_s=5, epoch_s=2))
    assert (found.start, found.after_first_epoch, found.asymptote) == (0.40, 0.60, 0.85)
    assert (found.epochs_to_90, found.seconds_to_90) == (2, 9)


def test_a_frozen_plan_is_at_its_asymptote_from_the_start():
    found = shape(curve([0.86], first_s=18))
    assert (found.start, found.after_first_epoch, found.asymptote) == (0.86, None, 0.86)
    assert (found.epochs_to_90, found.seconds_to_90) == (0, 18)


def test_a_curve_without_points_or_one_that_runs_backwards_is_refused():
    good = curve([0.5, 0.6])
    with pytest.raises(ValueError, match="'stage4' has no points"):
        LearningCurve(name="stage4", points=())
    with pytest.raises(ValueError, match=r"runs backwards: epoch 1 at 20\.0 s is followed by epoch 0 at 10\.0 s"):
        replace(good, points=good.points[::-1])
    with pytest.raises(ValueError, match="runs backwards"):
        replace(good, points=(good.points[0], replace(good.points[1], seconds=9.0)))


MIRROR = {"helped": "hurt", "hurt": "helped", "no clear difference": "no clear difference"}


@settings(deadline=None)
@given(learning_curves, learning_curves, st.integers(1, 5000))
def test_what_is_gained_one_way_is_lost_the_other_way(a, b, n):
    there, back = compare_shapes(a, b, val_pictures=n), compare_shapes(b, a, val_pictures=n)
    for one, other in zip((there.start, there.slope, there.asymptote), (back.start, back.slope, back.asymptote), strict=True):
        assert other.verdict == MIRROR[one.verdict]


@settings(deadline=None)
@given(some_curves, st.integers(1, 5000))
def test_a_curve_against_itself_shows_no_difference_and_the_sentences_say_so(drawn, n):
    same = compare_shapes(drawn, drawn, val_pictures=n)
    assert {same.start.verdict, same.slope.verdict, same.asymptote.verdict} == {"no clear difference"}
    for sentence in same.sentences:
        assert "no clear difference" in sentence or "nothing to compare" in sentence


@pytest.mark.parametrize("accuracy", [0.02, 0.5, 0.88])
def test_equal_plans_differ_clearly_by_chance_in_one_of_twenty_comparisons_at_most(accuracy):
    rng = np.random.default_rng(0)
    drawn = rng.binomial(400, accuracy, size=(2000, 2)) / 400
    verdicts = [compare_shapes(curve([a]), curve([b]), val_pictures=400).asymptote.verdict for a, b in drawn]
    assert 0.01 < 1 - verdicts.count("no clear difference") / 2000 < 0.08


def test_a_warm_start_that_helps_in_everything_is_said_to_help_with_the_numbers():
    warm = curve([0.87, 0.88, 0.90], name="stage4", first_s=24)
    cold = curve([0.37, 0.50, 0.60, 0.70, 0.75], name="scratch", first_s=4, epoch_s=150)
    found = compare_shapes(warm, cold, val_pictures=400)
    assert {found.start.verdict, found.slope.verdict, found.asymptote.verdict} == {"helped"}
    assert found.sentences == (
        "Start: transfer helped. Before the first epoch stage4 was at 87.0% on val and scratch at 37.0%; after it 88.0% and "
        "50.0%.",
        "Slope: transfer helped. stage4 reached the best of scratch, 75.0%, after 24 s, scratch itself after 604 s. 90% of its "
        "own best took stage4 24 s and scratch 454 s.",
        "Asymptote: transfer helped. At best stage4 was at 90.0% on val and scratch at 75.0%.",
    )


def test_a_warm_start_that_hurts_is_said_to_hurt():
    warm = curve([0.20, 0.30, 0.40, 0.50], name="stage4", epoch_s=200)
    cold = curve([0.37, 0.60, 0.75], name="scratch", epoch_s=9)
    start, slope, asymptote = compare_shapes(warm, cold, val_pictures=400).sentences
    assert start.startswith("Start: transfer hurt.")
    assert slope.startswith(
        "Slope: transfer hurt. stage4 never reached the best of scratch, 75.0%; its own best, 50.0%, took it 610 s and scratch "
        "19 s."
    )
    assert asymptote.startswith("Asymptote: transfer hurt.")


def test_no_clear_difference_names_what_could_be_chance():
    found = compare_shapes(curve([0.86, 0.88]), curve([0.85, 0.87]), val_pictures=100)
    assert found.asymptote.verdict == "no clear difference"
    margin = 100 * 1.96 * math.sqrt(sum(p * (1 - p) / 102 for p in ((88 + 1) / 102, (87 + 1) / 102)))
    assert f"on 100 val pictures less than {margin:.1f} points apart can be chance" in found.asymptote.sentence


def test_reaching_90_percent_of_a_low_asymptote_sooner_is_not_called_a_higher_slope():
    """Naming always the class of 63 % is nearly all that this cold plan ever learns, and it does so at once."""
    warm, cold = curve([0.75, 0.85, 0.90], first_s=20), curve([0.63, 0.62, 0.63, 0.66, 0.68], first_s=3, epoch_s=100)
    assert shape(cold).seconds_to_90 < shape(warm).seconds_to_90
    assert compare_shapes(warm, cold, val_pictures=400).slope.verdict == "helped"


def test_a_cold_plan_that_never_learned_leaves_no_slope_to_compare():
    slope = compare_shapes(curve([0.8, 0.9]), curve([0.63, 0.60], name="scratch"), val_pictures=400).slope
    assert slope.verdict == "no clear difference"
    assert slope.sentence.startswith("Slope: nothing to compare. scratch never got better than it began, 63.0%.")


def test_val_loss_that_rises_while_training_loss_falls_is_overfitting_with_numbers():
    sentence = overfitting(losses(VAL, TRAIN))
    assert sentence is not None
    val_then, val_now = np.mean(VAL[2:5]), np.mean(VAL[-3:])
    train_then, train_now = np.mean(TRAIN[2:5]), np.mean(TRAIN[-3:])
    assert sentence.startswith(
        f"Overfitting since about epoch 3: loss on val rose from {val_then:.3f} to {val_now:.3f} while training loss fell from "
        f"{train_then:.3f} to {train_now:.3f}"
    )
    assert f"the gap between them grew by {val_now - val_then + train_then - train_now:.3f}" in sentence


def test_there_is_advice_against_overfitting():
    for advice in ("augmentation", "weight decay", "later cut", "more pictures"):
        assert advice in AGAINST_OVERFITTING


def test_the_unrest_of_early_epochs_hides_no_later_overfitting():
    """EfficientNet-Lite0 from random weights on solar cells, 24 epochs: measured, not drawn."""
    val = [0.693, 0.632, 0.613, 0.773, 0.631, 0.516, 0.580, 0.519, 0.552, 0.448, 0.438, 0.527]
    val += [0.477, 0.461, 0.421, 0.426, 0.470, 0.446, 0.469, 0.499, 0.498, 0.569, 0.564, 0.582]
    train = [math.nan, 0.664, 0.629, 0.615, 0.620, 0.579, 0.569, 0.507, 0.587, 0.523, 0.471, 0.446]
    train += [0.474, 0.446, 0.433, 0.355, 0.344, 0.317, 0.314, 0.284, 0.284, 0.263, 0.245, 0.267]
    assert str(overfitting(losses(val, train))).startswith(
        "Overfitting since about epoch 14: loss on val rose from 0.436 to 0.572"
    )
    assert overfitting(losses(val[:17], train[:17])) is None


def test_overfitting_tells_growing_overconfidence_from_growing_worse():
    better = overfitting(losses(VAL, TRAIN, np.linspace(0.80, 0.88, len(VAL))))
    worse = overfitting(losses(VAL, TRAIN, np.linspace(0.88, 0.80, len(VAL))))
    assert better is not None
    assert worse is not None
    assert "overconfident rather than worse" in better
    assert "unlearned" in worse


@settings(deadline=None)
@given(st.floats(-0.05, 3), st.floats(0.2, 5))
def test_the_level_and_scale_of_training_loss_change_no_verdict(level, scale):
    """Mixup and label smoothing lift the training loss, often above val loss."""
    assert overfitting(losses(VAL, scale * np.array(TRAIN) + level)) is not None
    assert overfitting(losses(sorted(VAL, reverse=True), scale * np.array(TRAIN) + level)) is None


@pytest.mark.parametrize(
    ("val", "train"),
    [
        (VAL[:4], TRAIN[:4]),  # too few epochs
        (sorted(VAL, reverse=True), TRAIN),  # both fall
        (VAL, sorted(TRAIN)),  # both rise: a learning rate too high, not overfitting
        ([0.4] * 9, TRAIN),  # the gap grows, val loss does not
        ([0.5, 0.4, 0.4, 0.4, 0.4, 0.9, 0.4, 0.4, 0.4], TRAIN),  # one bad epoch
        ([0.80, 0.70, 0.60, 0.50, 0.40, 0.30, 0.33, 0.36, 0.39], TRAIN),  # three epochs after a steep fall: too early to tell
        ([0.5, 0.400, 0.401, 0.402, 0.403, 0.404, 0.405, 0.406, 0.407], TRAIN),  # a rise not worth a word
    ],
)
def test_no_overfitting_where_val_loss_does_not_clearly_rise_against_training_loss(val, train):
    assert overfitting(losses(val, train)) is None


def test_overfitting_is_seen_from_five_epochs_on_and_in_a_frozen_plan_never():
    assert overfitting(losses(VAL[3:], TRAIN[3:])) is not None
    assert overfitting(losses(VAL[4:], TRAIN[4:])) is None
    assert overfitting(curve([0.86]).points) is None
    assert overfitting([]) is None


def test_losses_that_are_not_finite_or_not_there_are_passed_over():
    points = losses(VAL, TRAIN)
    known = overfitting(points)
    diverged = replace(points[-1], epoch=9, val_loss=math.nan)
    assert overfitting([*points, diverged, replace(diverged, val_loss=0.5, train_loss=math.inf)]) == known
    cut_moved = replace(points[4], train_loss=None)
    assert overfitting([*points[:4], cut_moved, *points[5:]]) is not None
    assert overfitting([replace(point, train_loss=None) for point in points]) is None


@pytest.mark.parametrize("epochs", [5, 8, 15, 40])
@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_noise_around_a_level_is_rarely_taken_for_overfitting(epochs, noise):
    rng = np.random.default_rng(0)
    falling = np.exp(-3 * np.arange(epochs + 1) / epochs)
    reported = sum(
        overfitting(losses(0.4 * (1 + noise * rng.standard_normal(epochs + 1)), falling)) is not None for _ in range(300)
    )
    assert reported / 300 < 0.06


def test_overfitting_is_found_through_noise():
    rng = np.random.default_rng(0)
    t = np.arange(21) / 20
    rising = 0.4 + 0.3 * np.exp(-12 * t) + 0.4 * np.maximum(0, t - 0.3)
    found = sum(
        overfitting(losses(rising * (1 + 0.04 * rng.standard_normal(21)), 0.5 * np.exp(-2 * t))) is not None for _ in range(100)
    )
    assert found > 95
