"""Strangers, odd colours, shapes and sizes, and classes out of balance."""

import numpy as np
import pytest

from warmstart.inspection.anomalous_attributes import odd_classes, odd_colours, odd_shapes, very_small
from warmstart.inspection.neighbours import nearest, standardised
from warmstart.inspection.outliers import K, strangeness


def test_strangers_that_resemble_each_other_are_strange_all_the_same() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 12)).astype(np.float32)
    X[:8] = 7 + 0.01 * random.normal(size=(8, 12))  # each other's nearest neighbours
    found = strangeness([nearest(standardised(X), K).distance[:, -1]])
    assert set(np.argsort(-found)[:8]) == set(range(8))
    assert found[:8].min() > 3
    assert abs(np.median(found)) < 1e-9


def test_strangeness_is_the_mean_over_readings_and_does_not_mind_their_scale() -> None:
    distance = np.random.default_rng(1).gamma(9, size=(2, 100))
    both = strangeness([distance[0], 1000 * distance[1]])
    np.testing.assert_allclose(both, (strangeness([distance[0]]) + strangeness([distance[1]])) / 2)
    assert np.isfinite(strangeness([np.ones(50)])).all()


@pytest.mark.parametrize(("grey", "odd_grey", "odd_colour"), [(0, 0, 0), (3, 3, 0), (40, 0, 0), (98, 0, 2), (100, 0, 0)])
def test_grey_is_odd_among_colour_and_colour_among_grey_but_neither_in_a_mixture(
    grey: int, odd_grey: int, odd_colour: int
) -> None:
    chroma = np.where(np.arange(100) < grey, 0.5, 40.0)
    found = odd_colours(chroma)
    assert (len(found[0]), len(found[1])) == (odd_grey, odd_colour)


def test_a_panorama_and_the_one_that_lies_among_those_that_stand() -> None:
    width, height = np.full(100, 300), np.full(100, 400)
    width[7], height[7] = 1200, 300
    width[8], height[8] = 400, 300
    found = odd_shapes(width, height)
    assert set(found) == {7, 8}
    assert "1 to 4.00" in found[7]
    assert "landscape" in found[8]
    width[10:40], height[10:40] = 400, 300
    assert set(odd_shapes(width, height)) == {7}


def test_small_is_small_for_the_network_and_beside_the_others() -> None:
    width, height = np.full(50, 400), np.full(50, 500)
    width[3], height[3] = 60, 90
    assert set(very_small(width, height, needed_px=256)) == {3}
    assert not very_small(width, height, needed_px=50)
    assert not very_small(np.full(50, 60), np.full(50, 60), needed_px=256)  # all of them are: that is not odd


def test_classes_with_few_pictures_and_classes_far_apart() -> None:
    assert odd_classes({"a": 100, "b": 90}) == []
    few = odd_classes({"a": 100, "b": 1})
    assert [detail for detail, _ in few] == ["class 'b' has 1 picture", "class 'a' has 100 pictures, 'b' has 1"]
