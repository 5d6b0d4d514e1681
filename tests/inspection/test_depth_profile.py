"""The depth profile of made-up stages whose information is known."""

import numpy as np
import pytest

from warmstart.tasks.classify.evidence.depth import class_entropy, depth_profile, early_share

N = 200
Y = (np.arange(N) % 4).astype(np.int64)


def stage(bits: int, seed: int) -> np.ndarray:
    """Features that tell 0, 1 or both bits of the four classes, among noise."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(N, 4)).astype(np.float32)
    for bit in range(bits):
        X[:, bit] += 8 * ((Y >> bit) & 1)
    return X


def profile(*bits: int) -> object:
    taps = [f"stage{i}" for i in range(len(bits))]
    features = {tap: stage(b, i) for i, (tap, b) in enumerate(zip(taps, bits, strict=True))}
    return depth_profile(features.__getitem__, taps, Y, n_classes=4, seed=0)


def test_information_is_counted_in_bits_up_to_the_entropy_of_the_classes() -> None:
    found = profile(0, 1, 2)
    assert found.class_entropy_bits == pytest.approx(2)
    assert [stage.information_bits for stage in found.stages] == pytest.approx([0, 1, 2], abs=0.15)
    nothing, half, all_of_it = (stage.accuracy for stage in found.stages)
    # Two classes that cannot be told apart are guessed a little worse than by a coin: of the two, the fold that is held out lacks
    # in training the one that it holds.
    assert nothing < 0.35 < half + 0.1 < 0.65 < all_of_it


def test_a_profile_that_rises_to_the_end_has_a_small_early_share() -> None:
    found = profile(0, 0, 1, 2)
    assert found.best == found.first_as_good == "stage3"
    assert found.early_share == pytest.approx(0, abs=0.1)


def test_a_profile_that_is_flat_from_the_middle_on_names_the_first_stage_that_is_as_good() -> None:
    found = profile(0, 2, 2, 2)
    assert found.first_as_good == "stage1"
    assert found.early_share == pytest.approx(1, abs=0.05)


def test_where_no_stage_knows_anything_there_is_no_share() -> None:
    assert profile(0, 0, 0).early_share is None
    assert early_share([0.0, 0.01, 0.02], noise=0.05) is None


def test_of_an_odd_number_of_stages_the_middle_one_is_early() -> None:
    assert early_share([0.1, 0.5, 1.0], noise=0.01) == 0.5
    assert early_share([0.1, 0.5, 0.6, 1.0], noise=0.01) == 0.5


def test_entropy_of_shares() -> None:
    assert class_entropy(np.array([0, 0, 0, 3])) == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
