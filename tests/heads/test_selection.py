import json
import tracemalloc

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from warmstart.errors import UnknownNameError
from warmstart.records import to_json
from warmstart.tasks.classify.heads.catalog import HEADS, make_head
from warmstart.tasks.classify.metrics import log_loss
from warmstart.tasks.classify.selection import (
    ENOUGH_VAL,
    FEW_FOLDS,
    FOLDS,
    MANY_EXAMPLES,
    choose_head,
    class_weights,
    refit,
    stratified_folds,
)
from warmstart.tasks.classify.temperature import fit_temperature, softmax


def thirds(n):
    """train, val, test."""
    return np.split(np.random.default_rng(5).permutation(n), [n // 2, 3 * n // 4])


@pytest.fixture
def task(blobs):
    """Three sets of features of 480 examples in 3 classes: good, poor (mostly noise) and useless."""
    X, y = blobs(480, 12, 3, distance=3.5)
    rng = np.random.default_rng(1)
    poor = X + rng.normal(0, 3, X.shape).astype(np.float32) * X.std(axis=0)
    noise = rng.normal(0, 1, X.shape).astype(np.float32)
    return {"useless": noise, "good": X, "poor": poor}, y


@pytest.mark.parametrize("name", list(HEADS))
def test_every_head_finds_the_good_features_by_val_and_by_folds(name, task):
    features, y = task
    train, val, test = thirds(480)
    for held_out, method in ((val, "val"), (val[:6], "folds")):
        choice = choose_head(name, features, y, n_classes=3, train=train, val=held_out)
        assert (choice.tap_set, choice.method, choice.head_name) == ("good", method, name)
        assert len(choice.held_out_logits) == len(choice.held_out) == (len(val) if method == "val" else len(train))
        assert (choice.head.logits(features["good"][test]).argmax(axis=1) == y[test]).mean() > 0.8


def test_the_candidate_with_the_lowest_held_out_loss_is_chosen_and_all_are_listed(task):
    features, y = task
    train, val, _ = thirds(480)
    choice = choose_head("linear", features, y, n_classes=3, train=train, val=val)
    best = min(choice.candidates, key=lambda candidate: candidate.log_loss)
    assert (choice.tap_set, choice.settings) == (best.tap_set, best.settings)
    assert [c.tap_set for c in choice.candidates] == sorted((c.tap_set for c in choice.candidates), key=list(features).index)
    assert choice.temperature == pytest.approx(fit_temperature(choice.held_out_logits, y[val]))
    assert best.log_loss == pytest.approx(log_loss(softmax(choice.held_out_logits, choice.temperature), y[val]))
    assert best.accuracy == pytest.approx((choice.held_out_logits.argmax(axis=1) == y[val]).mean())
    json.loads(to_json(choice.to_dict()))


def test_no_picture_outside_train_and_val_has_any_influence(task):
    features, y = task
    train, val, test = thirds(480)
    for held_out in (val, val[:6]):
        spoiled = {name: X.copy() for name, X in features.items()}
        for X in spoiled.values():
            X[test] = np.nan
        y_spoiled = y.copy()
        y_spoiled[test] = 0
        clean = choose_head("linear", features, y, n_classes=3, train=train, val=held_out)
        other = choose_head("linear", spoiled, y_spoiled, n_classes=3, train=train, val=held_out)
        assert other.candidates == clean.candidates
        assert np.array_equal(other.head.coef_, clean.head.coef_)


def test_val_stays_untouched_when_folds_of_train_decide(task):
    features, y = task
    train, val, _ = thirds(480)
    few = val[:6]
    spoiled = {name: X.copy() for name, X in features.items()}
    for X in spoiled.values():
        X[few] = np.nan
    clean = choose_head("linear", features, y, n_classes=3, train=train, val=few)
    assert choose_head("linear", spoiled, y, n_classes=3, train=train, val=few).candidates == clean.candidates
    assert clean.folds == FOLDS


def test_folds_of_train_hold_each_picture_out_of_the_head_that_judges_it():
    """With random labels a head that had seen the pictures would look better than guessing."""
    wide = np.random.default_rng(2).normal(size=(480, 300)).astype(np.float32)
    y = np.random.default_rng(3).integers(0, 3, 480)
    choice = choose_head("linear", {"wide": wide}, y, n_classes=3, train=np.arange(480), val=np.arange(0))
    assert all(candidate.accuracy < 0.42 for candidate in choice.candidates)
    assert min(candidate.log_loss for candidate in choice.candidates) > 1.08  # log 3 = 1.0986
    assert (choice.head.logits(wide).argmax(axis=1) == y).mean() > 0.6


def test_val_decides_only_with_enough_pictures_of_every_class(blobs):
    X, y = blobs(300, 6, 2)
    train = np.arange(150)
    enough = np.concatenate([150 + np.flatnonzero(y[150:] == label)[:ENOUGH_VAL] for label in (0, 1)])
    assert choose_head("linear", {"all": X}, y, n_classes=2, train=train, val=enough).method == "val"
    assert choose_head("linear", {"all": X}, y, n_classes=2, train=train, val=enough[1:]).method == "folds"


def test_features_may_come_as_a_function_of_rows(task):
    features, y = task
    train, val, test = thirds(480)
    asked = []

    def reader(name):
        def read(rows):
            asked.append(rows)
            return features[name][rows]

        return read

    readers = {name: reader(name) for name in features}
    by_function = choose_head("linear", readers, y, n_classes=3, train=train, val=val)
    assert by_function.candidates == choose_head("linear", features, y, n_classes=3, train=train, val=val).candidates
    assert not set(np.concatenate(asked)) & set(test)


def test_the_grid_is_left_when_weaker_penalties_only_do_worse(blobs):
    X = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32)
    y = np.arange(200) % 2
    choice = choose_head("linear", {"noise": X}, y, n_classes=2, train=np.arange(200), val=np.arange(0))
    assert len(choice.candidates) < len(HEADS["linear"].grid)


def test_warm_path_ends_where_a_cold_fit_ends(blobs):
    X, y = blobs(200, 40, 4, distance=3)
    grid = [{"penalty": p} for p in (1.0, 0.1, 0.01)]
    *_, (warm,) = HEADS["linear"].head.fit_path(X, y, n_classes=4, weights=np.ones((1, 200), np.float32), grid=grid)
    cold = make_head("linear", penalty=0.01).fit(X, y, n_classes=4)
    assert softmax(warm.logits(X)) == pytest.approx(softmax(cold.logits(X)), abs=0.06)


def test_balanced_weights_are_scikit_learns_and_raise_the_recall_of_the_rare_class(blobs):
    X, y = blobs(800, 5, 2, distance=1.5)
    keep = (y == 0) | (np.arange(800) % 16 == 1)
    X, y = X[keep], y[keep]
    assert class_weights(y, 2, "balanced") == pytest.approx(compute_class_weight("balanced", classes=np.arange(2), y=y))
    recalls = []
    for class_weight in ("none", "balanced"):
        rows = np.arange(len(y))
        choice = choose_head("linear", {"all": X}, y, n_classes=2, train=rows, val=rows[:0], class_weight=class_weight)
        head = refit(choice, X, y, n_classes=2)
        assert np.array_equal(head.coef_, choice.head.coef_)  # the same pictures, so the same fit
        recalls.append((head.logits(X[y == 1]).argmax(axis=1) == 1).mean())
    assert recalls[1] > recalls[0] + 0.2


def test_refit_learns_from_pictures_that_the_choice_had_not(task):
    features, y = task
    train, val, test = thirds(480)
    choice = choose_head("linear", features, y, n_classes=3, train=train[:30], val=val)
    rows = np.concatenate([train, val])
    X = features[choice.tap_set]
    head = refit(choice, X[rows], y[rows], n_classes=3)
    # The prior stays what it was: a penalty beside the mean loss, times the number of examples.
    assert head.settings()["penalty"] * len(rows) == pytest.approx(choice.settings["penalty"] * 30)
    before, after = ((h.logits(X[test]).argmax(axis=1) == y[test]).mean() for h in (choice.head, head))
    assert after > before


def test_folds_are_even_stratified_and_seeded():
    y = np.repeat([0, 1, 2], [50, 23, 7])
    fold_of = stratified_folds(y, seed=0)
    assert np.ptp(np.bincount(fold_of)) <= 1
    for label in range(3):
        assert np.ptp(np.bincount(fold_of[y == label], minlength=FOLDS)) <= 1
    assert np.array_equal(fold_of, stratified_folds(y, seed=0))
    assert not np.array_equal(fold_of, stratified_folds(y, seed=1))


def test_folds_are_fewer_for_tiny_classes_and_for_many_examples():
    assert stratified_folds(np.array([0, 0, 0, 1, 1, 1, 3, 3, 3]), 0).max() == 2
    assert stratified_folds(np.array([0, 0, 0, 1]), 0).max() == 1
    assert stratified_folds(np.arange(MANY_EXAMPLES) % 2, 0).max() == FEW_FOLDS - 1


@pytest.mark.parametrize("name", list(HEADS))
def test_two_pictures_per_class_are_enough_to_choose(name, blobs):
    X, y = blobs(6, 30, 3, distance=14)
    choice = choose_head(name, {"all": X}, y, n_classes=3, train=np.arange(6), val=np.arange(0))
    assert choice.folds == 2
    assert np.isfinite(choice.head.logits(X)).all()


@pytest.mark.parametrize("name", ["linear", "svm"])
def test_a_linear_head_is_chosen_within_two_and_a_half_times_the_features(name):
    n, d, k = 1600, 1000, 4
    rng = np.random.default_rng(0)
    y = np.arange(n) % k
    X = (rng.normal(size=(n, d)) + 0.1 * y[:, None]).astype(np.float32)
    rows = np.arange(n)
    tracemalloc.start()
    choose_head(name, {"all": X}, y, n_classes=k, train=rows, val=rows[:0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert X.nbytes + peak < 2.5 * 4 * n * d


def test_unknown_names_come_with_the_nearest(blobs):
    X, y = blobs(12, 3, 2)
    rows = np.arange(12)
    with pytest.raises(UnknownNameError, match="Did you mean 'ridge'"):
        choose_head("rigde", {"all": X}, y, n_classes=2, train=rows, val=rows[:0])
    with pytest.raises(UnknownNameError, match=r"unknown class weight 'balance'.*Did you mean 'balanced'"):
        choose_head("linear", {"all": X}, y, n_classes=2, train=rows, val=rows[:0], class_weight="balance")


@pytest.mark.parametrize("by_val", [True, False])
def test_no_pictures_own_label_has_a_part_in_choosing_the_candidate_it_is_calibrated_by(by_val):
    # Candidates that are equally useless: which one is the best is luck, and folds do not agree on it.
    rng = np.random.default_rng(0)
    noise = {str(number): rng.normal(size=(240, 4)).astype(np.float32) for number in range(20)}
    train, val, _ = thirds(240)
    flattery = []
    for _ in range(4):
        y = rng.permutation(240) % 2
        choice = choose_head("linear", noise, y, n_classes=2, train=train, val=val if by_val else val[:6])
        assert choice.method == ("val" if by_val else "folds")
        labels = y[choice.held_out]
        apart, own = (log_loss(softmax(z, 1.0), labels) for z in (choice.apart_logits, choice.held_out_logits))
        flattery.append(apart - own)
    assert np.mean(flattery) > 0.001  # nats that the luckiest candidate flatters by
