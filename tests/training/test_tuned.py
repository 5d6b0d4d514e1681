"""The suffix and its head: starts as the probe, goes back into one."""

import numpy as np
import pytest
import torch

from warmstart.errors import UnknownNameError, UsageError
from warmstart.training.tuned import TunedSuffix, cold_start, split_taps

CUTS = {"resnet": ("pixels", "stem", "stage1", "stage2", "stage3", "pooled"), "vgg": ("pixels", "stem", "stage1", "pooled")}
CASES = [(kind, cut) for kind, cuts in CUTS.items() for cut in cuts]


def _logits(module, inputs):
    with torch.inference_mode():
        return module.eval()(*inputs).numpy()


@pytest.mark.parametrize(("kind", "cut"), CASES)
def test_at_step_0_the_logits_are_those_of_the_frozen_head_at_every_cut(problem, kind, cut):
    p = problem(kind)
    expected = p.head.logits(p.features(p.val_pixels))
    found = _logits(p.module(cut), p.inputs(cut, p.val_pixels))
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("taps", [("pooled",), ("max", "stem", "pooled"), ("stage2", "max"), ("stem", "stage1")])
def test_taps_are_joined_in_the_order_of_the_head_also_where_a_prefix_tap_comes_last(problem, taps):
    p = problem("resnet", taps=taps)
    expected = p.head.logits(p.features(p.val_pixels))
    for cut in CUTS["resnet"]:
        found = _logits(p.module(cut), p.inputs(cut, p.val_pixels))
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_a_changed_module_is_a_changed_network_and_a_head_with_the_same_logits(problem):
    p = problem("resnet")
    module = p.module("stage1")
    inputs = p.inputs("stage1", p.val_pixels)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    tuned = _logits(module, inputs)
    assembled = module.learnt_head()(p.features(p.val_pixels))  # from pixels, through backbone.network
    np.testing.assert_allclose(assembled, tuned, atol=3e-5 * np.abs(tuned).max())
    assert np.abs(tuned - p.head.logits(p.features(p.val_pixels))).max() > 0.05


def test_a_feature_that_never_varied_takes_no_part(problem):
    p = problem("resnet", taps=("pooled",))
    p.scale[3] = 0
    p.head.coef_[3] = 0
    before = p.head.logits(p.features(p.val_pixels))
    np.testing.assert_allclose(p.module("stage2").learnt_head()(p.features(p.val_pixels)), before, atol=1e-4)
    p.head.coef_[3] = 1
    with pytest.raises(UsageError, match="mean and scale are not the head's"):
        p.module("stage2")


def test_which_taps_are_stored_and_which_live(problem):
    backbone = problem("resnet").backbone
    assert backbone.tap_names == ("stem", "stage1", "stage2", "pooled", "max")
    assert split_taps(backbone, "pixels", backbone.tap_names) == ((), backbone.tap_names)
    assert split_taps(backbone, "stage1", ("stem", "stage1", "stage2")) == (("stem", "stage1"), ("stage2",))
    assert split_taps(backbone, "layer3", ("pooled", "max")) == (("max",), ("pooled",))
    assert split_taps(backbone, "pooled", backbone.tap_names) == (backbone.tap_names, ())
    with pytest.raises(UnknownNameError, match="stage9"):
        split_taps(backbone, "stem", ("stage9",))


def test_stages_that_no_tap_reads_are_neither_run_nor_trained(problem):
    p = problem("resnet", taps=("stem", "stage2"))
    assert p.module("stage1").trained_stages == ("stage2",)
    assert p.module("stage2").trained_stages == ()
    assert p.module("pooled").trained_stages == ()
    assert problem("resnet").module("pixels").trained_stages == ("stem", "stage1", "stage2", "stage3")


def test_depth_counts_stages_with_weights_from_the_head(problem):
    module = problem("resnet").module("stage1")
    assert [depth for depth, _ in module.by_depth()] == [0, 1, 2]  # the pooling behind stage3 has no weights
    assert module.by_depth()[0][1] is module.head
    assert module.by_depth()[-1][1] is module.suffix.stages[0]


def test_a_head_of_other_taps_is_refused_with_all_widths(problem):
    p = problem("resnet", taps=("pooled",))
    with pytest.raises(UsageError, match=r"40 features wide, but the head has 16, mean 16 and scale 16"):
        TunedSuffix(p.backbone, "stage2", ("stage2", "pooled"), p.head.map, p.mean, p.scale)


def test_prefix_taps_of_the_wrong_width_are_refused(problem):
    p = problem("resnet")
    activations, prefix = p.inputs("stage1", p.val_pixels)
    with pytest.raises(UsageError, match=r"found 15 features for the taps stem, stage1; expected 32"):
        p.module("stage1")(activations, prefix[:, :15])


def test_a_cold_start_scores_every_class_alike_and_trains_the_whole_network(problem):
    p = problem("resnet")
    module = cold_start(p.backbone, ("stage2", "pooled"), 4)
    pixels = torch.randn(2, 3, 16, 16)
    assert _logits(module, (pixels, torch.zeros(2, 0))).tolist() == [[0.0] * 4] * 2
    assert module.trained_stages == ("stem", "stage1", "stage2", "stage3")
    mean, scale = module.norm.statistics()
    assert mean.eq(0).all()
    assert scale.eq(1).all()
