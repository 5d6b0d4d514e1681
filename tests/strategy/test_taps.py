import pytest

from warmstart.errors import UnknownNameError, UsageError
from warmstart.strategy.taps import candidate_taps, tap_sets

LITE0 = ("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "pooled", "max")
RESNET = ("stem", "stage1", "stage2", "stage3", "pooled", "max")


@pytest.mark.parametrize("names", [LITE0, RESNET, ("stage1", "pooled", "max"), ("pooled",), ("stem", "stage1"), ("stem",)])
def test_sets_are_never_empty_never_twice_the_same_and_in_the_order_of_the_network(names):
    sets = tap_sets(names)
    assert len(set(sets.values())) == len(sets) > 0
    for members in sets.values():
        assert members
        assert list(members) == sorted(members, key=names.index)


def test_the_sets_of_efficientnet_lite_and_resnet():
    assert tap_sets(LITE0) == {
        "pooled": ("pooled",),
        "last": ("pooled", "max"),
        "middle": ("stage3", "stage4", "stage5", "stage6", "stage7"),
        "all": LITE0,
    }
    assert tap_sets(RESNET)["middle"] == ("stage2", "stage3")


def test_a_backbone_with_nothing_but_pooled_has_one_set():
    assert tap_sets(("pooled",)) == {"pooled": ("pooled",)}


def test_auto_at_pooled_tries_every_set():
    assert candidate_taps("auto", "pooled", LITE0) == tap_sets(LITE0)


def test_auto_at_an_earlier_cut_reads_that_stage_alone():
    assert candidate_taps("auto", "stage3", LITE0) == {"stage3": ("stage3",)}


@pytest.mark.parametrize("spec", ["all", "middle", "stage1,stage3"])
def test_no_tap_beyond_the_cut_is_read(spec):
    (members,) = candidate_taps(spec, "stage3", LITE0).values()
    assert set(members) <= {"stem", "stage1", "stage2", "stage3"}


def test_the_last_stage_whose_mean_is_pooled_reads_pooled():
    assert candidate_taps("auto", "stage8", LITE0) == {"pooled": ("pooled",)}


def test_a_named_set_or_listed_taps_leave_nothing_to_choose():
    assert candidate_taps("last", "pooled", LITE0) == {"last": ("pooled", "max")}
    assert candidate_taps("pooled, stage3,stage3", "pooled", LITE0) == {"pooled, stage3,stage3": ("stage3", "pooled")}


def test_unknown_names_come_with_the_nearest_and_with_the_cut_that_hides_them():
    with pytest.raises(UnknownNameError, match=r"unknown tap 'midle'.*Did you mean 'middle'"):
        candidate_taps("midle", "pooled", LITE0)
    with pytest.raises(
        UnknownNameError, match=r"unknown tap 'stage5'; known: stem, stage1, stage2, stage3.*beyond the cut 'stage3'"
    ):
        candidate_taps("stage1,stage5", "stage3", LITE0)
    with pytest.raises(UnknownNameError, match="unknown cut 'stage9'"):
        candidate_taps("auto", "stage9", LITE0)
    with pytest.raises(UnknownNameError, match=r"unknown cut 'pixels'.*whose pooled output a head can read"):
        candidate_taps("auto", "pixels", LITE0)


def test_a_spec_without_any_name_is_refused():
    with pytest.raises(UsageError, match="name nothing; use 'auto', pooled, last, middle, all, or taps joined"):
        candidate_taps(" , ", "pooled", LITE0)
