"""Scores beside scikit-learn's, and the loss of training beside the solver's."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, cohen_kappa_score, log_loss, mean_absolute_error

from warmstart.errors import UsageError
from warmstart.heads.cumulative import log_losses, prior_logits
from warmstart.tasks.ordinal.loss import NEAR, OrderObjective
from warmstart.tasks.ordinal.options import OrderOptions
from warmstart.tasks.ordinal.parity import compare
from warmstart.tasks.ordinal.scores import OrderScores, kappa, score, table_of
from warmstart.tasks.ordinal.sets import decide
from warmstart.tasks.ordinal.targets import OrderTargets
from warmstart.tasks.ordinal.task import TASK
from warmstart.training_settings import TrainingSettings

ORDER = ("a", "b", "c", "d")


def _drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, 4) that are mostly right, and ranks."""
    random = np.random.default_rng(seed)
    y = random.choice(4, size=n, p=[0.5, 0.2, 0.1, 0.2])
    p = random.dirichlet(np.ones(4), size=n) + 1.5 * np.eye(4)[np.clip(y + random.choice(7, size=n) // 2 - 1, 0, 3)]
    return p / p.sum(axis=1, keepdims=True), y


def _scored(n: int = 200) -> tuple[np.ndarray, np.ndarray, OrderScores]:
    p, y = _drawn(n, 0)
    sets = np.eye(4, dtype=bool)[decide(p)]
    usual = np.array([0.5, 0.2, 0.1, 0.2])
    return p, y, score(p, y, order=ORDER, usual=usual, sets=sets, coverage=0.9, used_for_choosing=False)


def test_scores_are_those_of_scikit_learn() -> None:
    p, y, found = _scored()
    said = decide(p)
    assert found.qwk == pytest.approx(cohen_kappa_score(y, said, weights="quadratic"))
    assert found.mae_ranks == pytest.approx(mean_absolute_error(y, said))
    assert found.accuracy == pytest.approx(accuracy_score(y, said))
    assert found.within_one == pytest.approx(np.mean(np.abs(y - said) <= 1))
    assert found.log_loss == pytest.approx(log_loss(y, p))
    assert found.mae_ranks_of_median == pytest.approx(np.mean(np.abs(y - 0)))  # half of train is the lowest
    assert found.accuracy_of_most == pytest.approx(np.mean(y == 0))
    assert found.coverage == found.accuracy  # sets of the answer alone
    assert found.set_size == 1
    assert np.sum(found.confusion) == 200
    assert found.values["b"]["right"] == pytest.approx(np.mean(said[y == 1] == 1))
    for name in ("qwk", "mae_ranks", "within_one", "accuracy", "log_loss"):
        low, high = getattr(found, f"{name}_ci95")
        assert low < getattr(found, name) < high
    assert OrderScores(**found.to_dict()).to_dict() == found.to_dict()


def test_kappa_is_0_for_one_answer_1_for_the_truth_and_nothing_where_there_is_one_value() -> None:
    y = np.array([0, 1, 2, 3, 3])
    assert kappa(table_of(y, np.full(5, 2), 4)) == 0
    assert kappa(table_of(y, y, 4)) == 1
    assert kappa(table_of(np.full(5, 1), np.full(5, 1), 4)) is None


def test_the_bootstrap_of_kappa_has_the_width_of_its_spread_over_fresh_draws() -> None:
    _, _, found = _scored()
    drawn = [kappa(table_of(y, decide(p), 4)) for p, y in (_drawn(200, seed) for seed in range(1, 201))]
    assert found.qwk_ci95[1] - found.qwk_ci95[0] == pytest.approx(2 * 1.96 * np.std(drawn), rel=0.3)


def test_the_loss_of_training_is_the_solvers_and_its_gradient_that_of_finite_differences() -> None:
    y = np.array([0, 2, 1, 1, 2, 0, 2])
    objective = OrderObjective(rank_of=np.array([2, 0, 1]), prior=prior_logits(y, 3))  # names c, a, b
    labels = torch.from_numpy(np.array([1, 2, 0])[y])
    outputs = torch.randn(7, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + torch.tensor([-0.1, 0.2])
    targets = objective.targets(labels).double()
    assert objective.loss(outputs, targets).item() == pytest.approx(
        log_losses(outputs.numpy() + objective.prior, y).sum(), rel=1e-9
    )
    close = outputs.clone()
    close[:, 1] = close[:, 0] + torch.linspace(-0.6, 0.1, 7) - float(np.diff(objective.prior)[0])  # beyond `NEAR`, too
    for at in (outputs, close):
        assert torch.autograd.gradcheck(lambda o: objective.loss(o, targets), (at.clone().requires_grad_(),), eps=NEAR / 1e4)

    def pull(gap: float) -> float:
        """How strongly the loss leads two thresholds apart that are this near."""
        of_middle = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
        at = torch.tensor([[0.0, gap]], dtype=torch.float64) - torch.from_numpy(objective.prior)
        (gradient,) = torch.autograd.grad(objective.loss(at.requires_grad_(), of_middle), at)
        return -float(gradient[0, 1])

    assert pull(NEAR * 0.999) == pytest.approx(pull(NEAR * 1.001), rel=0.01)
    assert pull(-1.0) > pull(0.1) > 0
    scores = objective.scores([outputs.float()], [labels])
    assert scores.named["calibrated_loss"] <= scores.loss + 1e-6
    assert not objective.scores([outputs.float() * float("nan")], [labels]).better_than(scores)


def test_settings_of_classes_are_refused_in_training() -> None:
    targets = OrderTargets(names=("1", "2"), labels=np.array([0, 1]))
    for settings, message in (
        (TrainingSettings(label_smoothing=0.1), "class_weights and label_smoothing are for classes"),
        (TrainingSettings(choose_by="accuracy"), "choose_by=accuracy is for classes"),
    ):
        with pytest.raises(UsageError, match=message):
            TASK.tunable.objective(targets, settings, OrderOptions())


def test_a_file_that_says_other_values_is_not_proven() -> None:
    p, y, _ = _scored(40)
    said = {"order": ORDER, "paths": [f"{i}" for i in range(40)], "format": "onnx"}
    same = compare(p, p + 1e-5, y, precision="fp32", **said)
    assert same.proven
    assert same.mae_before == same.mae_after == pytest.approx(np.abs(decide(p) - y).mean())
    turned = compare(p, p[:, ::-1], y, precision="fp16", **said)
    assert any("are answered alike" in failure for failure in turned.failures)
    assert any("the error grows" in failure for failure in turned.failures)
    assert "→" in turned.worst_in_words()[0]
    assert compare(p, np.full_like(p, np.nan), y, precision="int8", **said).failures == ("40 pictures give NaN or infinity",)
    unknown = compare(p, p, np.full(40, -1), precision="fp32", **said)
    assert unknown.mae_before is None
    assert unknown.proven
