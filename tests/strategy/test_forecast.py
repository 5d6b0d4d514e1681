"""The arithmetic of time, memory and disk, by hand and by what must grow with what."""

from dataclasses import replace

import pytest

from warmstart.plan import Plan
from warmstart.strategy.forecast import (
    SETTLING_BATCHES,
    Forecast,
    Speed,
    Work,
    expected_epochs,
    fits,
    forecast,
    within,
)
from warmstart.training import feature_norm
from warmstart.training_settings import TrainingSettings

SPEED = Speed(
    decode=100,
    engine=50,
    share_left={"pixels": 0, "stage3": 0.5, "pooled": 1},
    train={"pixels": 5, "stage3": 20},
    train_bytes_per_image={"pixels": 10**7, "stage3": 10**6},
)
WORK = Work(
    images={"train": 100, "val": 20, "test": 30},
    start_s=4.0,
    fit_s=2.0,
    open_s=1.0,
    finish_s=0.0,
    activations={"pixels": 150_000, "stage3": 30_000, "pooled": 1280},
    features=4000,
    params_right={"pixels": 5_000_000, "stage3": 4_000_000, "stage5": 3_000_000, "pooled": 0},
    base_bytes=10**9,
    missing_taps=0,
)
FROZEN, TRAINED = Plan(), Plan(cut="stage3", training={"epochs": 10, "patience": None})
SETTLED = 100  # 12 batches of 32 would be more than there are


@pytest.mark.parametrize("plan", [FROZEN, TRAINED])
def test_what_comes_when_the_model_is_there_is_part_of_the_whole(plan: Plan) -> None:
    short, long = (forecast(plan, SPEED, replace(WORK, finish_s=seconds)) for seconds in (0.0, 3.0))
    assert long.seconds["total"] - short.seconds["total"] == pytest.approx(3)
    assert long.longest_s - short.longest_s == pytest.approx(3)
    assert long.test_s - short.test_s == pytest.approx(3 if plan.trains_network else 0)
    assert {name: long.seconds[name] for name in ("extract", "fit", "train")} == {
        name: short.seconds[name] for name in ("extract", "fit", "train")
    }


def of(plan: Plan, work: Work = WORK) -> Forecast:
    return forecast(plan, SPEED, work)


def test_a_frozen_run_over_stored_pictures_costs_starting_and_choosing_a_head() -> None:
    result = of(FROZEN)
    assert result.seconds == {"extract": 0, "fit": 2, "train": 0, "total": 6}
    assert (result.longest_s, result.store_bytes) == (6, 0)


def test_a_cold_frozen_run_by_hand() -> None:
    result = of(FROZEN, replace(WORK, missing_taps=150))
    assert result.seconds["extract"] == pytest.approx(150 * (1 / 100 + 1 / 50))
    assert result.store_bytes == 150 * 4000 * 2


def test_a_trained_run_by_hand() -> None:
    result = of(TRAINED)
    left = 120 * (1 / 100 + 0.5 / 50) + 1
    tested = 50 * (1 / 100 + 1 / 50) + 1
    assert result.seconds["extract"] == pytest.approx(left + tested)
    assert result.seconds["train"] == pytest.approx(10 * (100 / 20 + (20 + SETTLED) / 60))
    assert result.store_bytes == 120 * 34_000 * 2 + 50 * 4000 * 2


def test_activations_that_are_stored_cost_nothing() -> None:
    result = of(TRAINED, replace(WORK, missing_activations={"stage3": 0}))
    assert result.seconds["extract"] == pytest.approx(1 + 50 * (1 / 100 + 1 / 50) + 1)
    assert result.store_bytes == 50 * 4000 * 2


def test_gradual_unfreezing_takes_the_time_of_each_of_its_cuts() -> None:
    speed = replace(
        SPEED,
        share_left={**SPEED.share_left, "stage5": 0.75},
        train={**SPEED.train, "stage5": 40},
        train_bytes_per_image={**SPEED.train_bytes_per_image, "stage5": 10**5},
    )
    work = replace(WORK, activations={**WORK.activations, "stage5": 10_000})
    gradual, late, early = (
        forecast(plan, speed, work).seconds["train"]
        for plan in (replace(TRAINED, unfreeze=("stage5",)), replace(TRAINED, cut="stage5"), TRAINED)
    )
    assert gradual == pytest.approx(late + early)


def test_at_pixels_pictures_are_decoded_in_every_epoch_and_no_activation_is_stored() -> None:
    result = of(replace(TRAINED, cut="pixels"))
    assert result.seconds["train"] == pytest.approx(10 * (100 * (1 / 5 + 1 / 100) + (20 + SETTLED) * (1 / 15 + 1 / 100)))
    assert result.store_bytes == 50 * 4000 * 2


def test_augmented_views_are_extracted_and_stored_of_train_alone() -> None:
    plain, four = of(TRAINED), of(replace(TRAINED, augment="standard", augment_views=4))
    assert four.store_bytes - plain.store_bytes == 3 * 100 * 34_000 * 2
    assert four.seconds["train"] == plain.seconds["train"]


def test_more_of_anything_never_takes_less() -> None:
    for plan in (FROZEN, TRAINED, replace(TRAINED, cut="pixels")):
        work = replace(WORK, missing_taps=150)
        small = forecast(plan, SPEED, work)
        more = replace(work, missing_taps=300, images={split: 2 * n for split, n in WORK.images.items()})
        large = forecast(plan, SPEED, more)
        slow = forecast(plan, replace(SPEED, decode=50, engine=25, train={"pixels": 2, "stage3": 10}), work)
        for other in (large, slow):
            assert other.seconds["total"] > small.seconds["total"]
        assert large.memory_bytes >= small.memory_bytes
        assert large.store_bytes > small.store_bytes


def test_a_budget_takes_from_training_alone() -> None:
    whole = of(TRAINED)
    fewer = within(whole, 30)
    assert fewer.seconds["total"] == pytest.approx(30)
    assert fewer.seconds["extract"] == whole.seconds["extract"]
    assert within(whole, 1).seconds["train"] == 0  # what cannot be cut down is still said
    assert within(whole, 1).seconds["total"] == pytest.approx(whole.seconds["total"] - whole.seconds["train"])
    assert within(whole, 10**6) == whole


def test_the_expected_time_lies_between_the_soonest_end_by_patience_and_every_epoch() -> None:
    assert [expected_epochs(15, 5), expected_epochs(3, 5), expected_epochs(15, None)] == [10, 3, 15]
    result = of(replace(TRAINED, training={"epochs": 15, "patience": 5}))
    assert result.seconds["total"] < result.longest_s


def test_its_defaults_are_those_of_training() -> None:
    assert TrainingSettings().patience is None
    assert feature_norm.SETTLING_BATCHES == SETTLING_BATCHES


@pytest.mark.parametrize(("left_s", "enough"), [(69.9, False), (70.0, True), (120.0, True)])
def test_a_plan_fits_where_there_is_time_for_half_of_its_epochs(left_s: float, enough: bool) -> None:
    needed = Forecast(
        seconds={"extract": 10, "fit": 5, "train": 100, "total": 120}, longest_s=120, test_s=3, memory_bytes=0, store_bytes=0
    )
    assert fits(needed, left_s) is enough


def test_epochs_that_patience_may_save_are_counted_where_time_is_short() -> None:
    """60 s of 100 are expected to be trained: begun where half of the 100 fit."""
    needed = Forecast(
        seconds={"extract": 20, "fit": 0, "train": 60, "total": 80}, longest_s=120, test_s=0, memory_bytes=0, store_bytes=0
    )
    assert fits(needed, 70.0)
    assert not fits(needed, 69.0)
