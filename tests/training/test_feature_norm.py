"""The norm before the head: starts as the frozen standardisation, cancels what is common, and is settled before it is judged.

B batch, D features.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from three_classes import fine_tune, train_batches
from torch import Tensor, nn

from warmstart.training.batches import Batch
from warmstart.training.execution import Execution
from warmstart.training.feature_norm import EPS, SETTLING_BATCHES, FeatureNorm
from warmstart.training.tuned import TunedSuffix, set_training
from warmstart.training.validation import settle
from warmstart.training_settings import StatisticsPolicy, TrainingSettings

D = 7
LIVE = np.array([True, True, False, True, True, False, True])
CONSTANT = 4  # a live feature that never varied where the head was fitted: scale 0
MEAN = np.linspace(-20, 30, D, dtype=np.float32)
SCALE = np.array([0.2, 1.0, 5.0, 2.0, 0.0, 0.5, 40.0], np.float32)


def norm_of(live: np.ndarray = LIVE, scale: np.ndarray = SCALE) -> FeatureNorm:
    return FeatureNorm(MEAN, scale, live)


def features(n: int, *, seed: int = 0) -> Tensor:
    """(n, D), with the means and deviations that the standardisation of the start takes them to have."""
    deviation = np.divide(1, SCALE, out=np.zeros_like(SCALE), where=SCALE > 0)
    random = np.random.default_rng(seed).normal(size=(n, D))
    return torch.from_numpy((MEAN + random * deviation).astype(np.float32))


def standardised(x: Tensor) -> Tensor:
    return (x - torch.from_numpy(MEAN)) * torch.from_numpy(SCALE)


def settled(norm: FeatureNorm, *batches: Tensor) -> FeatureNorm:
    with norm.settling():
        for batch in batches:
            norm(batch)
    return norm


def test_at_the_start_evaluation_sees_exactly_the_standardisation_that_the_head_was_fitted_under() -> None:
    x = features(20)
    assert torch.equal(norm_of().eval()(x), standardised(x))
    assert torch.equal(norm_of().eval()(x[:1]), standardised(x[:1]))


@pytest.mark.parametrize("live", [LIVE, ~LIVE, np.ones(D, bool), np.zeros(D, bool)])
def test_in_training_what_all_pictures_share_cancels_in_live_features_and_stays_in_those_of_the_prefix(
    live: np.ndarray,
) -> None:
    norm, x, varies = norm_of(live).train(), features(64), SCALE > 0
    plain = norm(x)
    shifted, scaled = norm(x + 10 / torch.from_numpy(SCALE).clamp(min=0.1)), norm(MEAN[0] + 3 * (x - MEAN[0]))
    torch.testing.assert_close(shifted[:, live], plain[:, live], rtol=0, atol=2e-3)
    both = live & varies
    torch.testing.assert_close(scaled[:, both], plain[:, both], rtol=EPS, atol=2e-3)  # up to EPS beside the variance
    assert torch.equal(plain[:, ~live], standardised(x)[:, ~live])
    if (~both & varies).any():
        assert (shifted - plain)[:, ~both & varies].abs().min() > 1


def test_in_training_it_is_torchs_batch_norm_of_the_standardised_features() -> None:
    x = features(32)
    expected = nn.BatchNorm1d(D, eps=EPS, affine=False).train()(standardised(x))
    torch.testing.assert_close(norm_of(np.ones(D, bool)).train()(x), expected)


def test_settled_evaluation_is_by_the_mean_over_batches_of_their_means_and_variances() -> None:
    batches = [features(16, seed=1) + 3, features(16, seed=2) * 1.5, features(8, seed=3)]
    norm = settled(norm_of(), *batches)
    z = [standardised(batch).double() for batch in batches]
    mean = torch.stack([batch.mean(0) for batch in z]).mean(0)
    variance = torch.stack([batch.var(0, correction=1) for batch in z]).mean(0)
    x = features(30, seed=4)
    expected = (standardised(x).double() - mean) / (variance + EPS).sqrt()
    torch.testing.assert_close(norm(x)[:, LIVE].double(), expected[:, LIVE], rtol=1e-4, atol=1e-4)
    assert torch.equal(norm(x)[:, ~LIVE], standardised(x)[:, ~LIVE])


@pytest.mark.parametrize("moved", [False, True])
def test_statistics_are_the_mean_and_scale_of_what_evaluation_sees(moved: bool) -> None:
    norm = norm_of().eval()
    if moved:
        settled(norm, features(32, seed=1) * 1.2 + 5, features(32, seed=2))
    mean, scale = norm.statistics()
    x = features(25, seed=3)
    x[:, CONSTANT] += torch.arange(25)  # it may vary now; it still takes no part
    torch.testing.assert_close((x - mean) * scale, norm(x), rtol=1e-4, atol=1e-4)
    assert scale[CONSTANT] == 0
    assert mean.isfinite().all()
    assert torch.equal(scale, torch.from_numpy(SCALE)) == (not moved)
    assert torch.equal(mean[~LIVE], torch.from_numpy(MEAN)[~LIVE])
    assert torch.equal(scale[~LIVE], torch.from_numpy(SCALE)[~LIVE])


@pytest.mark.parametrize("moved", [False, True])
def test_a_batch_of_one_picture_is_seen_as_in_evaluation_and_teaches_nothing(moved: bool) -> None:
    norm, x = norm_of(), features(1)
    if moved:
        settled(norm, features(32, seed=1) * 2 + 5)
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    torch.testing.assert_close(norm.train()(x), norm.eval()(x), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(buffer, before[name]) for name, buffer in norm.named_buffers())


def test_settling_on_batches_of_one_picture_leaves_the_standardisation_of_the_start() -> None:
    norm, x = norm_of(), features(5)
    settled(norm, *x.split(1))
    assert torch.equal(norm(x), standardised(x))


def test_a_channel_that_falls_silent_is_not_blown_up_by_more_than_10() -> None:
    norm, x = norm_of(), features(32)
    x[:, 0] = float(MEAN[0]) + 1e-3 * torch.randn(32, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 4.0
    z = standardised(x)
    for seen in (norm.train()(x), settled(norm, x)(x)):
        assert ((seen - seen.mean(0)).abs() <= 10.01 * (z - z.mean(0)).abs() + 1e-5).all()
        assert seen[:, 1].abs().max() < 1e-3
    assert (norm.statistics()[1] <= 10.0001 * torch.from_numpy(SCALE)).all()


def test_settling_forgets_what_was_known_before() -> None:
    fresh, old = settled(norm_of(), features(16)), settled(norm_of(), features(16, seed=9) * 7 + 100)
    assert not torch.equal(fresh.statistics()[0], old.statistics()[0])
    settled(old, features(16))
    for here, there in zip(fresh.statistics(), old.statistics(), strict=True):
        assert torch.equal(here, there)


@pytest.mark.parametrize("batch_norm", ["stored", "update"])
@pytest.mark.parametrize("head_norm", ["stored", "update"])
def test_the_policy_before_the_head_is_its_own(problem, batch_norm: StatisticsPolicy, head_norm: StatisticsPolicy) -> None:
    module = problem().module("stage1")
    set_training(module, batch_norm, head_norm)
    assert module.norm.batch.training == (head_norm == "update")
    inside = [part.training for part in module.suffix.modules() if isinstance(part, nn.BatchNorm2d)]
    assert inside == [batch_norm == "update"] * len(inside)
    assert inside


def moved_module(p) -> TunedSuffix:
    """At 'stage1', with other weights than the head was fitted for, in the mode that it is trained in."""
    module = p.module("stage1")
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.suffix.parameters():
            parameter.mul_(1 + 0.3 * torch.randn(parameter.shape, generator=random))
    set_training(module, "update", "update")
    return module


def test_settle_takes_the_statistics_of_the_first_batches_of_the_epoch_and_touches_nothing_else(problem) -> None:
    p = problem()
    module, batches = moved_module(p), p.train("stage1", batch_size=4)
    assert len(batches) > SETTLING_BATCHES
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    settle(module, batches, 3, Execution())
    assert not any(part.training for part in module.modules())
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"norm.batch.running_mean", "norm.batch.running_var", "norm.batch.num_batches_tracked"}

    z = features_before_the_norm(
        module, [batch for batch, _ in zip(batches.epoch(3, 0), range(SETTLING_BATCHES), strict=False)]
    )
    live = module.norm.live
    mean = torch.stack([part.mean(0) for part in z]).mean(0)
    variance = torch.stack([part.var(0) for part in z]).mean(0)
    torch.testing.assert_close(module.norm.batch.running_mean[live].double(), mean[live], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(module.norm.batch.running_var[live].double(), variance[live], rtol=1e-4, atol=1e-4)


def features_before_the_norm(module: TunedSuffix, batches: list[Batch]) -> list[Tensor]:
    """(B, D) float64 for each batch, standardised as at the start, from a module in eval mode."""
    seen: list[Tensor] = []
    hook = module.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().double()))
    with torch.no_grad():
        for inputs, _ in batches:
            module(*inputs)
    hook.remove()
    return [(x - module.norm.start_mean) * module.norm.start_scale for x in seen]


def test_settling_twice_gives_the_same_bits_and_another_epoch_gives_others(problem) -> None:
    p = problem()
    module, batches = moved_module(p), p.train("stage1", batch_size=4)

    def statistics(epoch: int) -> Tensor:
        settle(module, batches, epoch, Execution())
        return torch.cat(module.norm.statistics())

    first = statistics(0)
    other = statistics(1)
    assert not torch.equal(other, first)
    assert torch.equal(statistics(0), first)


def test_a_module_whose_norm_has_moved_is_a_head_with_the_same_logits(problem) -> None:
    p = problem(blank_head=True)
    module = p.module("stage1")
    start = torch.cat(module.norm.statistics())
    settings = TrainingSettings(epochs=3, learning_rate=5e-3, head_norm="update")
    *_, finished = fine_tune(module, p.train("stage1"), p.val("stage1"), settings)
    assert finished.best_epoch > 0
    assert not torch.allclose(torch.cat(module.norm.statistics()), start, rtol=0.02)
    with torch.inference_mode():
        expected = module(*p.inputs("stage1", p.val_pixels)).numpy()
    found = module.learnt_head()(p.features(p.val_pixels))  # from pixels, through backbone.network
    np.testing.assert_allclose(found, expected, atol=3e-5 * np.abs(expected).max())


def test_stored_the_norm_stays_that_of_the_start_through_training(problem) -> None:
    p = problem(blank_head=True)
    module = p.module("stage1")
    before = {name: tensor.clone() for name, tensor in module.norm.state_dict().items()}
    settings = TrainingSettings(epochs=3, learning_rate=5e-3, head_share=1.0, head_norm="stored")
    *_, finished = fine_tune(module, p.train("stage1"), p.val("stage1"), settings)
    assert finished.best_epoch > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.norm.state_dict().items())


def test_features_that_all_move_alike_do_not_make_the_head_worse(problem) -> None:
    """What the norm is for: one step shifts every picture's features by several deviations."""
    p = problem()
    losses = {}
    for policy in ("stored", "update"):
        batches = p.train("stage2")
        shifted = train_batches(p.labels, read=and_shifted(batches.read, by=torch.tensor(0.5)), batch_size=36, seed=0)
        module = p.module("stage2")
        set_training(module, "stored", policy)
        losses[policy] = mean_loss(module, shifted.epoch(0, 0))
        assert losses[policy] > 0
    module = p.module("stage2").eval()
    frozen = mean_loss(module, p.train("stage2", batch_size=36).epoch(0, 0))
    assert abs(losses["update"] - frozen) < 0.5 * (losses["stored"] - frozen)


def and_shifted(read: Callable[..., tuple[Tensor, ...]], *, by: Tensor) -> Callable[..., tuple[Tensor, ...]]:
    def shifted(indices: np.ndarray, views: np.ndarray) -> tuple[Tensor, ...]:
        activations, prefix = read(indices, views)
        return activations + by, prefix

    return shifted


def mean_loss(module: TunedSuffix, batches: Iterator[Batch]) -> float:
    with torch.no_grad():
        return float(np.mean([nn.functional.cross_entropy(module(*inputs), labels).item() for inputs, labels in batches]))
