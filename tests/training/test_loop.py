"""The loop: what it keeps, when it stops, what it tells."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from three_classes import fine_tune, train_batches, val_batches, validate
from torch import nn

from warmstart.errors import InputError, UsageError
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.tasks.classify.loss import ClassObjective
from warmstart.training.events import Epoch, Finished, Step, Stopped
from warmstart.training.execution import Execution
from warmstart.training.tuned import TunedSuffix, cold_start
from warmstart.training_settings import TrainingSettings, cold_settings

QUICK = TrainingSettings(epochs=3, learning_rate=2e-3, depth_decay=1.0)


def _train(p, cut="stage1", settings=QUICK, **options):
    module = p.module(cut)
    return module, list(fine_tune(module, p.train(cut), p.val(cut), settings, **options))


def _epochs(events):
    return [event for event in events if isinstance(event, Epoch)]


def test_training_the_stages_after_a_cut_beats_the_frozen_head_on_pictures_it_has_not_seen(problem):
    p = problem(n=150)
    _, events = _train(p, "pixels", replace(QUICK, epochs=8))
    start, *later = _epochs(events)
    assert min(epoch.val.named["calibrated_loss"] for epoch in later) < 0.8 * start.val.named["calibrated_loss"]
    assert max(epoch.val.named["accuracy"] for epoch in later) > start.val.named["accuracy"] + 0.05


def test_the_events_number_steps_and_epochs_and_end_with_finished(problem):
    _, events = _train(problem())
    assert [event.step for event in events if isinstance(event, Step)] == list(range(1, 16))  # 72 pictures in 5 batches
    assert [event.epoch for event in events if isinstance(event, Step)] == [1] * 5 + [2] * 5 + [3] * 5
    assert [epoch.epoch for epoch in _epochs(events)] == [0, 1, 2, 3]
    assert _epochs(events)[0].train_loss is None
    assert isinstance(events[-1], Finished)
    best = [epoch.epoch for epoch in _epochs(events) if epoch.best][-1]
    assert events[-1].best_epoch == best


@pytest.mark.parametrize("kind", ["resnet", "vgg"])
def test_the_saved_form_backbone_and_head_scores_what_the_best_epoch_scored(problem, kind):
    p = problem(kind, blank_head=True)
    module, events = _train(p)
    best = [epoch for epoch in _epochs(events) if epoch.best][-1]
    assert best.epoch > 0
    logits = module.learnt_head()(p.features(p.val_pixels)).astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert -log_p[np.arange(60), p.val_labels].mean() == pytest.approx(best.val.loss, rel=1e-4)
    assert np.mean(logits.argmax(1) == p.val_labels) == best.val.named["accuracy"]


def test_when_training_only_harms_the_module_holds_the_untouched_start(problem):
    p = problem()
    start = {name: tensor.clone() for name, tensor in p.module("stage1").state_dict().items()}
    wrong = train_batches((p.labels + 1) % 3, read=p.train("stage1").read, batch_size=16, seed=0)
    module = p.module("stage1")
    *_, last = fine_tune(module, wrong, p.val("stage1"), replace(QUICK, learning_rate=0.03))
    assert last == Finished(best_epoch=0)
    assert all(torch.equal(tensor, start[name]) for name, tensor in module.state_dict().items())


def test_patience_stops_after_that_many_epochs_without_a_better_one(problem):
    p = problem()
    wrong = train_batches((p.labels + 1) % 3, read=p.train("stage1").read, batch_size=16, seed=0)
    harmful = replace(QUICK, epochs=9, patience=2, learning_rate=0.03, head_share=1.0, head_norm="stored")
    *events, last = fine_tune(p.module("stage1"), wrong, p.val("stage1"), harmful)
    assert [epoch.epoch for epoch in _epochs(events)] == [0, 1, 2]
    assert isinstance(last, Stopped)
    assert last.kind == "patience"
    assert "since epoch 0" in last.reason


def test_a_loss_that_is_not_finite_stops_with_step_and_rate_and_keeps_the_last_good_weights(problem):
    p = problem(blank_head=True)
    module, batches = _damaged(p, lambda module, training, settling: module.training and training == 8)
    *events, last = fine_tune(module, batches, p.val("stage1"), QUICK)
    assert isinstance(last, Stopped)
    assert last.kind == "diverged"
    assert "nan at step 8 with learning rate 0.00" in last.reason
    assert "lr-find" in last.reason
    best = [epoch for epoch in _epochs(events) if epoch.best][-1]
    assert best.epoch == 1
    assert validate(module, p.val("stage1"), Execution()).loss == pytest.approx(best.val.loss, rel=1e-5)


def test_damage_met_where_the_norm_is_settled_spoils_that_epoch_and_no_other(problem):
    p = problem(blank_head=True)
    module, batches = _damaged(p, lambda module, training, settling: not module.training and settling == 2)
    events = list(fine_tune(module, batches, p.val("stage1"), QUICK))
    assert [math.isfinite(epoch.val.loss) for epoch in _epochs(events)] == [True, False, True, True]
    assert not _epochs(events)[1].best
    assert events[-1].best_epoch > 1
    assert all(tensor.isfinite().all() for tensor in module.state_dict().values())


def _damaged(p, when):
    """(module, batches): activations are NaN in the read for which ``when`` says so, by how many in training and settling."""
    module, read = p.module("stage1"), p.train("stage1").read
    reads = {True: 0, False: 0}

    def broken(indices, views):
        reads[module.training] += 1
        activations, prefix = read(indices, views)
        return (activations * math.nan if when(module, reads[True], reads[False]) else activations), prefix

    return module, train_batches(p.labels, read=broken, batch_size=16, seed=0)


def test_an_absurd_learning_rate_never_leaves_the_module_worse_than_the_start(problem):
    p = problem()
    module, events = _train(p, settings=replace(QUICK, learning_rate=1e12, optimizer="sgd", clip_norm=None, warmup=0.0))
    assert (
        validate(module, p.val("stage1"), Execution()).named["calibrated_loss"]
        <= _epochs(events)[0].val.named["calibrated_loss"] + 1e-6
    )
    assert all(tensor.isfinite().all() for tensor in module.state_dict().values())


def test_a_start_that_is_not_finite_is_refused(problem):
    p = problem()
    p.val_pixels, read = p.val_pixels, p.val("stage1").read
    val = val_batches(p.val_labels, read=lambda i, v: tuple(x * math.inf for x in read(i, v)), batch_size=20)
    with pytest.raises(InputError, match="not finite on val before any training"):
        next(fine_tune(p.module("stage1"), p.train("stage1"), val, QUICK))


def test_the_time_limit_counts_training_only_and_evaluates_once_more(problem):
    p = problem()
    ticks = itertools.count(step=1.0)  # a second passes between any two looks at the clock
    settings = replace(QUICK, time_limit_s=7, epochs=100)
    events = list(fine_tune(p.module("stage1"), p.train("stage1"), p.val("stage1"), settings, clock=lambda: next(ticks)))
    assert sum(isinstance(event, Step) for event in events) == 6  # five and the evaluation, then one more
    assert [type(event) for event in events[-3:]] == [Step, Epoch, Stopped]
    assert events[-1].kind == "time"


def test_a_caller_who_stops_listening_gets_the_best_weights_so_far(problem):
    p = problem(blank_head=True)
    module = p.module("stage1")
    run = fine_tune(module, p.train("stage1"), p.val("stage1"), QUICK)
    after_first = next(event for event in run if isinstance(event, Epoch) and event.epoch == 1)
    assert after_first.best
    for _ in range(2):
        assert isinstance(next(run), Step)
    run.close()
    assert not module.training
    assert validate(module, p.val("stage1"), Execution()).loss == pytest.approx(after_first.val.loss, rel=1e-5)


def test_what_the_caller_draws_between_events_changes_nothing(problem):
    results = []
    for noisy in (False, True):
        p = problem("vgg")  # with dropout among what trains
        module = p.module("stem")
        for _ in fine_tune(module, p.train("stem"), p.val("stem"), QUICK):
            if noisy:
                torch.rand(3), np.random.rand(3)
        results.append(module.head.weight.detach().clone())
    assert torch.equal(*results)


def test_batch_norm_keeps_its_stored_statistics_or_learns_them(problem):
    def statistics(policy):
        p = problem(blank_head=True)
        before = {name: buffer.clone() for name, buffer in p.backbone.network.named_buffers()}
        _train(p, "stage1", replace(QUICK, batch_norm=policy, epochs=6))
        after = dict(p.backbone.network.named_buffers())
        return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}

    assert statistics("stored") == set()
    assert statistics("update") == {"layer2", "layer3"}  # and never left of the cut


def test_the_plan_of_gradual_unfreezing_is_the_same_call_at_cuts_further_left(problem):
    p = problem()
    for cut in ("stage2", "stage1", "pixels"):
        ends_at = validate(p.module(cut), p.val(cut), Execution())
        module, events = _train(p, cut, replace(QUICK, epochs=1))
        start = _epochs(events)[0]
        assert start.val.loss == pytest.approx(ends_at.loss, rel=1e-5)
        p.head = LinearHead.of_map(module.learnt_head())
        here = validate(module, p.val(cut), Execution())
        further_left = validate(p.module("pixels"), p.val("pixels"), Execution())
        assert further_left.loss == pytest.approx(here.loss, rel=1e-4)


def test_from_scratch_learns_with_the_settings_for_random_weights(problem):
    p = problem(n=240)
    module = cold_start(p.backbone, p.backbone.tap_names, 3)
    settings = cold_settings(epochs=8, learning_rate=1e-2)
    events = list(fine_tune(module, p.train("pixels"), p.val("pixels"), settings))
    start, *later = _epochs(events)
    assert start.val.loss == pytest.approx(math.log(3), rel=1e-6)
    assert max(epoch.val.named["accuracy"] for epoch in later) > 0.6


def test_class_weights_must_be_one_a_class(problem):
    p = problem()
    with pytest.raises(UsageError, match="found 2 class weights for 3 classes"):
        next(fine_tune(p.module("stage1"), p.train("stage1"), p.val("stage1"), replace(QUICK, class_weights=(1.0, 2.0))))


def _scores(margins, choose_by):
    """Of pictures whose true class has a logit so far above those of the two others."""
    logits = torch.zeros(len(margins), 3)
    logits[:, 0] = torch.tensor(margins)
    return ClassObjective(n_classes=3, choose_by=choose_by).scores([logits], [torch.zeros(len(margins), dtype=torch.int64)])


def test_which_epoch_is_better_by_loss_and_by_accuracy():
    sure, right, both = [4.0] * 8 + [-0.1] * 2, [0.1] * 9 + [-4.0], [1.0] * 9 + [-1.0]
    by_loss = [_scores(margins, "loss") for margins in (sure, both, right)]
    assert [scores.named["accuracy"] for scores in by_loss] == pytest.approx([0.8, 0.9, 0.9])
    losses = [scores.named["calibrated_loss"] for scores in by_loss]
    assert losses == sorted(losses)
    assert _scores(sure, "loss").better_than(_scores(right, "loss"))
    assert not _scores(right, "loss").better_than(_scores(sure, "loss"))
    assert _scores(right, "accuracy").better_than(_scores(sure, "accuracy"))
    assert not _scores(sure, "accuracy").better_than(_scores(right, "accuracy"))
    assert _scores(both, "accuracy").better_than(_scores(right, "accuracy"))  # a tie is decided by loss
    assert not _scores([4.0] * 9 + [math.nan], "accuracy").better_than(_scores(sure, "accuracy"))
    assert not _scores([4.0] * 9 + [math.nan], "loss").better_than(_scores(right, "loss"))
    assert not _scores(sure, "loss").better_than(_scores(sure, "loss"))


def test_overconfidence_alone_does_not_make_an_epoch_worse(problem):
    p = problem()
    module = p.module("pooled")
    calm = validate(module, p.val("pooled"), Execution())
    with torch.no_grad():
        module.head.weight.mul_(3), module.head.bias.mul_(3)
    sure = validate(module, p.val("pooled"), Execution())
    assert sure.loss > 1.2 * calm.loss
    assert sure.named["calibrated_loss"] == pytest.approx(calm.named["calibrated_loss"], rel=1e-4)
    assert sure.named["accuracy"] == calm.named["accuracy"]


def test_at_pooled_only_the_head_learns(problem):
    p = problem(blank_head=True)
    before = {name: tensor.clone() for name, tensor in p.backbone.network.state_dict().items()}
    module, events = _train(p, "pooled", replace(QUICK, learning_rate=0.02))
    assert events[-1].best_epoch > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in p.backbone.network.state_dict().items())
    assert isinstance(module, TunedSuffix)
    assert isinstance(module.head, nn.Linear)
