"""A view gives its geometry back: a dot drawn on a picture is found in the view where the geometry says, and the other way round."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from warmstart.data.augmentation import render_view, view_geometry
from warmstart.data.geometry import Geometry, composed, inverse, rotation
from warmstart.data.trivial_augment import OPERATIONS
from warmstart.data.views import DIHEDRAL, RESIZE_MODES
from warmstart.extraction.rendering import geometry_of, views_and_loss
from warmstart.extraction.scanning import picture_of
from warmstart.records import Preprocessing

SIZE_PX = 96
DIGEST = bytes(range(16))
VIEWS = (*DIHEDRAL, *(f"{policy}-{k}" for policy in ("standard", "unmirrored", "strong") for k in range(1, 13)))


def dotted(size: tuple[int, int], at: tuple[float, float], radius: float) -> Image.Image:
    """White on black."""
    picture = Image.new("RGB", size)
    x, y = at
    ImageDraw.Draw(picture).ellipse((x - radius, y - radius, x + radius, y + radius), fill="white")
    return picture


def centre(pixels: np.ndarray, about: np.ndarray) -> np.ndarray:
    """(x, y) of what is brightest within 12 px of a point of (3, S, S)."""
    y, x = np.mgrid[: pixels.shape[1], : pixels.shape[2]] + 0.5
    near = np.hypot(x - about[0], y - about[1]) < 12
    grey = pixels.mean(axis=0)
    shine = np.where(near, np.maximum(grey - grey[near].min() - 0.5 * np.ptp(grey[near]), 0), 0)
    return np.array([(shine * x).sum(), (shine * y).sum()]) / shine.sum()


@pytest.mark.parametrize("mode", RESIZE_MODES)
@pytest.mark.parametrize("view", VIEWS)
def test_a_dot_is_where_the_geometry_says(view: str, mode: str) -> None:
    size = (331, 240)
    geometry = view_geometry(size, view, digest=DIGEST, size_px=SIZE_PX, mode=mode)
    seen = 0
    for at in ((165.0, 120.0), (120.0, 90.0), (200.0, 150.0), (150.0, 160.0), (190.0, 80.0)):
        (expected,) = geometry.points_to_input(np.array([at]))
        margin = 26 if mode == "pad" else 14  # the grey border is brighter than what the dot lies on
        if not margin < expected.min() <= expected.max() < SIZE_PX - margin:
            continue
        pixels = render_view(dotted(size, at, 6), view, digest=DIGEST, size_px=SIZE_PX, mode=mode)
        spread = np.ptp(pixels.mean(axis=0))
        if spread < 40:  # an operation that leaves nothing of black and white to be found
            continue
        inverted = np.median(pixels) > 128  # solarised
        np.testing.assert_allclose(centre(255 - pixels if inverted else pixels, expected), expected, atol=1.3)
        np.testing.assert_allclose(geometry.points_to_picture(expected[None])[0], at, atol=1e-6)
        seen += 1
    assert seen or view.startswith("strong")


def test_each_of_the_eight_symmetries_puts_a_point_elsewhere() -> None:
    places = {
        tuple(geometry.points_to_input(np.array([[30.0, 60.0]]))[0].round(6))
        for geometry in (view_geometry((300, 200), view, digest=DIGEST, size_px=96, mode="squash") for view in DIHEDRAL)
    }
    assert len(places) == 8


@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.source])
@pytest.mark.parametrize("negative", [False, True])
def test_operations_that_move_points_move_them_as_they_say(name: str, negative: bool) -> None:
    operation = OPERATIONS[name]
    amount = operation.amount(0.4, negative=negative)
    at = np.array([60.0, 44.0])
    (expected,) = Geometry(inverse(operation.source(amount, 100, 90)), 100, (100, 90)).points_to_input(at[None])  # type: ignore[misc]
    moved = np.asarray(operation.apply(dotted((100, 90), (60.0, 44.0), 4), amount)).transpose(2, 0, 1)
    np.testing.assert_allclose(centre(moved, expected), expected, atol=1.0)


@pytest.mark.parametrize("format_name", ["png", "jpeg"])
@pytest.mark.parametrize("view", ["plain", "flip-rot90", "standard-2"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_picture_that_is_decoded_small_has_the_geometry_of_its_own_size(
    format_name: str, view: str, orientation: int, tmp_path: Path
) -> None:
    size = (1803, 1205)
    preprocessing = Preprocessing(size_px=SIZE_PX, resize="squash")
    exif = Image.Exif()
    exif[274] = orientation
    at = (900.0, 640.0)
    content = io.BytesIO()
    dotted(size, at, 40).save(content, format_name, exif=exif)
    path = tmp_path / f"x.{format_name}"
    path.write_bytes(content.getvalue())
    picture = picture_of(str(path), name=str(path))
    geometry = geometry_of(picture, view, preprocessing)
    upright = size if orientation == 1 else size[::-1]
    assert geometry.picture_size == upright
    where = at if orientation == 1 else (size[1] - at[1], at[0])  # 6: turned with the clock to be upright
    (expected,) = geometry.points_to_input(np.array([where]))
    (pixels,), _ = views_and_loss(picture, [view], preprocessing)
    np.testing.assert_allclose(centre(pixels, expected), expected, atol=1.0)


@given(st.floats(-180, 180), st.floats(-50, 50), st.floats(0.1, 5))
def test_an_inverse_leads_back(degrees: float, shift: float, scale: float) -> None:
    there = composed((scale, 0.2, shift, 0.0, 1.0, -shift), rotation(degrees, 100, 80))
    points = np.array([[3.0, 4.0], [-7.5, 90.0]])
    back = Geometry(composed(inverse(there), there), 100, (100, 80)).points_to_input(points)
    np.testing.assert_allclose(back, points, atol=1e-8)
