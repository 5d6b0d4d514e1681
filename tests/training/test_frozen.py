"""Frozen means frozen: not one bit left of the cut, or of what is named right of it, changes, batch-norm statistics included."""

from dataclasses import replace

import pytest
import torch
from three_classes import find_learning_rate, fine_tune, seconds_per_epoch

from warmstart.backbones import freezing
from warmstart.backbones.chain import split
from warmstart.backbones.freezing import cut_by_freezing, frozen_parts, held
from warmstart.errors import UsageError
from warmstart.plan import Plan
from warmstart.training import lr_find, pace
from warmstart.training.events import Step
from warmstart.training.execution import Execution
from warmstart.training.frozen import parts_digest, prefix_digest, with_cut
from warmstart.training.optimisation import parameter_groups
from warmstart.training.tuned import set_training
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


def _state(parts):
    return {name: tensor.detach().contiguous().numpy().tobytes() for name, tensor in parts.tensors().items()}


LEARNS = {
    "resnet": ("stem", ["stem", "stage2"]),
    "norms": ("pixels", ["stage[13]", "layer2.*.1.*"]),
    "vgg": ("pixels", ["stage1"]),
}


@pytest.mark.parametrize("case", LEARNS)
@pytest.mark.parametrize("average_decay", [None, 0.9])
def test_what_is_frozen_right_of_the_cut_keeps_every_bit_and_what_lies_between_learns(problem, case, average_decay):
    cut, patterns = LEARNS[case]
    p = problem("vgg" if case == "vgg" else "resnet", blank_head=True)
    assert cut_by_freezing(p.backbone, patterns) == cut
    parts, all_parts = frozen_parts(p.backbone, patterns, right_of=cut), frozen_parts(p.backbone, ["*"], right_of=cut)
    before, all_before, digest = _state(parts), _state(all_parts), parts_digest(parts)
    settings = replace(HARD, average_decay=average_decay, weight_decay=0.1)
    with held(parts):
        module = p.module(cut)
        optimized = {id(q) for group in parameter_groups(module, settings) for q in group["params"]}
        list(fine_tune(module, p.train(cut), p.val(cut), settings))
    assert before
    assert not optimized & {id(parameter) for parameter in parts.parameters.values()}
    assert _state(parts) == before
    assert parts_digest(parts) == digest
    learning = all_before.keys() - before.keys()
    unchanged = [name for name in learning if _state(all_parts)[name] == all_before[name]]
    assert unchanged == [], "all that is not frozen learns, statistics too"
    assert not module.training


@pytest.mark.parametrize("mutant", ["statistics", "gradients"])
def test_the_proof_notices_frozen_layers_that_are_held_by_half(problem, mutant, monkeypatch):
    """The two usual mistakes: no gradient but train mode, and eval mode but in the optimizer's hands."""
    p = problem(blank_head=True)
    parts = frozen_parts(p.backbone, ["stem", "stage2"], right_of="stem")
    digest = parts_digest(parts)
    if mutant == "statistics":
        monkeypatch.setattr(freezing, "_hooked", lambda modules: [])
    else:
        parts = replace(parts, parameters={})
    with held(parts):
        list(fine_tune(p.module("stem"), p.train("stem"), p.val("stem"), HARD))
    assert parts_digest(frozen_parts(p.backbone, ["stem", "stage2"], right_of="stem")) != digest


def test_a_frozen_layer_drops_nothing_out_while_the_rest_trains(problem):
    p = problem("vgg")  # with dropout in 'pooled'
    module, inputs = p.module("stem"), p.inputs("stem", p.pixels[:4])
    set_training(module, "stored", "stored")
    assert not torch.equal(module(*inputs), module(*inputs))
    with held(frozen_parts(p.backbone, ["pooled"], right_of="stem")):
        set_training(module, "stored", "stored")
        assert torch.equal(module(*inputs), module(*inputs))


@pytest.mark.parametrize("search", ["learning rate", "pace"])
def test_copies_that_are_trained_on_trial_are_frozen_as_well(problem, search, monkeypatch):
    p, seen = problem(), []
    looked_into = lr_find if search == "learning rate" else pace
    make = looked_into.make_optimizer
    monkeypatch.setattr(looked_into, "make_optimizer", lambda module, settings: seen.append(module) or make(module, settings))
    with held(frozen_parts(p.backbone, ["stage2"], right_of="stem")):
        module = p.module("stem")
        if search == "learning rate":
            find_learning_rate(module, p.train("stem"), HARD, steps=10)
        else:
            seconds_per_epoch(module, p.train("stem"), p.val("stem"), HARD, Execution())
    (copy,) = seen
    assert copy is not module
    ours, theirs = module.state_dict(), copy.state_dict()
    different = {name.split(".")[2] for name in ours if name.startswith("suffix") and not torch.equal(ours[name], theirs[name])}
    assert different == {"0", "2"}, "stage1 and stage3"


@pytest.mark.parametrize("stop_after", [3, 7])
def test_a_run_with_frozen_layers_is_resumed_to_the_same_bits(problem, stop_after):
    def run(resume=None, save=None, stop=None):
        p = problem(blank_head=True)
        with held(frozen_parts(p.backbone, ["stage2"], right_of="stem")):
            module = p.module("stem")
            events = fine_tune(module, p.train("stem"), p.val("stem"), HARD, resume=resume, save=save, save_every_s=0)
            for event in events:
                if isinstance(event, Step) and event.step == stop:
                    events.close()
        return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}

    saved = []
    run(save=saved.append, stop=stop_after)
    assert not any(name.startswith("optimizer/suffix.stages.1.") for name in saved[-1].tensors), "nothing is kept for them"
    assert run(resume=saved[-1]) == run()


RESNET = Plan(backbone="resnet18")


@pytest.mark.parametrize(
    ("plan", "cut"),
    [
        (RESNET, "pooled"),
        (replace(RESNET, freeze=("stem", "stage1", "stage3")), "stage1"),
        (replace(RESNET, freeze=("stage[1-4]",)), "pixels"),
        (replace(RESNET, freeze=("*",)), "pooled"),
        (replace(RESNET, freeze=("stem", "layer*")), "pooled"),
        (replace(RESNET, freeze=("stem", "stage[1-3]"), cut="stage1"), "stage1"),
        (replace(RESNET, freeze=("stem", "stage[1-3]"), cut="layer3"), "layer3"),
        (replace(RESNET, freeze=("stem", "stage3"), cut="auto"), "auto"),
        (replace(RESNET, freeze=("*",), cut="stage3", head="svm"), "stage3"),
    ],
)
def test_a_plan_gets_the_cut_that_its_frozen_layers_lead_to(plan, cut):
    resolved = with_cut(plan)
    assert resolved == replace(plan, cut=cut)
    assert with_cut(resolved) == resolved


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (
            replace(RESNET, freeze=("stem", "stage2"), cut="stage3"),
            "--freeze stem,stage2 leaves stage1 to learn, and --cut stage3",
        ),
        (replace(RESNET, freeze=("stem", "stage2"), cut="stage3"), "Leave --cut out, and it stands at stem"),
        (replace(RESNET, freeze=("stage2",), cut="stem"), "leaves stem to learn, and --cut stem .* stands at pixels"),
        (replace(RESNET, freeze=("*",), cut="stage3"), "freezes the whole network, and --cut stage3 is to train"),
        (replace(RESNET, freeze=("stem", "sage2")), "unknown layer 'sage2'.*Did you mean 'stage2'"),
        (replace(RESNET, freeze=("*",), augment="flip"), "freezes the whole network, and --augment is for training it"),
        (replace(RESNET, freeze=("stem", "stage*"), unfreeze=("stage3",)), "freezes the whole network, and --unfreeze is"),
        (replace(RESNET, freeze=("maxpool",)), "names nothing that learns"),
        (replace(RESNET, freeze=("fc",)), "old classifier"),
    ],
)
def test_frozen_layers_that_contradict_the_cut_or_are_none_are_refused(plan, words):
    with pytest.raises(UsageError, match=words):
        with_cut(plan)
