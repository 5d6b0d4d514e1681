"""Frozen means frozen: not one bit left of the cut changes, batch-norm statistics included."""

import pytest
import torch

from warmstart.backbones.chain import split
from warmstart.training.frozen import prefix_digest
from warmstart.training.loop import fine_tune
from warmstart.training_settings import TrainingSettings

HARD = TrainingSettings(epochs=4, learning_rate=2e-3, depth_decay=1.0, batch_norm="update")  # 20 steps


def _bytes(prefix):
    return [tensor.detach().contiguous().numpy().tobytes() for tensor in (*prefix.parameters(), *prefix.buffers())]


@pytest.mark.parametrize(("kind", "cut"), [("resnet", "stage2"), ("resnet", "stem"), ("vgg", "stem")])
def test_the_prefix_keeps_every_bit_through_training_and_the_suffix_does_not(problem, kind, cut):
    p = problem(kind, blank_head=True)
    prefix, suffix = split(p.backbone, cut)
    before, suffix_before, digest = _bytes(prefix), _bytes(suffix), prefix_digest(p.backbone, cut)
    list(fine_tune(p.module(cut), p.train(cut), p.val(cut), HARD))
    assert _bytes(prefix) == before
    assert prefix_digest(p.backbone, cut) == digest
    assert _bytes(suffix) != suffix_before


def test_through_gradual_unfreezing_each_stage_stays_until_it_is_its_turn(problem):
    p = problem(blank_head=True)
    digests = {cut: prefix_digest(p.backbone, cut) for cut in ("stem", "stage1", "stage2")}
    for cut in ("stage2", "stage1", "stem"):
        assert prefix_digest(p.backbone, cut) == digests[cut]
        list(fine_tune(p.module(cut), p.train(cut), p.val(cut), HARD))  # from a blank head each time: it surely learns
        assert prefix_digest(p.backbone, cut) == digests[cut]
    assert prefix_digest(p.backbone, "stage2") != digests["stage2"]


def test_the_proof_notices_a_prefix_whose_batch_norm_runs_in_train_mode(problem):
    """The usual mistake: parameters without gradient, but the network in train mode. The digest must not let it pass."""
    p = problem()
    digest = prefix_digest(p.backbone, "stage2")
    p.backbone.network.requires_grad_(False).train()
    p.backbone.network(torch.randn(8, 3, 16, 16))
    assert prefix_digest(p.backbone, "stage2") != digest


def test_the_proof_notices_one_bit_in_any_tensor(problem):
    p = problem()
    prefix, _ = split(p.backbone, "stage1")
    digest = prefix_digest(p.backbone, "stage1")
    with torch.no_grad():
        for tensor in (*prefix.parameters(), *prefix.buffers()):
            flat = tensor.detach().view(-1)
            old = flat[0].clone()
            flat[0] = old + 1
            assert prefix_digest(p.backbone, "stage1") != digest
            flat[0] = old
    assert prefix_digest(p.backbone, "stage1") == digest


def test_the_layout_in_memory_is_no_change(problem):
    p = problem()
    digest = prefix_digest(p.backbone, "stage1")
    p.backbone.network.to(memory_format=torch.channels_last)
    assert prefix_digest(p.backbone, "stage1") == digest
