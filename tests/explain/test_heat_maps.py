"""Both methods against the same worked out by hand, on a network of one convolution; then what must hold of any network."""

from dataclasses import replace

import numpy as np
import pytest
from explain_examples import SIDE_PX, linear_head, toy
from PIL import Image

from warmstart.data.views import DIHEDRAL, RESIZE_MODES, over_picture
from warmstart.errors import UnknownNameError, UsageError
from warmstart.extraction.rendering import render
from warmstart.records import Preprocessing
from warmstart.tasks.classify.explain import occlusion
from warmstart.tasks.classify.explain.attribution_model import look
from warmstart.tasks.classify.explain.grad_cam import grad_cam, last_layer_read


def stem_by_hand(pixels: np.ndarray) -> np.ndarray:
    """(2, 8, 8): brightness and a quarter of the sum of red, of each patch of 2×2."""
    patches = (pixels / 255).reshape(3, 8, 2, 8, 2)
    return np.stack([patches.sum(axis=(0, 2, 4)) / 12, patches[0].sum(axis=(1, 3)) * 0.25])


def test_grad_cam_is_what_the_paper_says(pixels: np.ndarray) -> None:
    """Of two classes the log-odds are the difference of the logits, whose gradient by the map of a mean is even."""
    subject = toy()
    activations = stem_by_hand(pixels)
    alpha = (subject.head.arrays()["coef"][:, 0] - subject.head.arrays()["coef"][:, 1]) / 64 / subject.temperature
    expected = np.tensordot(alpha, activations, axes=1)
    heat = grad_cam(subject, look(subject, pixels, gradients=True), 0, "stem")
    assert heat.values == pytest.approx(np.maximum(expected, 0), abs=1e-6)
    assert heat.against == pytest.approx(np.maximum(-expected, 0), abs=1e-6)
    assert heat.values.any()
    assert heat.against.any()
    assert (heat.method, heat.layer, heat.label) == ("grad-cam", "stem", 0)


def test_occlusion_is_the_mean_loss_over_the_windows_that_leave_a_position_out(pixels: np.ndarray) -> None:
    subject = toy()
    activations = stem_by_hand(pixels)

    def log_odds(positions: np.ndarray) -> float:
        logits = activations[:, positions].mean(axis=1) @ subject.head.arrays()["coef"] + subject.head.arrays()["intercept"]
        return float(logits[0] - logits[1]) / subject.temperature

    total, covered = np.zeros((8, 8)), np.zeros((8, 8))
    for top in range(7):
        for left in range(7):  # windows of 2 × 2: 2/7 of 8, rounded
            out = np.zeros((8, 8), bool)
            out[top : top + 2, left : left + 2] = True
            total += out * (log_odds(np.ones((8, 8), bool)) - log_odds(~out))
            covered += out
    heat = occlusion.occlusion(subject, look(subject, pixels), 0, "stem")
    assert heat.values - heat.against == pytest.approx(total / covered, abs=1e-5)


def test_occlusion_sees_a_maximum_go_where_it_was(pixels: np.ndarray) -> None:
    """The tap 'max' is taken over what is left."""
    pixels = pixels // 8
    pixels[:, 4:6, 10:12] = 255
    subject = toy(taps=("max",))
    heat = occlusion.occlusion(subject, look(subject, pixels), 0, "stem")
    values = heat.values - heat.against
    assert np.unravel_index(np.abs(values).argmax(), values.shape) == (2, 5)
    assert np.abs(values[5:]).max() < 1e-5


@pytest.mark.parametrize("method", ["occlusion", "grad-cam"])
def test_a_mirrored_picture_has_the_mirrored_map_whatever_the_views(pixels: np.ndarray, method: str) -> None:
    def heat(pixels: np.ndarray, views: tuple[str, ...]) -> np.ndarray:
        subject = toy(views=views)
        seen = look(subject, pixels, gradients=method == "grad-cam")
        explain = grad_cam if method == "grad-cam" else occlusion.occlusion
        return explain(subject, seen, 0, "stem").values

    for views in (("plain",), ("plain", "flip"), tuple(DIHEDRAL)):
        assert heat(pixels[:, :, ::-1].copy(), views)[:, ::-1] == pytest.approx(heat(pixels, views), abs=1e-6)
    # A mean over positions does not care about turns, so neither does a map that was turned back.
    assert heat(pixels, tuple(DIHEDRAL)) == pytest.approx(heat(pixels, ("plain",)), abs=1e-6)


@pytest.mark.parametrize("resize", RESIZE_MODES)
@pytest.mark.parametrize("size", [(160, 90), (90, 160), (120, 120)])
@pytest.mark.parametrize("method", ["occlusion", "grad-cam"])
def test_a_bright_square_is_found_where_it_is_in_a_picture_of_any_shape(
    resize: str, size: tuple[int, int], method: str
) -> None:
    """Class 0 is brightness. Where it is hottest, in pixels of the picture, must be at the square, to a position of the map."""
    width, height = size
    picture = np.full((height, width, 3), 128, np.uint8)  # as grey as the page of 'pad'
    x, y = round(0.6 * width), round(0.38 * height)
    picture[y - 9 : y + 9, x - 9 : x + 9] = 255
    subject = toy(head=linear_head(np.array([[3.0, -3.0], [0.0, 0.0]]), np.zeros(2)))
    seen = look(subject, render(picture, Preprocessing(size_px=SIDE_PX, resize=resize)), gradients=True)
    explain = grad_cam if method == "grad-cam" else occlusion.occlusion
    heat = over_picture(explain(subject, seen, 0, "stem").values, size, mode=resize)
    assert heat.shape == (height, width)
    position_px = max(size) / 8  # the largest that a position of the map can be in the picture
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert column == pytest.approx(x, abs=position_px)
    assert row == pytest.approx(y, abs=position_px)


def test_a_map_covers_what_the_network_saw_and_nothing_else() -> None:
    heat = over_picture(np.ones((7, 7), np.float32), (200, 100), mode="crop")
    assert heat[:, :50].max() == heat[:, 151:].max() == heat[:6].max() == 0
    assert heat[10:90, 60:140].min() == 1
    assert over_picture(np.ones((7, 7), np.float32), (200, 100), mode="squash").min() == 1
    page = np.zeros((8, 8), np.float32)
    page[2:6] = 1  # where a picture twice as wide as high lies on its page
    assert over_picture(page, (200, 100), mode="pad")[13:87].min() == 1  # between the middles of its first and last row


def test_over_picture_turns_back_what_resize_did() -> None:
    """A picture of slow waves, brought to the network's input and laid back, is itself within the crop."""
    x, y = np.meshgrid(np.linspace(0, 3, 150), np.linspace(0, 2, 100))
    waves = np.round(127 + 60 * np.sin(x) + 60 * np.cos(y)).astype(np.uint8)
    seen = {"crop": np.s_[12:88, 37:113], "full-crop": np.s_[6:94, 31:119]}
    for mode in RESIZE_MODES:
        pixels = render(Image.fromarray(waves), Preprocessing(size_px=96, resize=mode))
        back = over_picture(pixels[0].astype(np.float32), (150, 100), mode=mode)
        inside = seen.get(mode, np.s_[4:96, 4:146])
        assert np.abs(back[inside] - waves[inside]).max() < 3


def test_every_window_leaves_something_and_every_position_is_left_out_once() -> None:
    for height, width in ((1, 2), (2, 2), (3, 5), (7, 7), (14, 14), (112, 112)):
        windows = occlusion.windows(height, width)
        assert windows.any(axis=0).all()
        assert not windows.all(axis=(1, 2)).any()
        assert len(windows) <= occlusion.STEPS**2


def test_a_layer_that_is_not_there_is_refused_with_the_nearest_name(pixels: np.ndarray) -> None:
    subject = toy()
    seen = look(subject, pixels)
    assert subject.layer("convolution", seen.maps) == "stem"
    with pytest.raises(UnknownNameError, match="Did you mean 'stem'"):
        subject.layer("stemm", seen.maps)
    with pytest.raises(UsageError, match=r"no positions to map.*pixels, stem"):
        subject.layer("pooled", seen.maps)


def test_grad_cam_refuses_pixels_and_stages_that_the_head_does_not_read(pixels: np.ndarray) -> None:
    subject = toy()
    seen = look(subject, pixels, gradients=True)
    with pytest.raises(UsageError, match="pixels are none"):
        grad_cam(subject, seen, 0, "pixels")
    assert last_layer_read(subject, seen) == "stem"
    blind = replace(
        subject,
        head=toy().head.from_arrays(
            {"penalty": 1.0}, {"coef": np.zeros((2, 2), np.float32), "intercept": np.zeros(2, np.float32)}
        ),
    )
    with pytest.raises(UsageError, match="nothing of stem reaches"):
        grad_cam(blind, look(blind, pixels, gradients=True), 0, "stem")
