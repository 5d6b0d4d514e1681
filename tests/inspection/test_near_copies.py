"""Which pictures are compared, and what becomes of the pairs that agree."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from photograph import photograph
from warmstart.inspection import neighbours
from warmstart.inspection.near_copies import CROWD, candidates, find_near_copies, groups
from warmstart.inspection.neighbours import directions, nearest, standardised
from warmstart.inspection.registration import SIDE_PX


def test_neighbours_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ROWS_AT_ONCE", 7)  # so that blocks meet
    Z = standardised(np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32))
    found = nearest(Z, 4)
    distance, index = NearestNeighbors(n_neighbors=5).fit(Z).kneighbors(Z)
    np.testing.assert_array_equal(found.index, index[:, 1:])
    np.testing.assert_allclose(found.distance, distance[:, 1:], atol=1e-4)
    unit = directions(Z)
    np.testing.assert_allclose(found.cosine[:, 0], (unit * unit[found.index[:, 0]]).sum(axis=1), atol=1e-5)


def test_no_more_neighbours_than_there_are_pictures_and_constant_features_count_nothing() -> None:
    Z = standardised(np.array([[0, 5], [1, 5], [3, 5]], np.float32))
    assert (Z[:, 1] == 0).all()
    assert nearest(Z, 20).index.tolist() == [[1, 2], [0, 2], [1, 0]]


def test_pairs_become_groups_through_one_another() -> None:
    assert groups([(3, 5), (0, 1), (5, 4)], 8) == ((0, 1), (3, 4, 5))
    assert groups([], 8) == ()


def test_a_nearest_neighbour_is_compared_when_it_is_alike_and_a_farther_one_only_when_it_is_very_much_so() -> None:
    Z = np.array([[1, 0, 0], [0.98, 0.2, 0], [0.7, 0.7, 0.14], [-1, 0, 0.1]], np.float32)
    assert candidates(nearest(Z, 3)).tolist() == [[0, 1], [1, 2]]  # 2 with its nearest; nothing with 3
    assert candidates(nearest(Z, 3), alike=0.95).tolist() == [[0, 1]]


def thumbnails(copies: int) -> np.ndarray:
    scenes = [photograph(seed).resize((SIDE_PX, SIDE_PX)) for seed in range(4)]
    scenes += [scenes[1].copy() for _ in range(copies)]
    return np.stack([np.asarray(scene) for scene in scenes])


@pytest.mark.parametrize("copies", [1, 3, CROWD + 2])
def test_alike_by_features_and_the_same_by_pixels_is_a_copy_and_a_crowd_of_them_is_not(copies: int) -> None:
    pixels = thumbnails(copies)
    asked: list[int] = []

    def look(positions: np.ndarray) -> np.ndarray:
        asked.extend(positions.tolist())
        return pixels[positions]

    # By features 0 and 1 are alike as well: the pixels tell them apart.
    Z = np.random.default_rng(1).normal(size=(4, 40)).astype(np.float32)
    Z[0] = Z[1] + 0.05
    Z = np.concatenate([Z, np.repeat(Z[1:2], copies, axis=0)])
    Z += np.random.default_rng(2).normal(scale=0.1, size=Z.shape).astype(np.float32)
    found = find_near_copies(nearest(Z, 4), look)
    everyone = (1, *range(4, 4 + copies))
    in_one = found.groups if copies < CROWD else found.alike
    assert in_one == (everyone,)
    assert len(asked) == len(set(asked)) <= len(pixels)
    assert not (found.alike if copies < CROWD else found.groups)


def test_nothing_alike_means_nothing_decoded() -> None:
    Z = np.eye(6, dtype=np.float32)

    def look(positions: np.ndarray) -> np.ndarray:
        raise AssertionError(positions)

    assert find_near_copies(nearest(Z, 3), look).compared == 0
