"""Every option of the optimisation has the effect it is named for."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from three_classes import fine_tune, labels_of, train_batches, update

from warmstart.errors import UsageError
from warmstart.training.events import Epoch, Step
from warmstart.training.execution import Execution
from warmstart.training.optimisation import WeightAverage, make_optimizer, parameter_groups, set_learning_rate
from warmstart.training.tuned import set_training
from warmstart.training_settings import TrainingSettings, cold_settings

# A step is the gradient times the rate, everywhere: nothing that is done for pretrained weights' sake.
PLAIN = TrainingSettings(
    optimizer="sgd",
    momentum=0.0,
    learning_rate=0.1,
    head_share=1.0,
    head_penalty=0.0,
    head_norm="stored",
    depth_decay=1.0,
    weight_decay=0.0,
    clip_norm=None,
    warmup=0.0,
)


def _moved(p, settings, *, batches=1, steps=1, cut="stem", labels=None):
    """(module, name → how far each parameter went) after some steps on the same batches."""
    module = p.module(cut)
    set_training(module, settings.batch_norm, settings.head_norm)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    source = p.train(cut)
    if labels is not None:
        source = replace(source, collate=labels_of(labels))
    optimizer = make_optimizer(module, settings)
    group = list(source.epoch(0, 0))[:batches]
    for step in range(steps):
        update(module, optimizer, group, settings, Execution(), step=step)
    after = {name: parameter.detach() - before[name] for name, parameter in module.named_parameters()}
    return module, after


def _norm(moves, part=""):
    return float(torch.cat([move.flatten() for name, move in moves.items() if part in name]).norm())


def _confidence(p, module):
    """At the cut 'pooled', on train: the mean probability of what is predicted."""
    with torch.inference_mode():
        return float(module.eval()(*p.inputs("pooled", p.pixels)).softmax(1).max(1).values.mean())


def test_depth_decay_slows_each_stage_by_its_distance_from_the_head(problem):
    p = problem()
    _, plain = _moved(problem(), PLAIN)
    _, slowed = _moved(p, replace(PLAIN, depth_decay=0.5))
    for name, move in plain.items():
        stage = name.split(".")[2] if name.startswith("suffix") else None  # stage1 … stage3: depth 3 … 1
        depth = 0 if stage is None else 3 - int(stage)
        torch.testing.assert_close(slowed[name], move * 0.5**depth, rtol=1e-4, atol=1e-7)


def test_the_heads_share_slows_the_head_and_nothing_else(problem):
    _, plain = _moved(problem(), PLAIN)
    _, slowed = _moved(problem(), replace(PLAIN, head_share=0.25))
    for name, move in plain.items():
        share = 0.25 if name.startswith("head.") else 1.0
        torch.testing.assert_close(slowed[name], move * share, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("cut", ["stem", "pooled"])
@pytest.mark.parametrize("accumulated", [False, True])
def test_under_the_penalty_that_it_was_fitted_with_the_frozen_head_is_at_its_optimum(problem, cut, accumulated):
    """The frozen head solves mean loss + penalty/2 · ‖W‖²: with half or twice the penalty it would want to move."""

    def gradient(penalty):
        p = problem()
        module = p.module(cut)
        settings = replace(PLAIN, head_penalty=penalty, learning_rate=1e-9)
        set_training(module, settings.batch_norm, settings.head_norm)
        epoch = p.train(cut, batch_size=16 if accumulated else len(p.labels)).epoch(0, 0)
        update(module, make_optimizer(module, settings), list(epoch), settings, Execution(), step=0)
        return (
            float(module.head.weight.grad.norm()),
            float(module.head.bias.grad.norm()),
            float(module.head.weight.detach().norm()),
        )

    fitted = problem().head.penalty
    at_optimum, bias, weight = gradient(fitted)
    assert at_optimum < 0.03 * fitted * weight
    assert bias < 0.03 * fitted * weight
    for factor in (0.0, 0.5, 2.0):
        assert gradient(factor * fitted)[0] == pytest.approx(abs(1 - factor) * fitted * weight, rel=0.1)


def test_a_penalty_of_none_in_settings_alone_is_no_penalty_and_the_bias_never_has_one(problem):
    _, plain = _moved(problem(), PLAIN)
    _, without = _moved(problem(), replace(PLAIN, head_penalty=None))
    _, pulled = _moved(problem(), replace(PLAIN, head_penalty=0.5))
    start = problem().module("stem").head.weight.detach()
    for name, move in plain.items():
        assert torch.equal(move, without[name])
        expected = move - PLAIN.learning_rate * 0.5 * start if name == "head.weight" else move
        torch.testing.assert_close(pulled[name], expected, rtol=1e-4, atol=1e-6)


def test_weight_decay_pulls_on_weights_and_not_on_norms_and_biases(problem):
    _, plain = _moved(problem(), PLAIN)
    module, decayed = _moved(problem(), replace(PLAIN, weight_decay=0.5))
    for name, parameter in module.named_parameters():
        same = torch.equal(plain[name], decayed[name])
        assert same == (parameter.dim() <= 1), name


def test_what_the_user_has_frozen_is_not_trained(problem):
    p = problem()
    for parameter in p.backbone.network.layer3.parameters():
        parameter.requires_grad_(False)
    module, moves = _moved(p, PLAIN)
    assert module.trained_stages == ("stage1", "stage2")
    assert _norm(moves, "suffix.stages.2") == 0
    assert _norm(moves, "suffix.stages.1") > 0


def test_clipping_bounds_the_gradient_and_leaves_small_ones_alone(problem):
    _, plain = _moved(problem(), PLAIN)
    size = _norm(plain) / PLAIN.learning_rate
    _, clipped = _moved(problem(), replace(PLAIN, clip_norm=size / 10))
    assert _norm(clipped) == pytest.approx(PLAIN.learning_rate * size / 10, rel=1e-3)
    _, untouched = _moved(problem(), replace(PLAIN, clip_norm=size * 2))
    assert _norm(untouched) == pytest.approx(_norm(plain), rel=1e-6)


def test_two_accumulated_batches_are_one_batch_of_twice_the_size(problem):
    _, accumulated = _moved(problem(), PLAIN, batches=2)
    p = problem()
    module = p.module("stem")
    first, second = list(p.train("stem").epoch(0, 0))[:2]
    joined = tuple(torch.cat(pair) for pair in zip(first[0], second[0], strict=True)), torch.cat([first[1], second[1]])
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    set_training(module, PLAIN.batch_norm, PLAIN.head_norm)
    update(module, make_optimizer(module, PLAIN), [joined], PLAIN, Execution(), step=0)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(accumulated[name], parameter.detach() - before[name], rtol=1e-3, atol=1e-6)


def test_the_loop_makes_one_step_of_so_many_batches_and_a_shorter_last_one(problem):
    p = problem()
    events = list(fine_tune(p.module("stem"), p.train("stem"), p.val("stem"), TrainingSettings(epochs=1, accumulate=2)))
    assert sum(isinstance(event, Step) for event in events) == 3  # of 5 batches


def test_momentum_goes_on_where_the_last_steps_went(problem):
    _, without = _moved(problem(), replace(PLAIN, learning_rate=1e-6), steps=10)
    _, with_it = _moved(problem(), replace(PLAIN, learning_rate=1e-6, momentum=0.9), steps=10)
    # The gradient hardly changes; step t then goes (1 - 0.9^t) / (1 - 0.9) as far, 41 steps' worth in ten.
    assert _norm(with_it) / _norm(without) == pytest.approx(4.14, rel=0.05)


def test_the_first_step_of_adamw_has_the_size_of_the_rate_whatever_the_gradient(problem):
    _, moves = _moved(problem(), replace(PLAIN, optimizer="adamw", learning_rate=1e-3))
    assert moves["head.weight"].abs().median() == pytest.approx(1e-3, rel=1e-2)


def test_label_smoothing_keeps_the_model_less_sure(problem):
    def confidence(smoothing):
        p = problem()
        settings = replace(PLAIN, label_smoothing=smoothing, learning_rate=0.05)
        module, _ = _moved(p, settings, batches=5, steps=40, cut="pooled")
        return _confidence(p, module)

    assert confidence(0.3) < confidence(0.0) - 0.05


def test_mixup_trains_on_mixtures_and_keeps_the_model_less_sure(problem):
    def confidence(alpha):
        p = problem()
        settings = replace(PLAIN, mixup_alpha=alpha, learning_rate=0.05)
        module, _ = _moved(p, settings, batches=5, steps=200, cut="pooled")
        return _confidence(p, module)

    assert confidence(4.0) < confidence(0.0) - 0.05


def test_class_weights_and_balanced_sampling_make_a_rare_class_as_likely_as_the_others(problem):
    def likeliness(*, weighted, balanced):
        p = problem(blank_head=True, n=150)
        rare = np.flatnonzero(p.labels == 0)[6:]
        kept = np.setdiff1d(np.arange(150), rare)
        p.pixels, p.labels = p.pixels[torch.from_numpy(kept)], p.labels[kept]
        weights = tuple(compute_class_weight("balanced", classes=np.arange(3), y=p.labels)) if weighted else None
        settings = replace(PLAIN, class_weights=weights)
        module, source = p.module("pooled"), p.train("pooled", balanced=balanced)
        optimizer = make_optimizer(module, settings)
        for step in range(100):
            update(module, optimizer, [next(source.epoch(step, 0))], settings, Execution(), step=step)
        with torch.inference_mode():
            return float(module.eval()(*p.inputs("pooled", p.val_pixels)).softmax(1)[:, 0].mean())

    plain = likeliness(weighted=False, balanced=False)
    assert plain < 0.2
    assert 0.23 < likeliness(weighted=True, balanced=False) < 0.45
    assert 0.23 < likeliness(weighted=False, balanced=True) < 0.45


def test_the_average_of_weights_is_smoother_than_their_last_values(problem):
    p = problem()
    module = p.module("stem")
    average = WeightAverage(module, 0.5)
    with torch.no_grad():
        for step in range(200):
            module.head.bias.fill_(1.0 if step % 2 else -1.0)
            average.update(module, step)
    assert average.tensors["head.bias"].tolist() == pytest.approx([1 / 3] * 3, abs=1e-6)  # the fixed point of a ← a/2 ± 1/2
    with average.inside(module):
        assert module.head.bias.tolist() == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert module.head.bias.tolist() == [1.0] * 3


def test_with_an_average_it_is_the_average_that_is_judged_and_kept(problem):
    def run(decay):
        p = problem(blank_head=True)
        module = p.module("stem")
        settings = replace(PLAIN, learning_rate=1e-3, epochs=1, average_decay=decay)
        *_, epoch, _ = fine_tune(module, p.train("stem"), p.val("stem"), settings)
        assert isinstance(epoch, Epoch)
        assert epoch.best
        return epoch.val.loss, float(module.head.weight.detach().norm())

    (plain_loss, plain_norm), (loss, norm) = run(None), run(0.999)
    assert loss != plain_loss
    assert 0 < norm < plain_norm  # it lags behind weights that grow from zero


def test_the_schedule_sets_the_rate_of_every_step(problem):
    p = problem()
    settings = TrainingSettings(epochs=4, warmup=0.2, learning_rate=1e-3)
    events = list(fine_tune(p.module("pooled"), p.train("pooled"), p.val("pooled"), settings))
    rates = [event.learning_rate for event in events if isinstance(event, Step)]
    assert rates[:5] == pytest.approx([0.2e-3, 0.4e-3, 0.6e-3, 0.8e-3, 1e-3])
    assert rates[-1] < 0.02e-3


def test_every_group_gets_its_share_of_the_rate(problem):
    module = problem().module("stage1")
    for head_share, expected in ((1.0, [0.2, 0.4, 0.8]), (0.1, [0.08, 0.2, 0.4])):  # the head's; stages 1/2 and 1/4
        optimizer = make_optimizer(module, TrainingSettings(depth_decay=0.5, head_share=head_share))
        set_learning_rate(optimizer, 0.8)
        assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx(expected)
        of_head = [group["lr"] for group in optimizer.param_groups if group["params"][0] in set(module.head.parameters())]
        assert of_head == pytest.approx([0.8 * head_share] * 2)
    members = [parameter for group in parameter_groups(module, TrainingSettings()) for parameter in group["params"]]
    assert len(members) == len(set(members)) == len(list(module.parameters()))


@pytest.mark.parametrize("head_norm", ["stored", "update"])
def test_a_gradient_that_is_not_finite_changes_no_weight_and_no_statistics_that_are_stored(problem, head_norm):
    p = problem()
    module = p.module("stem")
    set_training(module, "stored", head_norm)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    ((activations, prefix), labels), *_ = p.train("stem").epoch(0, 0)
    loss = update(
        module, make_optimizer(module, PLAIN), [((activations * torch.inf, prefix), labels)], PLAIN, Execution(), step=0
    )
    assert not np.isfinite(loss)
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    # Those of the norm that follows the batches are forgotten before anything is judged by them.
    assert {name.rpartition(".")[0] for name in changed} == ({"norm.batch"} if head_norm == "update" else set())


def test_all_problems_of_settings_are_reported_at_once():
    with pytest.raises(UsageError) as caught:
        TrainingSettings(epochs=0, learning_rate=-1, label_smoothing=1, patience=0, average_decay=1.5, seed=-1)
    for part in ("epochs 0", "learning rate -1", "label smoothing 1", "patience 0", "average decay 1.5", "seed -1"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "lion"),
        ("learning_rate", float("nan")),
        ("depth_decay", 0.0),
        ("momentum", 1.0),
        ("weight_decay", -0.1),
        ("schedule", "step"),
        ("warmup", 1.0),
        ("batch_norm", "frozen"),
        ("head_norm", "frozen"),
        ("head_share", 0.0),
        ("head_share", float("inf")),
        ("head_penalty", -0.1),
        ("head_penalty", float("inf")),
        ("clip_norm", 0.0),
        ("accumulate", 0),
        ("class_weights", (1.0, -1.0)),
        ("mixup_alpha", -1.0),
        ("choose_by", "f1"),
        ("time_limit_s", 0.0),
    ],
)
def test_a_setting_outside_its_range_is_refused(name, value):
    with pytest.raises(UsageError):
        TrainingSettings(**{name: value})


def test_settings_survive_the_way_through_json():
    settings = TrainingSettings(class_weights=(1.0, 2.0), average_decay=0.99)
    assert TrainingSettings.from_dict(settings.to_dict()) == settings
    assert set(settings.to_dict()) == {field.name for field in fields(settings)}


def test_random_weights_learn_at_one_full_rate_in_every_stage_and_in_the_head_and_learn_their_statistics(problem):
    module = problem().module("pixels")

    def rates(settings):
        return [group["lr"] for group in parameter_groups(module, settings)]

    cold, warm = cold_settings(), TrainingSettings()
    assert set(rates(cold)) == {cold.learning_rate}
    assert max(rates(warm)) < min(rates(cold))
    assert len(set(rates(warm))) == 5  # the head's and four stages'
    assert cold.batch_norm == "update"
    assert cold.epochs > warm.epochs
    assert cold_settings(epochs=3).epochs == 3


def test_the_seed_decides_order_and_dropout(problem):
    def losses(seed):
        p = problem("vgg")
        batches = train_batches(p.labels, read=p.train("stem").read, batch_size=72, seed=0)
        settings = TrainingSettings(epochs=1, seed=seed)
        return [
            event.loss for event in fine_tune(p.module("stem"), batches, p.val("stem"), settings) if isinstance(event, Step)
        ]

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)
