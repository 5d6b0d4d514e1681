"""Names of plans → plans."""

import pytest

from warmstart.errors import UnknownNameError, UsageError
from warmstart.plan import Plan
from warmstart.strategy.plan_names import default_names, plans_by_name

CUTS = ("pixels", "stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "pooled")


def test_the_usual_plans_are_frozen_partial_full_and_scratch_and_all_of_them_exist():
    names = default_names(CUTS)
    assert names == ("frozen", "stage5", "full", "scratch")
    plans = plans_by_name(names, Plan(seed=3), CUTS)
    assert [plan.cut for plan in plans.values()] == ["pooled", "stage5", "pixels", "pixels"]
    assert [plan.weights for plan in plans.values()] == ["default", "default", "default", "random"]
    assert {plan.seed for plan in plans.values()} == {3}
    assert [plan.trains_network for plan in plans.values()] == [False, True, True, True]


@pytest.mark.parametrize("stages", range(1, 12))
def test_the_partial_cut_leaves_something_frozen_and_is_a_stage_of_any_network(stages):
    cuts = ("pixels", "stem", *(f"stage{i + 1}" for i in range(stages)), "pooled")
    assert default_names(cuts)[1] in cuts[2:-1]


def test_augmentation_and_input_size_can_stand_in_a_name_and_otherwise_are_the_common_ones():
    base = Plan(augment="flip", image_size_px=300)
    plans = plans_by_name(["stage5", "stage5+dihedral", "full@128", "scratch+strong@96", "frozen"], base, CUTS)
    assert [(plan.augment, plan.image_size_px) for plan in plans.values()] == [
        ("flip", 300),
        ("dihedral", 300),
        ("flip", 128),
        ("strong", 96),
        ("none", 300),
    ]


@pytest.mark.parametrize("name", ["", "stage5+", "full@", "full@x", "a b", "frozen+flip", "@128"])
def test_a_name_of_another_form_is_refused_with_the_form(name):
    with pytest.raises(UsageError):
        plans_by_name([name], Plan(), CUTS)


def test_an_unknown_plan_is_refused_with_the_nearest_names():
    with pytest.raises(UnknownNameError, match="stage5"):
        plans_by_name(["stage55"], Plan(), CUTS)


def test_a_plan_twice_and_no_plan_at_all_are_refused():
    with pytest.raises(UsageError, match="twice"):
        plans_by_name(["frozen", "frozen"], Plan(), CUTS)
    with pytest.raises(UsageError, match="no plan"):
        plans_by_name([], Plan(), CUTS)
