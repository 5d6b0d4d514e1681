import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from warmstart.records import to_json
from warmstart.tasks.classify.metrics import auroc, log_loss, score


def drawn(n, k, seed, *, present=None):
    """Probabilities (n, k) with many ties, labels (n,) among the first ``present`` classes."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(1, 6, (n, k)).astype(np.float64)
    return raw / raw.sum(axis=1, keepdims=True), rng.integers(0, present or k, n)


def scores_of(probabilities, labels, **changes):
    names = [f"class {i}" for i in range(probabilities.shape[1])]
    given = {"class_names": names, "majority_label": 0, "used_for_choosing": False} | changes
    return score(probabilities=probabilities, labels=labels, **given)


@given(n=st.integers(1, 60), k=st.integers(2, 6), seed=st.integers(0, 10_000))
def test_scores_agree_with_scikit_learn_for_any_probabilities_and_labels(n, k, seed):
    probabilities, labels = drawn(n, k, seed)
    predicted = probabilities.argmax(axis=1)
    scores = scores_of(probabilities, labels)
    assert scores.accuracy == pytest.approx(oracle.accuracy_score(labels, predicted))
    assert scores.macro_f1 == pytest.approx(oracle.f1_score(labels, predicted, average="macro", zero_division=0))
    assert np.array_equal(scores.confusion, oracle.confusion_matrix(labels, predicted, labels=range(k)))
    assert scores.log_loss == pytest.approx(oracle.log_loss(labels, probabilities, labels=range(k)))
    table = oracle.precision_recall_fscore_support(labels, predicted, labels=range(k), zero_division=0)
    for i, values in enumerate(zip(*table, strict=True)):
        assert list(scores.per_class[f"class {i}"].values()) == pytest.approx(values)
    low, high = scores.accuracy_ci95
    assert 0 <= low <= scores.accuracy <= high <= 1


@given(n=st.integers(2, 60), seed=st.integers(0, 10_000))
def test_auroc_of_two_classes_counts_ties_as_half_like_scikit_learn(n, seed):
    probabilities, labels = drawn(n, 2, seed)
    if len(set(labels)) < 2:
        assert auroc(probabilities, labels) is None
    else:
        assert auroc(probabilities, labels) == pytest.approx(oracle.roc_auc_score(labels, probabilities[:, 1]))


@pytest.mark.parametrize("k", [3, 5])
def test_auroc_of_many_classes_is_the_mean_of_one_against_the_rest(k):
    probabilities, labels = drawn(200, k, 3)
    expected = oracle.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    assert auroc(probabilities, labels) == pytest.approx(expected)


def test_auroc_is_none_when_a_class_has_no_example():
    probabilities, labels = drawn(50, 4, 0, present=3)
    assert scores_of(probabilities, labels).auroc is None


def test_a_class_that_nobody_has_and_nobody_predicts_does_not_lower_macro_f1():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    scores = scores_of(probabilities, np.array([0, 1]))
    assert scores.macro_f1 == 1
    assert scores.per_class["class 2"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}


def test_a_confident_mistake_costs_a_finite_loss_that_does_not_depend_on_the_dtype():
    for dtype in (np.float32, np.float64):
        probabilities = np.array([[1, 0], [1, 0]], dtype)
        assert log_loss(probabilities, np.array([0, 1])) == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2)


def test_weights_of_log_loss_are_like_repeated_rows():
    probabilities, labels = drawn(20, 3, 1)
    repeats = np.arange(20) % 3
    repeated = log_loss(probabilities.repeat(repeats, axis=0), labels.repeat(repeats))
    assert log_loss(probabilities, labels, repeats.astype(float)) == pytest.approx(repeated)


def test_given_predictions_replace_the_most_probable_class_in_all_but_ranking_and_loss():
    probabilities = np.array([[0.7, 0.3], [0.9, 0.1], [0.6, 0.4]])
    labels = np.array([1, 0, 1])
    plain, by_threshold = scores_of(probabilities, labels), scores_of(probabilities, labels, predicted=labels)
    assert (plain.accuracy, by_threshold.accuracy) == (1 / 3, 1)
    assert (plain.auroc, plain.log_loss) == (by_threshold.auroc, by_threshold.log_loss)
    assert by_threshold.ece == pytest.approx(np.mean([0.7, 0.1, 0.6]))  # confidence is that of the class that was said


def test_majority_accuracy_is_of_always_naming_the_given_class():
    probabilities, _ = drawn(4, 3, 0)
    assert scores_of(probabilities, np.array([2, 2, 1, 2]), majority_label=2).majority_accuracy == 0.75


def test_scores_become_json():
    probabilities, labels = drawn(30, 3, 0)
    document = json.loads(to_json(scores_of(probabilities, labels).to_dict()))
    assert document["n"] == 30
    assert document["used_for_choosing"] is False


@pytest.mark.parametrize(
    ("probabilities", "labels", "changes", "message"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), {}, "no pictures"),
        (np.full((2, 2), 0.5), np.array([0, 2]), {}, "reach from 0 to 2, expected 0 to 1"),
        (np.full((2, 2), 0.5), np.array([0]), {}, "labels have shape"),
        (np.full((2, 2), 0.5), np.array([0, 1]), {"predicted": np.array([-1, 0])}, "predicted reach from -1"),
        (np.full((2, 2), 0.5), np.array([0, 1]), {"class_names": ["a"]}, "2 columns for 1 classes"),
        (np.full((2, 2), np.nan), np.array([0, 1]), {}, "must sum to 1"),
        (np.full((2, 2), 0.9), np.array([0, 1]), {}, "must sum to 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(probabilities, labels, changes, message):
    with pytest.raises(ValueError, match=message):
        scores_of(probabilities, labels, **changes)
