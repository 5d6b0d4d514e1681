"""Folds that divide no unit: what is alike is held out together, and still evenly over classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmstart.heads.folds import chosen_by_others, dealt, units_by_class
from warmstart.tasks.classify.evidence.knn_accuracy import knn_accuracy
from warmstart.tasks.classify.evidence.probing import cross_validated
from warmstart.tasks.classify.selection import choose_head, stratified_folds

SCENES, CROPS = 30, 4


@pytest.fixture(scope="module")
def scenes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features, labels, scenes): crops of a scene look alike, and the label of a scene is a coin toss."""
    random = np.random.default_rng(0)
    looks = random.normal(size=(SCENES, 80))
    units = np.repeat(np.arange(SCENES), CROPS)
    X = looks[units] + 0.1 * random.normal(size=(len(units), 80))
    return X.astype(np.float32), (random.permutation(SCENES) % 2)[units].astype(np.int64), units


@given(
    sizes=st.lists(st.integers(1, 6), min_size=4, max_size=40),
    folds=st.integers(2, 5),
    seed=st.integers(0, 5),
)
def test_units_stay_whole_and_every_example_has_a_fold(sizes: list[int], folds: int, seed: int) -> None:
    units = np.repeat(np.arange(len(sizes)), sizes)
    y = (np.arange(len(sizes)) % 2).astype(np.int64)[units]
    fold_of = dealt(y, folds, seed, units)
    assert ((fold_of >= 0) & (fold_of < folds)).all()
    for unit in np.unique(units):
        assert len(np.unique(fold_of[units == unit])) == 1
    counts = np.bincount(fold_of[y == 0], minlength=folds)
    assert counts.max() - counts.min() <= max(sizes)


def test_without_units_nothing_has_changed() -> None:
    y = np.random.default_rng(1).integers(0, 3, 50)
    assert np.array_equal(dealt(y, 5, 7), dealt(y, 5, 7, np.arange(50)[::-1]))
    assert np.bincount(dealt(y, 5, 7)).tolist() == [10] * 5


def test_a_class_of_one_unit_is_divided_because_nothing_else_could_be_learnt_of_it() -> None:
    y = np.repeat([0, 1], [10, 12]).astype(np.int64)
    units = np.concatenate([np.zeros(10, np.int64), np.repeat(np.arange(1, 7), 2)])
    assert units_by_class(y, units).tolist() == [10, 6]
    fold_of = stratified_folds(y, 0, units)
    assert fold_of.max() == 4
    assert len(np.unique(fold_of[:10])) == 5
    assert all(fold_of[i] == fold_of[i + 1] for i in range(10, 22, 2))


def test_what_is_recognised_is_not_taken_for_knowledge(scenes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Held-out accuracy near one half where the label is a coin toss; recognising the other crops would make it 1."""
    X, y, units = scenes
    rows = np.arange(len(y))

    def chosen(units: np.ndarray | None) -> float:
        found = choose_head("linear", {"all": X}, y, n_classes=2, train=rows, val=rows[:0], units=units)
        return max(candidate.accuracy for candidate in found.candidates)

    assert chosen(None) > 0.95
    assert chosen(units) < 0.75
    assert cross_validated(X, y, n_classes=2, seed=0).accuracy > 0.95
    assert cross_validated(X, y, n_classes=2, seed=0, units=units).accuracy < 0.75
    assert knn_accuracy(X, y, neighbours=3) > 0.95
    assert knn_accuracy(X, y, neighbours=3, units=units) < 0.75


def test_neighbours_outside_the_unit_vote_even_where_they_are_few() -> None:
    X = np.eye(4, dtype=np.float32)
    y = np.array([0, 0, 1, 1])
    assert knn_accuracy(X, y, units=np.array([0, 0, 1, 1])) == 0  # the only others are of the other class


def test_each_fold_gets_what_the_other_folds_chose() -> None:
    fold_of = np.array([0, 0, 1, 1])
    losses = [np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0])]
    said = [np.full((4, 2), 10.0), np.full((4, 2), 20.0)]
    np.testing.assert_array_equal(chosen_by_others(losses, said, fold_of)[:, 0], [10, 10, 20, 20])
