"""Where and how the suffix runs, and the search for a learning rate."""

import numpy as np
import pytest
import torch
from three_classes import find_learning_rate, fine_tune, validate

from warmstart.errors import UsageError
from warmstart.training.execution import Execution, default_execution
from warmstart.training.lr_find import suggest
from warmstart.training_settings import TrainingSettings

QUICK = TrainingSettings(epochs=1, learning_rate=2e-3)


def test_layout_and_half_precision_change_the_arithmetic_and_not_the_result(problem):
    losses = {}
    for execution in (Execution(), Execution(channels_last=False), Execution(precision="bf16")):
        p = problem()
        module = p.module("stem")
        *_, epoch, _ = fine_tune(module, p.train("stem"), p.val("stem"), QUICK, execution=execution)
        losses[execution] = epoch.val.loss
        assert all(tensor.dtype == torch.float32 for tensor in module.parameters())
    plain, contiguous, half = losses.values()
    assert contiguous == pytest.approx(plain, rel=1e-4)
    assert half == pytest.approx(plain, rel=0.1)
    assert half != plain


def test_the_module_runs_in_the_layout_asked_for_and_comes_back_in_its_own(problem):
    p = problem()
    module = p.module("stem")
    convolution = p.backbone.network.layer2.body[3]

    def is_channels_last():
        return convolution.weight.is_contiguous(memory_format=torch.channels_last) and not convolution.weight.is_contiguous()

    seen = []
    for _ in fine_tune(module, p.train("stem"), p.val("stem"), QUICK):
        seen.append(is_channels_last())
    assert all(seen)
    assert not is_channels_last()
    (activations, prefix), _ = Execution().place((p.inputs("stem", p.pixels), torch.from_numpy(p.labels)))
    assert activations.is_contiguous(memory_format=torch.channels_last)
    assert prefix.dim() == 2


def test_stored_half_precision_rows_are_widened(problem):
    p = problem()
    inputs = tuple(x.half() for x in p.inputs("stem", p.pixels))
    placed, _ = Execution().place((inputs, torch.from_numpy(p.labels)))
    assert [x.dtype for x in placed] == [torch.float32] * 2


def test_a_gpu_gets_half_precision_and_channels_last(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_execution() == Execution(device="cuda", precision="bf16", channels_last=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_execution() == Execution()


def test_the_search_for_a_rate_leaves_weights_and_generator_untouched_and_finds_one_that_trains(problem):
    p = problem(blank_head=True)
    module = p.module("stem")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.random.get_rng_state()
    curve = find_learning_rate(module, p.train("stem"), TrainingSettings(batch_norm="update"), steps=60)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(curve.rates) == len(curve.losses) == len(curve.smoothed) <= 60
    assert np.all(np.diff(curve.rates) > 0)
    assert curve.rates[0] < curve.suggestion < 1
    settings = TrainingSettings(epochs=3, learning_rate=curve.suggestion)
    start = validate(module, p.val("stem"), Execution())
    events = list(fine_tune(module, p.train("stem"), p.val("stem"), settings))
    assert events[-1].best_epoch > 0
    assert validate(module, p.val("stem"), Execution()).named["calibrated_loss"] < start.named["calibrated_loss"]


def test_the_suggestion_is_where_the_loss_falls_fastest():
    rates = np.geomspace(1e-5, 1, 101).tolist()
    losses = [1.0 / (1 + (rate / 1e-3) ** 2) + (10 * rate) ** 4 + 0.2 for rate in rates]  # steepest in log rate at 1e-3
    rate, reason = suggest(rates, losses)
    assert rate == pytest.approx(1e-3, rel=0.15)
    assert "falls fastest" in reason


def test_where_the_loss_has_nothing_left_to_fall_a_tenth_of_where_it_rises():
    rates = np.geomspace(1e-5, 1, 101).tolist()
    rate, reason = suggest(rates, [0.4 * (1 + rate / 1e-2 * 0.05) for rate in rates])
    assert rate == pytest.approx(1e-3, rel=0.15)
    assert "begins to rise" in reason


def test_a_range_that_is_none_and_a_loss_that_is_never_finite_are_refused(problem):
    p = problem()
    with pytest.raises(UsageError, match="are no range"):
        find_learning_rate(p.module("stem"), p.train("stem"), QUICK, lowest=1.0, highest=0.1)
    with pytest.raises(UsageError, match="not finite from the first steps"):
        suggest([], [])
