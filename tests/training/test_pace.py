"""How long an epoch takes, by a clock that only reading moves."""

from dataclasses import replace

import pytest
import torch
from three_classes import seconds_per_epoch

from warmstart.training.execution import Execution
from warmstart.training.pace import STEPS, WARM_UP
from warmstart.training_settings import TrainingSettings

# 'stored': nothing but steps and val is read. 'update' settles the norm before val, which takes a few batches more.
SETTINGS = TrainingSettings(head_norm="stored", learning_rate=0.1, batch_norm="update")


class Clock:
    """Seconds pass only where something is read."""

    def __init__(self):
        self.now, self.reads = 0.0, 0

    def __call__(self):
        return self.now

    def slow(self, read, *, seconds, first=None):
        """``read``, taking so long; ``first``: the first call."""
        calls = []

        def timed(indices, views):
            self.now += first if first is not None and not calls else seconds
            calls.append(len(indices))
            self.reads += 1
            return read(indices, views)

        return timed


def _pace(p, clock, *, batch_size, first=None):
    batches, val = p.train("stage1", batch_size=batch_size), p.val("stage1")
    slow_batches = replace(batches, read=clock.slow(batches.read, seconds=3.0, first=first))
    slow_val = replace(val, read=clock.slow(val.read, seconds=5.0))
    module = p.module("stage1")
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    state = torch.random.get_rng_state()
    seconds = seconds_per_epoch(module, slow_batches, slow_val, SETTINGS, Execution(), clock=clock)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert [part.training for part in module.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), state)
    return seconds


def test_a_few_steps_stand_for_all_batches_and_val_is_looked_at_once_and_the_module_stays_as_it_is(problem):
    clock = Clock()
    assert _pace(problem(), clock, batch_size=4) == pytest.approx(18 * 3.0 + 3 * 5.0)  # 72 pictures; 60 of val in 20s
    assert clock.reads == WARM_UP + STEPS + 3


def test_the_first_step_in_which_everything_is_slow_does_not_count(problem):
    assert _pace(problem(), Clock(), batch_size=4, first=1000.0) == pytest.approx(18 * 3.0 + 3 * 5.0)


def test_where_there_is_only_one_batch_it_counts(problem):
    assert _pace(problem(), Clock(), batch_size=72) == pytest.approx(3.0 + 3 * 5.0)
