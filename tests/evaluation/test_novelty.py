import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from warmstart.evaluation import novelty
from warmstart.evaluation.novelty import BANK, NEIGHBOURS, Novelty


def cloud(n, d=16, seed=0, centre=1.0):
    return np.random.default_rng(seed).normal(0, 0.2, (n, d)).astype(np.float32) + centre * np.eye(d, dtype=np.float32)[0]


def known(n=300):
    made = Novelty.of(cloud(n), ("pooled",), seed=0)
    assert made is not None
    return made


def test_distance_is_that_to_the_fifth_nearest_direction_as_scikit_learn_finds_it():
    made, rows = known(), cloud(40, seed=1)
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    oracle = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(made.bank.astype(np.float32))
    expected = oracle.kneighbors(directions)[0][:, -1]
    assert made.distance(rows) == pytest.approx(expected, abs=1e-3)


def test_the_bank_is_measured_without_itself():
    made = known(60)
    directions = made.bank.astype(np.float32)
    apart = np.linalg.norm(directions[:, None] - directions[None], axis=2)
    expected = np.sort(np.sort(apart, axis=1)[:, NEIGHBOURS])  # column 0 is the picture itself
    assert made.reference == pytest.approx(expected, abs=1e-3)


def test_pictures_of_the_same_kind_have_every_percentile_equally_often():
    percentiles = known(1000).percentile(cloud(2000, seed=2))
    shares = np.histogram(percentiles, bins=5, range=(0, 100))[0] / 2000
    assert shares == pytest.approx([0.2] * 5, abs=0.05)
    assert (percentiles >= novelty.UNLIKE).mean() < 0.03


@given(seed=st.integers(0, 500))
def test_the_farther_from_the_cloud_the_higher_the_percentile(seed):
    away = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    away[0] = -abs(away[0])
    path = np.stack([np.eye(16, dtype=np.float32)[0] * (1 - t) + away * t for t in (0, 0.3, 0.6, 1)])
    percentiles = known().percentile(path)
    assert list(percentiles) == sorted(percentiles)
    assert percentiles[-1] == 100


def test_length_says_nothing():
    rows = cloud(20, seed=3)
    assert known().percentile(rows * 7) == pytest.approx(known().percentile(rows), abs=0.5)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_pictures_have_no_distances(n):
    assert Novelty.of(cloud(5)[:n], ("pooled",), seed=0) is None


@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_a_bank_smaller_than_the_number_of_neighbours_uses_what_there_is(n):
    made = known(n)
    assert made.reference.shape == (n,)
    assert np.isfinite(made.distance(cloud(4, seed=5))).all()


def test_the_bank_is_bounded_and_blank_features_are_no_fault():
    made = Novelty.of(cloud(BANK + 50), ("pooled",), seed=0)
    assert made is not None
    assert len(made.bank) == BANK
    assert np.isfinite(made.percentile(np.zeros((3, 16), np.float32))).all()


def test_arrays_and_settings_give_the_same_back_to_the_bit():
    made, rows = known(), cloud(9, seed=6)
    copy = Novelty.from_arrays(made.settings(), made.arrays())
    assert copy.taps == made.taps
    assert np.array_equal(copy.percentile(rows), made.percentile(rows))
