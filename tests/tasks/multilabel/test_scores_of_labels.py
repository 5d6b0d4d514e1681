"""Every score of labels against scikit-learn; what is unknown counts nowhere; intervals against what they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    hamming_loss,
    label_ranking_average_precision_score,
    precision_score,
    recall_score,
)

from warmstart.tasks.multilabel import scores as module
from warmstart.tasks.multilabel.scores import LabelScores, average_precisions, score


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every score is drawn anew so often; how often plays no part here.
    monkeypatch.setattr(module, "RESAMPLES", 40)
    monkeypatch.setattr(module, "FEWEST_RESAMPLES", 20)


def made(seed: int, n: int, o: int, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, and truth in which every label is there and is not."""
    random = np.random.default_rng(seed)
    truth = (random.random((n, o)) < random.uniform(0.1, 0.7, o)).astype(float)
    truth[0], truth[1] = 1, 0
    p = 1 / (1 + np.exp(-(random.normal(0, 1.5, (n, o)) + truth)))
    return p.round(digits), truth


def scored(p: np.ndarray, truth: np.ndarray, said: np.ndarray | None = None, **given: object) -> LabelScores:
    names = [f"l{i}" for i in range(truth.shape[1])]
    settings = {"usual": np.full(truth.shape[1], 0.4), "recall_asked": None, "used_for_choosing": False}
    return score(p, p >= 0.5 if said is None else said, truth, names=names, **{**settings, **given})  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(4, 60), o=st.integers(2, 6))
def test_scores_are_those_of_scikit_learn(seed: int, n: int, o: int) -> None:
    p, truth = made(seed, n, o)
    found, said = scored(p, truth), p >= 0.5
    assert found.map_macro == pytest.approx(average_precision_score(truth, p, average="macro"))
    assert found.map_micro == pytest.approx(average_precision_score(truth, p, average="micro"))
    assert found.f1_micro == pytest.approx(f1_score(truth, said, average="micro", zero_division=0))
    assert found.f1_macro == pytest.approx(f1_score(truth, said, average="macro", zero_division=0))
    assert found.f1_samples == pytest.approx(f1_score(truth, said, average="samples", zero_division=1))
    assert found.hamming == pytest.approx(hamming_loss(truth, said))
    assert found.subset_accuracy == pytest.approx(accuracy_score(truth, said))
    assert found.lrap == pytest.approx(label_ranking_average_precision_score(truth, p))
    has = truth.any(axis=1)
    assert found.recall == pytest.approx(recall_score(truth[has], said[has], average="samples", zero_division=0))
    for i, one in enumerate(found.labels.values()):
        assert one["ap"] == pytest.approx(average_precision_score(truth[:, i], p[:, i]))
        assert one["recall"] == pytest.approx(recall_score(truth[:, i], said[:, i]))
        assert (one["precision"] or 0) == pytest.approx(precision_score(truth[:, i], said[:, i], zero_division=0))
        assert one["f1"] == pytest.approx(f1_score(truth[:, i], said[:, i]))
        assert (one["pictures"], one["known"]) == (truth[:, i].sum(), n)
    usual = np.tile(np.linspace(0.1, 0.9, o), (n, 1))
    beside = scored(p, truth, usual=usual[0])
    assert beside.map_macro_of_prior == pytest.approx(average_precision_score(truth, usual, average="macro"))
    assert beside.map_micro_of_prior == pytest.approx(average_precision_score(truth, usual, average="micro"))
    assert beside.lrap_of_prior == pytest.approx(label_ranking_average_precision_score(truth, usual))
    assert beside.hamming_of_prior == pytest.approx(hamming_loss(truth, usual >= 0.5))
    assert beside.subset_accuracy_of_prior == pytest.approx(accuracy_score(truth, usual >= 0.5))
    assert beside.f1_macro_of_all == pytest.approx(f1_score(truth, np.ones_like(truth), average="macro"))
    assert beside.f1_micro_of_all == pytest.approx(f1_score(truth, np.ones_like(truth), average="micro"))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(12, 40))
def test_what_is_unknown_counts_nowhere(seed: int, n: int) -> None:
    p, truth = made(seed, n, 3)
    gaps = np.random.default_rng([seed, 1]).random(truth.shape) < 0.3
    gaps[:2] = False
    holed = np.where(gaps, np.nan, truth)
    found = scored(p, holed)
    for o, one in enumerate(found.labels.values()):
        there = ~gaps[:, o]
        assert one["ap"] == pytest.approx(average_precision_score(truth[there, o], p[there, o]))
    assert found.map_micro == pytest.approx(average_precision_score(truth[~gaps], p[~gaps]))
    assert found.hamming == pytest.approx(hamming_loss(truth[~gaps], p[~gaps] >= 0.5))
    assert found.f1_micro == pytest.approx(f1_score(truth[~gaps], p[~gaps] >= 0.5))
    whatever = np.where(gaps, 1 - p, p)
    assert scored(whatever, holed).to_dict() == found.to_dict()
    rows = [
        label_ranking_average_precision_score(truth[None, i, ~gaps[i]], p[None, i, ~gaps[i]]) if (~gaps[i]).sum() > 1 else 1.0
        for i in range(n)
    ]
    assert found.lrap == pytest.approx(np.mean(rows))


def test_a_label_that_no_picture_has_is_left_out_of_the_mean_and_said() -> None:
    p, truth = made(0, 20, 3)
    truth[:, 1] = 0
    found = scored(p, truth)
    assert found.labels["l1"]["ap"] is None
    assert found.labels["l1"]["ap_ci95"] is None
    assert found.map_macro == pytest.approx(np.mean([found.labels[name]["ap"] for name in ("l0", "l2")]))
    none = scored(p, np.zeros_like(truth))
    assert (none.map_macro, none.map_macro_ci95, none.map_micro, none.recall) == (None, None, None, None)
    assert (none.lrap, none.f1_samples) == (1.0, float((~(p >= 0.5).any(axis=1)).mean()))
    assert np.isnan(average_precisions(p, np.zeros_like(truth))).all()


def test_a_picture_that_is_rightly_told_to_have_nothing_is_right() -> None:
    truth = np.array([[0.0, 0.0], [1.0, 0.0]])
    found = scored(truth * 0.9, truth)
    assert (found.f1_samples, found.subset_accuracy, found.hamming) == (1.0, 1.0, 0.0)


def test_json_and_back() -> None:
    p, truth = made(3, 30, 3)
    found = scored(p, truth, recall_asked=0.9)
    document = found.to_dict()
    for name in ("map_macro", "map_micro", "f1_micro", "f1_macro", "hamming"):
        low, high = document[f"{name}_ci95"]
        assert low <= document[name] <= high
    assert LabelScores(**document) == found


def test_intervals_hold_what_many_draws_of_test_pictures_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 200)
    monkeypatch.setattr(module, "FEWEST_RESAMPLES", 200)
    random = np.random.default_rng(0)
    names = ("map_macro", "map_micro", "f1_micro", "f1_macro", "hamming", "lrap", "subset_accuracy", "recall")
    whole_truth = (random.random((50_000, 3)) < [0.5, 0.3, 0.2]).astype(float)
    whole = 1 / (1 + np.exp(-(random.normal(-0.5, 1, whole_truth.shape) + 1.5 * whole_truth)))
    true = scored(whole, whole_truth)
    inside = dict.fromkeys(names, 0)
    for _ in range(60):
        at = random.integers(len(whole), size=150)
        found = scored(whole[at], whole_truth[at])
        for name in names:
            low, high = getattr(found, f"{name}_ci95")
            inside[name] += low <= getattr(true, name) <= high
    assert all(count >= 50 for count in inside.values()), inside
