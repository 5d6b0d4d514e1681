"""Labels that the rest of the data contradicts."""

import numpy as np

from warmstart.tasks.classify.doctor.label_errors import FEWEST, confident, label_errors

K = 4


def blobs(seed: int, n: int = 240, flipped: int = 12) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Two readings of four clouds that overlap a little, labels of which some are wrong, and which."""
    random = np.random.default_rng(seed)
    true = np.arange(n) % K
    centres = 2.2 * random.normal(size=(K, 10))
    sets = [(random.normal(size=(n, 10)) + centres[true]).astype(np.float32) for _ in range(2)]
    wrong = random.choice(n, flipped, replace=False)
    y = true.copy()
    y[wrong] = (true[wrong] + random.integers(1, K, flipped)) % K
    return sets, y.astype(np.int64), wrong


def test_flipped_labels_stand_first_and_the_true_class_beside_them() -> None:
    sets, y, wrong = blobs(0)
    found = label_errors(sets, y, n_classes=K, seed=0)
    assert len(set(found.ranked[: len(wrong)]) & set(wrong)) >= len(wrong) - 2
    assert np.mean(found.likely[wrong] == wrong % K) > 0.8
    assert found.suspect[wrong].mean() > 0.8
    assert found.suspect.sum() < 2.5 * len(wrong)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-5)


def test_what_is_used_is_never_worse_than_the_first_probe_on_held_out_pictures() -> None:
    for seed in range(4):
        sets, y, _ = blobs(seed, n=80)
        found = label_errors(sets, y, n_classes=K, seed=seed)
        assert found.log_loss[1] <= found.log_loss[0]
        assert found.stacked == (found.log_loss[1] < found.log_loss[0])


def test_the_confident_joint_of_a_case_worked_by_hand() -> None:
    # Class 0's own mean is 0.7, class 1's is 0.6. Picture 5 says 0.3 of its own class and 0.7 of 0: counted under 0.
    of_0 = np.array([0.9, 0.8, 0.9, 0.9, 0.0, 0.7, 0.1, 0.1, 0.2, 0.9])
    p = np.stack([of_0, 1 - of_0], axis=1).astype(np.float32)
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    suspect, likely = confident(p, y)
    assert np.flatnonzero(suspect).tolist() == [4, 5, 9]
    assert likely[[4, 5, 9]].tolist() == [1, 0, 0]


def test_a_class_too_small_to_judge_has_no_suspects_and_is_nobodys_excuse() -> None:
    y = np.array([0] * 6 + [1] * 6 + [2] * (FEWEST - 1))
    p = np.full((len(y), 3), 0.05, np.float32)
    p[np.arange(len(y)), y] = 0.9
    p[-1] = [0.9, 0.05, 0.05]
    p[0] = [0.05, 0.05, 0.9]
    suspect, _ = confident(p, y)
    assert not suspect.any()


def test_a_copy_does_not_vouch_for_its_own_label() -> None:
    sets, y, wrong = blobs(3)
    i = int(wrong[0])
    again = [np.concatenate([X, np.repeat(X[i : i + 1], 8, axis=0)]) for X in sets]
    labels = np.concatenate([y, np.repeat(y[i], 8)])
    itself = np.arange(len(labels))
    same = itself.copy()
    same[len(y) :] = i
    trusting = label_errors(again, labels, n_classes=K, seed=0, same_as=itself)
    careful = label_errors(again, labels, n_classes=K, seed=0, same_as=same)
    assert careful.given[i] < 0.1 < trusting.given[i]
    np.testing.assert_allclose(careful.given[len(y) :], careful.given[i], rtol=1e-4)
