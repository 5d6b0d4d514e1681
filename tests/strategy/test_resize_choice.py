"""Which mode elongated pictures are shown in: the crop is left only where what held-out pictures lose says so, by more than chance."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmstart.data.views import RESIZE_MODES, seen_share
from warmstart.evaluation.intervals import paired_mean
from warmstart.report.run_record import read_choice
from warmstart.strategy.resize import LITTLE_SEEN, Judged, ResizeChoice, choose

N = 60
EACH = np.arange(N)


def judged(losses: dict[str, np.ndarray]) -> dict[str, Judged]:
    return {mode: Judged(losses=losses[mode], words="log-loss", right=losses[mode] < 0.7) for mode in RESIZE_MODES}


def noisy(seed: int, **better: float) -> dict[str, Judged]:
    """Losses of the same pictures in every mode, hard ones hard in all, some modes better by so much."""
    random = np.random.default_rng(seed)
    hard = random.gamma(2.0, 0.5, N)
    return judged({mode: hard + random.normal(0, 0.2, N) - better.get(mode.replace("-", "_"), 0.0) for mode in RESIZE_MODES})


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from(RESIZE_MODES[1:]))
def test_a_mode_that_is_far_ahead_is_taken_and_its_interval_lies_above_nothing(seed: int, ahead: str) -> None:
    choice = choose(noisy(seed, **{ahead.replace("-", "_"): 0.5}), EACH, seen_median=0.19)
    assert choice.mode == ahead
    (one,) = [one for one in choice.modes if one.mode == ahead]
    assert one.gain_interval[0] > 0
    assert one.gain == pytest.approx(choice.modes[0].loss - one.loss)
    assert one.gain_interval[0] <= one.gain <= one.gain_interval[1]


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_of_several_that_are_ahead_the_best_is_taken(seed: int) -> None:
    assert choose(noisy(seed, squash=0.4, pad=0.8), EACH, seen_median=0.19).mode == "pad"
    assert choose(noisy(seed, squash=0.8, pad=0.4), EACH, seen_median=0.19).mode == "squash"


def test_without_a_difference_the_crop_is_left_by_luck_about_as_often_as_said() -> None:
    """Three modes are held against it at once: at most one choice in 40 may leave it, a few more by the roughness of the bootstrap."""
    left = sum(choose(noisy(seed), EACH, seen_median=0.19).mode != "crop" for seed in range(60))
    assert left <= 5


@settings(max_examples=10)
@given(st.integers(0, 2**32))
def test_copies_say_no_more_than_one_of_them(seed: int) -> None:
    """The same pictures ten times over, known as copies, have the interval of one each; taken for different, a far narrower one."""
    found = noisy(seed, squash=0.05)
    crop, squash = (found[mode].losses for mode in ("crop", "squash"))
    once = paired_mean(crop - squash, EACH, seed=1)
    again = np.repeat(crop - squash, 10)
    assert paired_mean(again, np.repeat(EACH, 10), seed=1) == pytest.approx(once)
    low, high = paired_mean(again, np.arange(10 * N), seed=1)
    assert high - low < 0.5 * (once[1] - once[0])


def test_the_interval_of_a_mean_is_that_of_a_closed_form_and_hangs_on_no_numbering() -> None:
    random = np.random.default_rng(0)
    differences = random.normal(0.3, 1.0, 400)
    low, high = paired_mean(differences, np.arange(400))
    half = 1.96 * differences.std() / 20
    assert (low, high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=0.01)
    units = random.integers(0, 50, 400)
    assert paired_mean(differences, units) == paired_mean(differences, 7 * units + 3)
    for wrong in (np.arange(0), np.arange(3)):
        with pytest.raises(ValueError, match=r"no interval|has a unit"):
            paired_mean(differences[: 400 * len(wrong)], wrong)


def test_equal_losses_leave_the_crop() -> None:
    same = np.full(N, 0.2)
    choice = choose(judged(dict.fromkeys(RESIZE_MODES, same)), EACH, seen_median=0.3)
    assert choice.mode == "crop"
    assert "none is better by more than chance, so the crop stays" in choice.in_words()


def test_a_choice_is_said_in_one_sentence_and_comes_back_from_json() -> None:
    choice = choose(noisy(0, squash=0.5), EACH, seen_median=0.1914, computed=240)
    assert choice.in_words().startswith(
        "the centre crop shows 19 % of the median picture, so it was held against full-crop, squash and pad on 60 train pictures: squash "
        "is best (accuracy 0."
    )
    document = json.loads(json.dumps(choice.to_dict()))
    assert read_choice(document) == read_choice({**document, "of a newer version": 1}) == choice
    for name, wrong in (("mode", 5), ("modes", [{"mode": "crop"}]), ("pictures", "60"), ("seen_median", None)):
        with pytest.raises((KeyError, TypeError)):
            read_choice({**document, name: wrong})
    unasked = ResizeChoice(mode="crop", seen_median=0.19, why_not="12 different train pictures are too few, 30 would do")
    assert read_choice(json.loads(json.dumps(unasked.to_dict()))) == unasked
    assert unasked.in_words().endswith("30 would do. --resize squash or pad shows all of each")


def test_photographs_up_to_three_to_two_are_not_elongated() -> None:
    asked = {ratio: seen_share((round(900 * ratio), 900), mode="crop") < LITTLE_SEEN for ratio in (1, 4 / 3, 1.5, 16 / 9, 2, 4)}
    assert list(asked.values()) == [False, False, False, True, True, True]
