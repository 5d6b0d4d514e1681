"""The table: which case applies, what follows, and that every number behind it is said."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmstart.data.augmentation import view_names
from warmstart.plan import Plan
from warmstart.tasks.classify.advice.rules import (
    DIFFERENT_EARLY_SHARE,
    DIFFERENT_SHIFT,
    EARLY_SHARE_DOUBT,
    LARGE_IMAGES,
    SCENARIOS,
    Measured,
    advise,
    better_on_val,
    by_gain,
    cut_at,
    input_size,
    judged_similarity,
    recommended,
    size_band,
)

STAGES = ("stem", *(f"stage{i}" for i in range(1, 9)))
CLOTHES = Measured(
    train_images=400,
    val_images=80,
    classes=10,
    smallest_class=40,
    imbalance=1.0,
    early_share=0.5,
    shift=0.33,
    best_stage="stage7",
    first_as_good="stage6",
    tap_set_information={"pooled": 2.4, "middle": 2.5},
    tap_set_accuracy={"pooled": 0.86, "middle": 0.87},
    majority_accuracy=0.18,
    turned_change={"flip": 0.0, "rot180": -0.4, "rot90": -0.36},
    median_side_px=400,
    input_px=224,
    stages=STAGES,
)
CELLS = replace(
    CLOTHES,
    classes=2,
    smallest_class=120,
    early_share=0.99,
    shift=0.63,
    turned_change={"flip": -0.01, "rot180": 0.0, "rot90": -0.13},
)


@settings(deadline=None)
@given(
    n=st.integers(2, 100_000),
    share=st.none() | st.floats(0, 1),
    shift=st.none() | st.floats(0, 2),
    turn=st.none() | st.floats(-1, 1),
    side=st.integers(1, 4000),
    imbalance=st.floats(1, 1000),
    stages=st.sampled_from([STAGES, STAGES[:5], STAGES[:2], ()]),
)
def test_every_measurement_gives_plans_that_end_with_the_probe_and_reasons(
    n: int, share: float | None, shift: float | None, turn: float | None, side: int, imbalance: float, stages: tuple[str, ...]
) -> None:
    measured = replace(
        CLOTHES,
        train_images=n,
        early_share=share,
        shift=shift,
        turned_change={} if turn is None else {"rot90": turn},
        median_side_px=side,
        imbalance=imbalance,
        stages=stages,
    )
    advice = advise(measured, Plan())
    *bolder, probe = advice.plans
    assert probe.cut == "pooled"
    assert not probe.trains_network
    assert all(plan.trains_network for plan in bolder)
    assert len({plan.cut for plan in advice.plans}) == len(advice.plans)
    assert advice.scenario in SCENARIOS
    assert len(advice.reasons) >= 4
    assert Plan.from_dict(probe.to_dict()) == probe  # what plan.json holds can be run


def test_more_pictures_never_make_the_data_small() -> None:
    bands = [size_band(replace(CLOTHES, train_images=n))[0] for n in (10, LARGE_IMAGES - 1, LARGE_IMAGES, 10**6)]
    assert bands == ["small", "small", "large", "large"]


def test_each_case_of_the_textbook_occurs_once() -> None:
    assert {(row.band, row.similarity) for row in SCENARIOS} == {
        (b, s) for b in ("small", "large") for s in ("similar", "different")
    }
    assert len(SCENARIOS) == 4


@pytest.mark.parametrize(
    ("share", "shift", "judged"),
    [
        (0.2, 2.0, "similar"),  # a clear profile is not overruled
        (0.99, 0.0, "different"),
        (DIFFERENT_EARLY_SHARE + EARLY_SHARE_DOUBT / 2, DIFFERENT_SHIFT - 0.1, "similar"),  # near the border the shift decides
        (DIFFERENT_EARLY_SHARE - EARLY_SHARE_DOUBT / 2, DIFFERENT_SHIFT + 0.1, "different"),
        (DIFFERENT_EARLY_SHARE - EARLY_SHARE_DOUBT / 2, None, "similar"),  # no batch norms: the profile alone
        (None, DIFFERENT_SHIFT + 0.1, "different"),
        (None, DIFFERENT_SHIFT - 0.1, "similar"),
        (None, None, "different"),
    ],
)
def test_the_profile_decides_and_in_doubt_the_statistics(share: float | None, shift: float | None, judged: str) -> None:
    assert judged_similarity(replace(CLOTHES, early_share=share, shift=shift))[0] == judged


def test_clothes_and_solar_cells_get_different_advice_with_their_numbers() -> None:
    clothes, cells = advise(CLOTHES, Plan()), advise(CELLS, Plan())
    assert (clothes.scenario.similarity, cells.scenario.similarity) == ("similar", "different")
    assert "50%" in clothes.reasons[1].text
    assert "99%" in cells.reasons[1].text
    assert all(reason.source for reason in clothes.reasons)


@pytest.mark.parametrize(
    ("kept", "augment"),
    [
        (("flip", "rot180", "rot90"), "dihedral"),
        (("flip", "rot180"), "mirrors"),
        (("flip",), "standard"),
        (("flip", "rot90"), "standard"),
        ((), "unmirrored"),
        (("rot180",), "unmirrored"),
    ],
)
def test_training_pictures_are_turned_as_far_as_they_keep_their_class(kept: tuple[str, ...], augment: str) -> None:
    changes = {view: 0.0 if view in kept else -0.2 for view in ("flip", "rot180", "rot90")}
    advice = advise(replace(CLOTHES, train_images=3000, turned_change=changes), Plan())
    assert {plan.augment for plan in advice.plans[:-1]} == {augment}
    assert advice.plans[-1].augment == "none"  # nothing is trained, so nothing is augmented
    view_names(augment, 4)  # a name that training knows


def test_a_val_that_cannot_tell_gets_the_probe_and_a_word_of_why() -> None:
    advice = advise(replace(CLOTHES, val_images=14), Plan())
    assert [plan.cut for plan in advice.plans] == ["pooled"]
    assert any("val has 14 pictures" in reason.text for reason in advice.reasons)


def test_no_more_is_to_be_gained_than_is_wrong() -> None:
    right = replace(CELLS, tap_set_accuracy={"pooled": 0.99, "middle": 0.995})
    assert advise(right, Plan()).gains == (pytest.approx(0.5), 0.0)
    assert advise(replace(CELLS, tap_set_accuracy={"pooled": 1.0}, tap_set_information={"pooled": 1.0}), Plan()).gains[0] == 0


def test_a_probe_that_knows_nothing_says_nothing_about_turned_pictures() -> None:
    unmoved = dict.fromkeys(("flip", "rot180", "rot90"), 0.0)
    measured = replace(CLOTHES, train_images=3000, turned_change=unmoved, majority_accuracy=0.8)
    advice = advise(measured, Plan())
    assert {plan.augment for plan in advice.plans[:-1]} == {"standard"}
    assert any("too near for turned pictures" in reason.text for reason in advice.reasons)


def test_large_and_similar_data_is_trained_from_the_pixels_on_gently_where_time_allows() -> None:
    advice = advise(replace(CLOTHES, train_images=3000), Plan())
    assert [plan.cut for plan in advice.plans] == ["pixels", "stage3", "stage5", "pooled"]
    rates = {plan.training["learning_rate"] for plan in advice.plans[:-1]}
    assert rates == {1e-3}


def test_a_head_that_is_to_be_trained_with_the_network_reads_its_end() -> None:
    """'middle' may end before a late cut, and then nothing right of it would learn."""
    advice = advise(replace(CLOTHES, train_images=3000), Plan())
    assert [plan.taps for plan in advice.plans] == ["all", "all", "all", "middle"]


def test_what_the_caller_fixed_stays() -> None:
    base = Plan(backbone="efficientnet_lite1", resize="squash", seed=7, fractions=(0.8, 0.1, 0.1), positive="a")
    for plan in advise(replace(CLOTHES, train_images=3000), base).plans:
        assert (plan.backbone, plan.resize, plan.seed, plan.fractions, plan.positive) == (
            "efficientnet_lite1",
            "squash",
            7,
            base.fractions,
            "a",
        )


def test_the_set_of_taps_that_knows_most_is_taken_even_if_another_counts_more_right() -> None:
    measured = replace(CLOTHES, tap_set_information={"pooled": 2.4, "all": 2.6}, tap_set_accuracy={"pooled": 0.9, "all": 0.8})
    assert advise(measured, Plan()).plans[-1].taps == "all"


def test_only_lopsided_classes_are_spoken_of() -> None:
    def about_balance(imbalance: float) -> bool:
        return any("macro-F1" in reason.text for reason in advise(replace(CLOTHES, imbalance=imbalance), Plan()).reasons)

    assert [about_balance(1.5), about_balance(50)] == [False, True]


@pytest.mark.parametrize(("share", "cut"), [(0.0, "pixels"), (0.375, "stage3"), (0.625, "stage5"), (1.0, "pooled")])
def test_a_share_of_the_stages_names_a_cut(share: float, cut: str) -> None:
    assert cut_at(share, STAGES) == cut


def test_a_network_without_stages_is_cut_at_its_ends() -> None:
    assert {cut_at(share, ()) for share in (0.0, 0.4, 1.0)} == {"pixels", "pooled"}


def test_the_plan_that_gained_most_and_fits_is_recommended_and_the_probe_where_none_does() -> None:
    gains, seconds = (None, 3.0, 2.3, 0.0), (900, 500, 300, 20)
    assert [recommended(gains, seconds, budget) for budget in (1000, 499, 30, 1)] == [1, 2, 3, 3]


def test_a_gain_that_nobody_measured_recommends_nothing_and_is_tried_after_those_that_were() -> None:
    assert by_gain((None, None, 1.4, 0.0)) == [2, 1, 0, 3]
    assert recommended((None, 0.0), (1, 1), 10) == 1


def test_training_must_be_ahead_on_val_by_more_than_chance() -> None:
    random = np.random.default_rng(0)
    probe = random.exponential(0.5, 100)
    assert better_on_val(probe - 0.1, probe)
    assert not better_on_val(probe, probe)
    assert not better_on_val(probe + 0.1, probe)
    noisy = probe - 0.01 + random.normal(0, 1, 100)
    assert not better_on_val(noisy + (probe - noisy).mean() - 0.01, probe)  # ahead by 0.01, of which the error is 0.1


def test_tiny_pictures_are_enlarged_less() -> None:
    assert [input_size(8, 224), input_size(95, 96), input_size(96, 224), input_size(400, 224)] == [128, 96, 224, 224]


def test_advice_as_a_document_has_plans_gains_and_reasons_side_by_side() -> None:
    found = advise(CELLS, Plan())
    document = found.to_dict()
    assert document.keys() == {"scenario", "plans", "gains", "reasons"}
    assert document["gains"] == list(found.gains)
    assert [Plan.from_dict(plan) for plan in document["plans"]] == list(found.plans)
    assert document["reasons"] == [{"text": reason.text, "source": reason.source} for reason in found.reasons]
    assert document["scenario"] == {
        "size": found.scenario.band,
        "similarity": found.scenario.similarity,
        "textbook": found.scenario.textbook,
    }


@pytest.mark.parametrize(
    ("share", "words"), [(None, "holds nothing of"), (DIFFERENT_EARLY_SHARE, f"holds {DIFFERENT_EARLY_SHARE:.0%} of")]
)
def test_where_the_shift_decides_what_the_stages_hold_is_said_beside_it(share: float | None, words: str) -> None:
    judged, reason = judged_similarity(replace(CLOTHES, early_share=share, shift=DIFFERENT_SHIFT))
    assert judged == "different"
    assert words in reason.text
