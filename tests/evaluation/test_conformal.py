import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmstart.tasks.classify.conformal import conformity, of_label, prediction_sets, threshold


def drawn(n, k, rng, *, sharpness=2.0):
    """Probabilities (n, k) and labels that have nothing to do with them for half of the pictures: a poor model."""
    logits = rng.normal(0, sharpness, (n, k))
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    labels = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=k - 1)
    return p, np.where(rng.random(n) < 0.5, labels, rng.integers(0, k, n))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [30, 200])
def test_sets_hold_the_true_class_as_often_as_asked_whatever_the_model_is_worth(n, coverage):
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        p, labels = drawn(n, 5, rng)
        limit = threshold(of_label(conformity(p), labels), coverage)
        new, truth = drawn(200, 5, rng)
        held.append(prediction_sets(new, limit)[np.arange(200), truth].mean())
    # At least what was asked; at most 1 / (n + 1) more (Lei et al. 2018, theorem 2), but for ties at the most probable class.
    assert coverage - 0.01 < np.mean(held)
    accuracy = np.mean([(p.argmax(1) == y).mean() for p, y in [drawn(2000, 5, rng)]])
    assert np.mean(held) < max(coverage + 1 / (n + 1), accuracy) + 0.01


@given(n=st.integers(1, 60), coverage=st.floats(0.01, 0.99), seed=st.integers(0, 1000))
def test_the_limit_is_the_smallest_score_that_enough_of_the_calibration_scores_do_not_exceed(n, coverage, seed):
    scores = np.random.default_rng(seed).random(n).round(1)
    limit = threshold(scores, coverage)
    wanted = math.ceil((n + 1) * coverage - 1e-9)
    if wanted > n:
        assert limit == math.inf
    else:
        assert (scores <= limit).sum() >= wanted
        assert (scores < limit).sum() < wanted


def test_with_too_few_calibration_pictures_a_set_holds_every_class():
    assert threshold(np.zeros(18), 0.95) == math.inf
    assert threshold(np.zeros(19), 0.95) == 0.0
    assert prediction_sets(np.array([[0.9, 0.1]]), math.inf).all()


def test_a_coverage_of_nine_tenths_is_not_rounded_up_to_the_next_picture():
    assert threshold(np.arange(9.0), 0.9) == 8.0  # (9 + 1) · 0.9 is 9, not 9.000…1


@given(k=st.integers(2, 6), seed=st.integers(0, 1000), limit=st.floats(0, 1))
def test_no_set_is_empty_and_a_class_is_never_in_before_a_more_probable_one(k, seed, limit):
    p, _ = drawn(30, k, np.random.default_rng(seed))
    sets = prediction_sets(p, limit)
    assert sets[np.arange(30), p.argmax(axis=1)].all()
    for row, inside in zip(p, sets, strict=True):
        if not inside.all():
            assert row[inside].min() >= row[~inside].max()


def test_sets_grow_with_the_coverage():
    p, labels = drawn(300, 5, np.random.default_rng(1))
    scores = of_label(conformity(p), labels)
    sizes = [prediction_sets(p, threshold(scores, share)).sum() for share in (0.5, 0.8, 0.9, 0.99)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("coverage", [0.0, 1.0, 95.0, -0.1, math.nan])
def test_what_is_no_coverage_is_refused(coverage):
    with pytest.raises(ValueError, match=r"outside 0 … 1"):
        threshold(np.zeros(50), coverage)
