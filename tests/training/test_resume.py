"""A run that was interrupted ends with the very weights of one that was not."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from three_classes import fine_tune

from warmstart.errors import InputError, MachineError, UsageError
from warmstart.training.checkpoint import read_checkpoint, write_checkpoint
from warmstart.training.events import Epoch, Finished, Resumed, Step
from warmstart.training.execution import Execution
from warmstart.training_settings import TrainingSettings

IDENTITY = {"plan": {"cut": "stem", "taps": "all"}, "data": "d1"}
EVERYTHING = TrainingSettings(
    epochs=3,
    learning_rate=3e-3,
    mixup_alpha=0.4,
    label_smoothing=0.1,
    average_decay=0.9,
    batch_norm="update",
    head_norm="update",
    head_penalty=0.05,
    schedule="one-cycle",
)
CASES = {
    "everything": ("resnet", EVERYTHING),
    "dropout": ("vgg", TrainingSettings(epochs=3, learning_rate=3e-3)),
    "norm before the head": ("resnet", TrainingSettings(epochs=3, learning_rate=3e-3, head_norm="update")),
    "norm before the head as it was": ("resnet", TrainingSettings(epochs=3, learning_rate=3e-3, head_norm="stored")),
    "sgd, two batches a step": ("resnet", TrainingSettings(epochs=3, optimizer="sgd", learning_rate=0.03, accumulate=2)),
}


def _bits(module):
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


def _run(p, settings, *, resume=None, save=None, stop_after=None):
    """(module, events); ``stop_after`` steps the caller walks away."""
    module = p.module("stem")
    events = []
    run = fine_tune(module, p.train("stem"), p.val("stem"), settings, resume=resume, save=save, save_every_s=0)
    for event in run:
        events.append(event)
        if isinstance(event, Step) and event.step == stop_after:
            run.close()
    return module, events


@pytest.mark.parametrize("case", CASES)
def test_interrupted_at_any_step_and_resumed_it_ends_with_the_same_bits(problem, tmp_path, case):
    kind, settings = CASES[case]
    undisturbed, all_events = _run(problem(kind, blank_head=True), settings)
    steps = sum(isinstance(event, Step) for event in all_events)
    assert all_events[-1].best_epoch > 0
    statistics = torch.cat(undisturbed.norm.statistics())
    assert torch.equal(statistics, torch.cat(problem(kind).module("stem").norm.statistics())) == (
        settings.head_norm == "stored"
    )
    for stop_after in np.random.default_rng(0).choice(np.arange(1, steps), size=2, replace=False):
        path = tmp_path / "checkpoint.safetensors"
        save = partial(write_checkpoint, path, identity=IDENTITY)
        _run(problem(kind, blank_head=True), settings, save=save, stop_after=stop_after)
        module, events = _run(problem(kind, blank_head=True), settings, resume=read_checkpoint(path, IDENTITY))
        assert isinstance(events[0], Resumed)
        assert (events[0].step, events[0].exact, events[0].differences) == (stop_after, True, ())
        assert _bits(module) == _bits(undisturbed)
        losses = [(event.step, event.loss) for event in events if isinstance(event, Step)]
        assert losses == [(event.step, event.loss) for event in all_events if isinstance(event, Step)][stop_after:]
        last = [(event.train_loss, event.val.loss) for event in events if isinstance(event, Epoch)]
        assert last == [(event.train_loss, event.val.loss) for event in all_events if isinstance(event, Epoch)][-len(last) :]


_CHILD = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
import conftest, test_resume
from warmstart.training.checkpoint import write_checkpoint
from warmstart.training.events import Step
from three_classes import fine_tune

p = conftest.make_problem(blank_head=True)
save = partial(write_checkpoint, Path(sys.argv[2]), identity=test_resume.IDENTITY)
for event in fine_tune(p.module("stem"), p.train("stem"), p.val("stem"), test_resume.EVERYTHING, save=save, save_every_s=0):
    if isinstance(event, Step):
        print(event.step, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_in_mid_epoch_and_resumed_it_ends_with_the_same_bits(problem, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    command = [sys.executable, "-c", _CHILD, str(Path(__file__).parent), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}) as child:
        for line in child.stdout:
            if int(line) == 8:  # of 15, in the second epoch
                child.kill()
                break
        child.stdout.read()
    assert child.returncode == -signal.SIGKILL
    checkpoint = read_checkpoint(path, IDENTITY)
    assert 8 <= checkpoint.position.step < 15
    assert checkpoint.position.batch > 0
    undisturbed, _ = _run(problem(blank_head=True), EVERYTHING)
    resumed, events = _run(problem(blank_head=True), EVERYTHING, resume=checkpoint)
    assert events[0].exact
    assert _bits(resumed) == _bits(undisturbed)


@pytest.fixture
def saved(problem, tmp_path):
    path = tmp_path / "run" / "checkpoint.safetensors"
    settings = TrainingSettings(epochs=2)
    _run(problem(), settings, save=partial(write_checkpoint, path, identity=IDENTITY), stop_after=7)
    return path, settings


def test_other_data_or_another_plan_is_refused_naming_every_field(saved):
    path, _ = saved
    with pytest.raises(UsageError) as caught:
        read_checkpoint(path, {"plan": {"cut": "stage1", "taps": "all"}, "data": "d2"})
    assert "data: d1 then, d2 now; plan.cut: stem then, stage1 now" in str(caught.value)
    assert "taps" not in str(caught.value)


def test_another_version_of_the_code_is_refused(saved, monkeypatch):
    path, _ = saved
    monkeypatch.setattr("warmstart.training.checkpoint.installed_version", lambda name: "99")
    with pytest.raises(UsageError, match=r"warmstart: .* then, 99 now"):
        read_checkpoint(path, IDENTITY)


def test_other_settings_or_another_number_of_batches_are_refused(problem, saved):
    path, settings = saved
    checkpoint = read_checkpoint(path, IDENTITY)
    with pytest.raises(UsageError, match=r"learning_rate: 0\.001 then, 0\.01 now"):
        _run(problem(), replace(settings, learning_rate=0.01), resume=checkpoint)
    with pytest.raises(UsageError, match="batches per epoch: 5 then, 7 now"):
        _run(problem(n=100), settings, resume=checkpoint)


def test_other_threads_work_and_are_not_called_exact(problem, saved):
    path, settings = saved
    torch.set_num_threads(2)
    _, events = _run(problem(), settings, resume=read_checkpoint(path, IDENTITY))
    assert isinstance(events[0], Resumed)
    assert (events[0].step, events[0].exact) == (7, False)
    assert events[0].differences == ("threads: 1 then, 2 now",)
    assert isinstance(events[-1], Finished)


def test_what_decides_last_bits_is_recorded(saved):
    execution = read_checkpoint(saved[0], IDENTITY).execution
    assert set(execution) == {"device", "precision", "channels last", "threads", "torch", "instruction set"}
    assert execution == Execution().describe()


def test_a_finished_run_resumes_to_its_end(problem, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    module, _ = _run(problem(), TrainingSettings(epochs=1), save=partial(write_checkpoint, path, identity=IDENTITY))
    again, events = _run(problem(), TrainingSettings(epochs=1), resume=read_checkpoint(path, IDENTITY))
    assert [type(event) for event in events] == [Resumed, Finished]
    assert _bits(again) == _bits(module)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    path, _ = saved
    before, checkpoint = path.read_bytes(), read_checkpoint(path, IDENTITY)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="disk is full"):
        write_checkpoint(path, checkpoint, IDENTITY)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_safetensors_with_json_and_keeps_every_float(saved):
    path, _ = saved
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    document = json.loads(header["__metadata__"]["warmstart"])
    assert document["position"]["step"] == 7
    checkpoint = read_checkpoint(path, IDENTITY)
    assert checkpoint.position.loss_sum == document["position"]["loss_sum"]
    assert set(load_file(path)) == set(checkpoint.tensors)
    assert {name.split("/")[0] for name in checkpoint.tensors} == {"module", "best", "optimizer"}


@pytest.mark.parametrize("damage", ["missing", "cut short", "foreign", "newer"])
def test_a_file_that_cannot_be_used_is_named(saved, damage):
    path, _ = saved
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "cut short":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "foreign":
        path.write_bytes(b"PK\x03\x04 something else")
    else:
        path.write_bytes(content.replace(b'\\"format\\": 2', b'\\"format\\": 9'))
    with pytest.raises(InputError, match=r"checkpoint\.safetensors"):
        read_checkpoint(path, IDENTITY)


def test_checkpoints_come_after_every_epoch_and_every_so_many_seconds(problem):
    p = problem()
    ticks = iter(range(10**6))
    saved = []
    run = fine_tune(
        p.module("stem"),
        p.train("stem"),
        p.val("stem"),
        TrainingSettings(epochs=2),
        save=saved.append,
        save_every_s=3,
        clock=lambda: next(ticks),  # one second a step
    )
    list(run)
    assert [(c.position.epoch, c.position.batch) for c in saved] == [(0, 3), (1, 0), (1, 3), (2, 0)]
