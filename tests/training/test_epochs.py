"""Order, views, batches, schedules, targets and mixtures: the pure parts."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from three_classes import train_batches, val_batches

from warmstart.errors import UsageError
from warmstart.tasks.classify.loss import cross_entropy, soft_targets
from warmstart.training.mixing import mixup
from warmstart.training.randomness import generator, seeded_network
from warmstart.training.sampling import balanced_order, epoch_order, epoch_views
from warmstart.training.schedule import multiplier, one_cycle, warmup_cosine


@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 50))
def test_an_epoch_visits_every_picture_once_in_an_order_of_its_own(seed, epoch, n):
    order = epoch_order(seed, epoch, n)
    assert sorted(order) == list(range(n))
    assert np.array_equal(order, epoch_order(seed, epoch, n))
    if n > 20:
        assert not np.array_equal(order, epoch_order(seed, epoch + 1, n))
        assert not np.array_equal(order, epoch_order(seed + 1, epoch, n))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 5))
def test_balanced_every_class_comes_equally_often_and_repeats_only_when_it_must(labels, epoch):
    labels = np.array(labels)
    order = balanced_order(3, epoch, labels)
    assert len(order) == len(labels)
    shares = Counter(labels[order].tolist())
    assert set(shares) == set(labels.tolist()) or len(labels) < len(set(labels.tolist()))
    assert max(shares.values()) - min(shares.values()) <= 1
    times = Counter(order.tolist())
    for label, share in shares.items():
        members = np.flatnonzero(labels == label)
        counts = [times[member] for member in members.tolist()]
        assert max(counts) <= -(-share // len(members))
        assert max(counts) - min(counts) <= 1


def test_views_are_drawn_evenly_and_anew_every_epoch():
    views = epoch_views(0, 1, 4000, 4)
    assert np.array_equal(views, epoch_views(0, 1, 4000, 4))
    assert not np.array_equal(views, epoch_views(0, 2, 4000, 4))
    assert min(np.bincount(views, minlength=4)) > 900


@pytest.mark.parametrize("start", [0, 3, 7])
def test_an_epoch_can_be_entered_at_any_batch(start):
    seen = []
    batches = train_batches(
        np.arange(50) % 3,
        read=lambda indices, views: seen.append((indices.tolist(), views.tolist())) or (torch.zeros(len(indices), 1),),
        batch_size=7,
        seed=5,
        n_views=4,
    )
    whole = [labels.tolist() for _, labels in batches.epoch(2, 0)]
    drawn = list(seen)
    seen.clear()
    assert [labels.tolist() for _, labels in batches.epoch(2, start)] == whole[start:]
    assert seen == drawn[start:]
    assert len(batches) == 8
    assert {len(labels) for labels in whole} == {6, 7}  # no last batch of one
    assert len({view for _, views in drawn for view in views}) == 4


def test_val_is_view_0_of_every_picture_in_order():
    val = val_batches(
        np.arange(5), read=lambda indices, views: (torch.from_numpy(indices), torch.from_numpy(views)), batch_size=2
    )
    indices, views = (torch.cat(column).tolist() for column in zip(*(inputs for inputs, _ in val.batches()), strict=True))
    assert indices == [0, 1, 2, 3, 4]
    assert views == [0] * 5


def test_a_batch_larger_than_the_split_and_an_empty_split_are_refused():
    with pytest.raises(UsageError, match=r"batch of 64 is larger than the train split \(50 pictures\)"):
        train_batches(np.zeros(50, np.int64), read=lambda i, v: (), batch_size=64, seed=0)
    with pytest.raises(UsageError, match="val split holds no picture"):
        val_batches(np.zeros(0, np.int64), read=lambda i, v: (), batch_size=64)
    with pytest.raises(UsageError, match="batch size 0"):
        val_batches(np.zeros(9, np.int64), read=lambda i, v: (), batch_size=0)


@given(st.integers(1, 300), st.sampled_from(["cosine", "one-cycle"]), st.floats(0, 0.9))
def test_a_schedule_stays_above_0_and_at_most_1(total, name, warmup):
    factors = [multiplier(name, step, total, warmup=warmup) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)


def test_warm_up_rises_straight_and_the_cosine_ends_near_0():
    factors = [warmup_cosine(step, 100, warmup_steps=4) for step in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[52] == pytest.approx(0.5, abs=0.01)
    assert factors[99] < 1e-3
    assert np.all(np.diff(factors[4:]) < 0)


def test_one_cycle_goes_up_and_down_and_then_far_down():
    factors = [one_cycle(step, 100) for step in range(101)]
    assert (factors[0], factors[45], factors[90], factors[100]) == pytest.approx((0.1, 1, 0.1, 0.001))
    assert factors[20] == pytest.approx(factors[70])


def test_soft_targets_and_their_loss_are_those_of_torch():
    random = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(20, 4, generator=random), torch.randint(4, (20,), generator=random)
    plain = torch.nn.functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=0.2)
    torch.testing.assert_close(cross_entropy(logits, soft_targets(labels, 4, smoothing=0.2)), plain)
    weights = (0.5, 1.0, 2.0, 3.0)
    weighted = torch.nn.functional.cross_entropy(logits, labels, reduction="sum", weight=torch.tensor(weights))
    torch.testing.assert_close(cross_entropy(logits, soft_targets(labels, 4, class_weights=weights)), weighted)


def test_mixup_mixes_all_inputs_and_targets_with_one_share_and_one_partner():
    activations, prefix, targets = torch.rand(8, 2, 3, 3), torch.rand(8, 5), torch.eye(8)
    (mixed, mixed_prefix), mixed_targets = mixup((activations, prefix), targets, alpha=1.0, random=np.random.default_rng(4))
    torch.testing.assert_close(mixed, torch.einsum("ij,jchw->ichw", mixed_targets, activations))
    torch.testing.assert_close(mixed_prefix, mixed_targets @ prefix)
    torch.testing.assert_close(mixed_targets.sum(1), torch.ones(8))
    own = mixed_targets.diagonal()
    assert own[own < 0.999].unique().numel() == 1


def test_random_numbers_follow_from_seed_purpose_and_position_alone():
    draws = {
        key: generator(*key).integers(2**60)
        for key in [(0, "order", 1), (0, "views", 1), (1, "order", 1), (0, "order", 2), (0, "mixup", 1, 0), (0, "mixup", 1, 1)]
    }
    assert len(set(draws.values())) == len(draws)


def test_the_networks_randomness_is_a_steps_own_and_the_global_generator_is_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with seeded_network(0, 5, "cpu"):
        first = torch.rand(3)
    with seeded_network(0, 5, "cpu"):
        again = torch.rand(3)
    with seeded_network(0, 6, "cpu"):
        other = torch.rand(3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.rand(3), expected)
