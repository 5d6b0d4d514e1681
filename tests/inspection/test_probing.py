"""The cross-validated probe: no picture is judged by a head that has seen it, and no interval pretends to know more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmstart.tasks.classify.evidence.probing import accuracy_interval, cross_validated, folds_of, wilson
from warmstart.tasks.classify.heads.linear import LinearHead


def blobs(seed: int, n: int = 90, k: int = 3, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = np.arange(n) % k
    return (random.normal(size=(n, 6)) + apart * random.normal(size=(k, 6))[y]).astype(np.float32), y.astype(np.int64)


def test_labels_that_mean_nothing_are_guessed_no_better_than_chance() -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(300, 200)).astype(np.float32), random.integers(0, 2, 300)
    held_out = cross_validated(X, y, n_classes=2, seed=0)
    low, high = held_out.accuracy_ci95
    assert low < 0.5 < high  # 200 features on 240 pictures would fit them all
    assert held_out.losses.mean() > 0.69


def test_every_picture_is_judged_by_the_head_of_the_fold_that_held_it_out() -> None:
    X, y = blobs(1)
    held_out = cross_validated(X, y, n_classes=3, seed=4)
    for fold, head in enumerate(held_out.heads):
        inside = held_out.fold_of == fold
        own = LinearHead(penalty=held_out.penalty).fit(X[~inside], y[~inside], n_classes=3)
        np.testing.assert_array_equal(own.logits(X[inside]).argmax(axis=1) == y[inside], held_out.correct[inside])
        assert head.logits(X[:1]).shape == (1, 3)


@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(1, 12), min_size=2, max_size=6), seed=st.integers(0, 99))
def test_folds_differ_by_one_picture_at_most_in_all_and_in_every_class(counts: list[int], seed: int) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    fold_of = folds_of(y, seed)
    sizes = np.bincount(fold_of)
    assert sizes.max() - sizes.min() <= 1
    for label in range(len(counts)):
        own = np.bincount(fold_of[y == label], minlength=len(sizes))
        assert own.max() - own.min() <= 1


@pytest.mark.parametrize(("right", "n"), [(0, 10), (7, 10), (10, 10), (430, 500)])
def test_the_interval_ends_where_the_share_is_just_as_surprising_as_the_level_allows(right: int, n: int) -> None:
    """Wilson's definition: |p̂ - p| = z √(p (1 - p) / n) at both ends."""
    for end in wilson(right, n):
        assert abs(right / n - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / n), abs=1e-6)


def test_classes_with_a_single_picture_widen_the_interval_by_their_share() -> None:
    y = np.array([0] * 20 + [1] * 20 + [2])
    correct = np.append(np.ones(40, bool), False)
    low, high = accuracy_interval(correct, y)
    known_low, known_high = wilson(40, 40)
    assert low == pytest.approx(known_low * 40 / 41)
    assert high == pytest.approx(known_high * 40 / 41 + 1 / 41)
    assert accuracy_interval(np.zeros(3, bool), np.arange(3)) == (0.0, 1.0)  # nothing is known at all


def test_a_lower_level_gives_a_narrower_interval() -> None:
    y = np.repeat([0, 1], 20)
    correct = np.arange(40) % 4 > 0
    assert accuracy_interval(correct, y, level=0.5) == pytest.approx(wilson(30, 40, 0.5))
    assert accuracy_interval(correct, y) == pytest.approx(wilson(30, 40, 0.95))
