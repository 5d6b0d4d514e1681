import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from warmstart.data.views import (
    CROP_PCT,
    DIHEDRAL,
    RESIZE_MODES,
    VIEW_POLICIES,
    apply_view,
    mode_of,
    needed_shorter_side_px,
    resize,
    seen_share,
    seen_window,
    undo_view,
)
from warmstart.errors import UnknownNameError


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64), st.sampled_from(RESIZE_MODES))
def test_any_picture_becomes_a_contiguous_uint8_square(width, height, size_px, mode):
    pixels = resize(Image.new("RGB", (width, height), (10, 20, 30)), size_px=size_px, mode=mode)
    assert pixels.shape == (3, size_px, size_px)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    painted = (pixels == np.array([10, 20, 30])[:, None, None]).all(axis=0)
    assert painted.any() if mode == "pad" else painted.all()


def test_channels_are_red_green_blue():
    pixels = resize(Image.new("RGB", (9, 9), (200, 100, 50)), size_px=4, mode="squash")
    assert pixels[:, 0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (256, 256), (1000, 280)])
def test_crop_is_resizing_the_shorter_side_to_256_and_cutting_the_centre_224(size):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    picture = coarse.resize(size, Image.Resampling.BICUBIC)
    scale = 256 / min(size)
    whole = picture.resize((round(size[0] * scale), round(size[1] * scale)), Image.Resampling.BICUBIC)
    left, top = (whole.width - 224) / 2, (whole.height - 224) / 2
    expected = np.asarray(
        whole.transform((224, 224), Image.Transform.EXTENT, (left, top, left + 224, top + 224), Image.Resampling.BICUBIC)
    )
    ours = resize(picture, size_px=224, mode="crop").transpose(1, 2, 0)
    # The filter does not look beyond the window, so only the outermost pixels may differ by more than rounding.
    assert np.abs(ours[4:-4, 4:-4].astype(int) - expected[4:-4, 4:-4]).mean() < 0.6


def test_crop_leaves_out_what_lies_beyond_the_centre_window():
    picture = Image.new("RGB", (300, 200), (255, 0, 0))
    picture.paste((0, 255, 0), (63, 13, 238, 188))  # the centre 175 × 175, 0.875 of the shorter side, starting at 62.5, 12.5
    pixels = resize(picture, size_px=100, mode="crop")
    assert (pixels[1, 1:-1, 1:-1] > 250).all()
    whole = resize(picture, size_px=100, mode="crop", crop_pct=1.0)
    assert whole[0, 0, 0] == 255


def test_full_crop_is_the_crop_without_its_margin():
    picture = Image.new("RGB", (300, 200), (255, 0, 0))
    picture.paste((0, 255, 0), (50, 0, 250, 200))
    pixels = resize(picture, size_px=100, mode="full-crop")
    assert (pixels[1, :, 1:-1] > 250).all()  # of the window's ends, the filter sees what lies beside them
    assert np.array_equal(pixels, resize(picture, size_px=100, mode="crop", crop_pct=1.0))
    assert seen_window((300, 200), mode="full-crop") == (50.0, 0.0, 250.0, 200.0)
    assert [seen_share((400, 100), mode=mode) for mode in RESIZE_MODES] == [0.19140625, 0.25, 1.0, 1.0]
    assert [mode_of(mode) for mode in ("auto", *RESIZE_MODES)] == ["crop", *RESIZE_MODES]


def test_squash_keeps_all_four_corners(photo):
    pixels = resize(photo, size_px=32, mode="squash").transpose(1, 2, 0).astype(int)
    corners = np.asarray(photo).astype(int)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.abs(pixels[[0, 0, -1, -1], [0, -1, 0, -1]] - corners).max() <= 8


@pytest.mark.parametrize(
    ("size", "border"), [((200, 100), (slice(0, 24), slice(None))), ((100, 200), (slice(None), slice(0, 24)))]
)
def test_pad_keeps_the_aspect_ratio_on_mid_grey(size, border):
    pixels = resize(Image.new("RGB", size, (255, 0, 0)), size_px=100, mode="pad")
    assert (pixels[(slice(None), *border)] == 128).all()
    red = (pixels == np.array([255, 0, 0])[:, None, None]).all(axis=0)
    assert red.sum() == 50 * 100
    assert red[50, 50]


def test_a_fine_pattern_is_averaged_not_sampled():
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    pixels = resize(Image.fromarray(stripes), size_px=32, mode="squash")
    assert np.abs(pixels[:, :, 2:-2].astype(int) - 127).max() <= 2


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 600), st.sampled_from(RESIZE_MODES))
def test_a_picture_of_the_needed_side_is_not_enlarged(size_px, mode):
    window = needed_shorter_side_px(size_px, mode) * (CROP_PCT if mode == "crop" else 1)
    assert size_px <= window < size_px + 1


def test_flip_mirrors_left_and_right_and_twice_is_nothing():
    pixels = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    flipped = apply_view(pixels, "flip")
    assert flipped[0, 0].tolist() == [3, 2, 1, 0]
    assert flipped.flags.c_contiguous
    assert np.array_equal(apply_view(flipped, "flip"), pixels)
    assert np.array_equal(apply_view(pixels, "plain"), pixels)


def test_dihedral_views_are_the_eight_symmetries_of_a_square_and_each_undoes_or_repeats_another():
    corner = np.zeros((3, 5, 5), dtype=np.uint8)
    corner[0, 0, 1] = 255
    orbit = {apply_view(corner, view).tobytes() for view in DIHEDRAL}
    assert len(orbit) == 8
    for first in DIHEDRAL:
        seen = apply_view(corner, first)
        assert seen.flags.c_contiguous
        assert {apply_view(seen, second).tobytes() for second in DIHEDRAL} == orbit


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_first_dihedral_views_are_closed_among_themselves(count):
    pixels = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    views = list(DIHEDRAL)[:count]
    orbit = {apply_view(pixels, view).tobytes() for view in views}
    assert {apply_view(apply_view(pixels, a), b).tobytes() for a in views for b in views} == orbit


def test_names_of_dihedral_views_say_what_they_do():
    pixels = np.arange(4, dtype=np.uint8).reshape(1, 2, 2).repeat(3, axis=0)  # 0 1 over 2 3
    turned = {view: apply_view(pixels, view)[0].ravel().tolist() for view in DIHEDRAL}
    assert turned["rot90"] == [1, 3, 0, 2]  # against the clock: the right column is now on top
    assert turned["rot180"] == [3, 2, 1, 0]
    assert turned["rot270"] == [2, 0, 3, 1]
    assert turned["flip-rot90"] == [0, 2, 1, 3]  # mirrored to 1 0 over 3 2, then turned
    assert turned["flip-rot180"] == [2, 3, 0, 1]  # upside down
    assert turned["flip-rot270"] == [3, 1, 2, 0]


@pytest.mark.parametrize("policy", VIEW_POLICIES)
def test_every_policy_begins_with_plain_and_its_views_exist(policy):
    views = VIEW_POLICIES[policy]
    assert views[0] == "plain"
    assert len(set(views)) == len(views)
    for view in views:
        assert apply_view(np.zeros((3, 2, 2), dtype=np.uint8), view).shape == (3, 2, 2)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"resize mode 'squish'.*Did you mean 'squash'"):
        resize(Image.new("RGB", (4, 4)), size_px=2, mode="squish")
    with pytest.raises(UnknownNameError, match=r"view 'flipped'.*Did you mean 'flip'"):
        apply_view(np.zeros((3, 2, 2), dtype=np.uint8), "flipped")


@pytest.mark.parametrize("view", DIHEDRAL)
def test_what_was_computed_from_a_view_is_turned_back(view: str) -> None:
    pixels = np.arange(3 * 5 * 5, dtype=np.uint8).reshape(3, 5, 5)
    assert np.array_equal(undo_view(apply_view(pixels, view), view), pixels)
    with pytest.raises(UnknownNameError, match="rot90"):
        undo_view(pixels, "rot9")
