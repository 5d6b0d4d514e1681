"""Heat-maps, neighbours and feature maps as pictures: what must be visible in them, and names that could break them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from warmstart.explain.filters import Filters
from warmstart.report.overlay import colours, overlay
from warmstart.report.tiles import draw_filters
from warmstart.tasks.classify.explain.feature_maps import FeatureMaps
from warmstart.tasks.classify.report.feature_maps import draw_depth, draw_feature_maps
from warmstart.tasks.classify.report.heat_maps import draw_heat_map, draw_neighbours

WINDOW = (10.0, 0.0, 50.0, 40.0)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, (40, 60, 3), dtype=np.uint8)


def heat_at(top: int, left: int) -> np.ndarray:
    heat = np.zeros((40, 60), np.float32)
    heat[top : top + 8, left : left + 8] = 3
    return heat


def test_heat_is_coloured_its_surroundings_are_grey_and_what_was_not_seen_is_pale(picture: np.ndarray) -> None:
    page = overlay(picture, heat_at(16, 24), WINDOW).astype(int)
    colourful = page.max(axis=2) - page.min(axis=2)
    assert colourful[16:24, 24:32].min() > 60
    assert colourful[:8].max() == 0
    assert page[:, :10].min() > page[:8, 10:50].max() - 60
    assert page[:, :10].mean() > page[:8, 10:50].mean() + 40


def test_a_map_without_heat_is_a_grey_picture(picture: np.ndarray) -> None:
    page = overlay(picture, np.zeros((40, 60), np.float32), WINDOW)
    assert (page.max(axis=2) == page.min(axis=2)).all()


def test_hotter_is_lighter_so_that_the_order_survives_without_colours(picture: np.ndarray) -> None:
    ramp = np.tile(np.linspace(0, 1, 60, dtype=np.float32), (40, 1))
    page = overlay(np.full_like(picture, 90), ramp, (0.0, 0.0, 60.0, 40.0))
    luma = page.astype(float) @ [0.299, 0.587, 0.114]
    assert luma[0, 59] > luma[0, 40] > luma[0, 20]


NASTY = "red\x1b[31m <b> $x_1$ 日本 \ud800" + "w" * 300


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (400, 8), (8, 400), (1, 1)])
def test_pictures_of_any_shape_and_names_of_any_kind_are_drawn(size: tuple[int, int], tmp_path: Path) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    window = (0.0, 0.0, float(size[1]), float(size[0]))
    for path in draw_heat_map(picture, np.ones(size, np.float32), window, title=NASTY, folder=tmp_path):
        assert path.stat().st_size > 500
    neighbours = [(picture, NASTY, 0.1), (None, "gone", 0.2), *[(picture, "x", 0.3)] * 9]
    png, svg = draw_neighbours(picture, NASTY, neighbours, folder=tmp_path)
    assert "cannot be read" in svg.read_text("utf-8")
    assert "\x1b" not in svg.read_text("utf-8")
    with Image.open(png) as image:
        assert image.height > 500  # two rows


def test_filters_and_maps_are_tiles_with_their_channels_named(picture: np.ndarray, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    filters = Filters(backbone="x", path="conv1", weights=random.normal(0, 1, (5, 3, 7, 7)).astype(np.float32))
    _, svg = draw_filters(filters, title="x", folder=tmp_path)
    assert "5 filters of 7×7" in svg.read_text("utf-8")
    maps = FeatureMaps(
        layer="stage3", activations=random.normal(0, 1, (20, 4, 4)).astype(np.float32), strongest=np.arange(20)[::-1]
    )
    _, svg = draw_feature_maps(maps, folder=tmp_path)
    text = svg.read_text("utf-8")
    assert "16 of 20 channels" in text
    assert ("channel 19" in text, "channel 4<" in text, "channel 3<" in text) == (True, True, False)
    _, svg = draw_depth(picture, [maps] * 10, folder=tmp_path)
    assert svg.read_text("utf-8").count("20×4×4") == 10


def test_colours_are_the_upper_three_quarters_of_inferno() -> None:
    import matplotlib

    share = np.linspace(0, 1, 256)
    theirs = matplotlib.colormaps["inferno"](0.25 + 0.75 * share)[:, :3] * 255
    assert np.abs(colours(share) - theirs).max() < 5
