import hashlib
import os
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from warmstart.data.augmentation import TRAINING_POLICIES, random_window, render_view, view_names
from warmstart.data.decoding import decode
from warmstart.data.views import CROPS, DIHEDRAL, RESIZE_MODES, VIEW_POLICIES, apply_view, needed_shorter_side_px, resize
from warmstart.errors import UnknownNameError, UsageError

DIGEST = bytes(range(16))
DRAWN = ["standard-1", "standard-2", "standard-3000000", "unmirrored-1", "strong-1", "strong-2", "strong-77"]
VIEWS = [*DIHEDRAL, *DRAWN]


def textured(size: tuple[int, int] = (96, 64)) -> Image.Image:
    rng = np.random.default_rng(5)
    coarse = Image.fromarray(rng.integers(60, 200, (7, 9, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def render(view: str, *, picture: Image.Image | None = None, digest: bytes = DIGEST, size_px: int = 32, mode: str = "crop"):
    return render_view(picture or textured(), view, digest=digest, size_px=size_px, mode=mode)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.sampled_from([(1, 1), (500, 20), (20, 500), (1, 300)])),
    st.integers(1, 40),
    st.sampled_from(RESIZE_MODES),
    st.sampled_from(VIEWS),
)
def test_every_view_of_any_picture_is_a_contiguous_uint8_square(size, size_px, mode, view):
    pixels = render(view, picture=textured(size), size_px=size_px, mode=mode)
    assert pixels.shape == (3, size_px, size_px)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


def test_a_view_has_the_same_pixels_in_any_order_and_leaves_the_picture_alone():
    picture = textured()
    before = picture.tobytes()
    first = {view: render(view, picture=picture) for view in VIEWS}
    for view in reversed(VIEWS):
        assert np.array_equal(render(view, picture=picture), first[view])
    assert picture.tobytes() == before


def test_a_view_has_the_same_pixels_in_another_process():
    program = """
import hashlib, sys
from PIL import Image
from warmstart.data.augmentation import render_view
picture = Image.frombytes("RGB", (96, 64), sys.stdin.buffer.read())
for view in sys.argv[1:]:
    print(hashlib.sha256(render_view(picture, view, digest=bytes(range(16)), size_px=32, mode="crop").tobytes()).hexdigest())
"""
    result = subprocess.run(
        [sys.executable, "-c", program, *reversed(DRAWN)],
        input=textured().tobytes(),
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    expected = [hashlib.sha256(render(view).tobytes()).hexdigest() for view in reversed(DRAWN)]
    assert result.stdout.decode().split() == expected


def test_other_digests_and_other_views_are_other_pixels():
    views = [f"{policy}-{k}" for policy in ("standard", "strong") for k in range(1, 9)]
    digests = [DIGEST, bytes(16), DIGEST[:-1] + b"1"]
    seen = {render(view, digest=digest).tobytes() for view in views for digest in digests}
    assert len(seen) == len(views) * len(digests)


def test_random_numbers_of_a_view_stay_what_they_were_when_rows_were_stored():
    # Drawn once with numpy 2.4: BLAKE2b of digest and name, PCG64, doubles. A change needs another DECODER_ID.
    seed = hashlib.blake2b(DIGEST + b"standard-1", digest_size=16).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed, "little")))
    assert random_window((400, 300), mode="crop", rng=rng) == (95, 25, 300, 257)
    position = np.stack(np.broadcast_arrays(np.arange(400)[None, :] / 4, np.arange(300)[:, None] / 4, 0), axis=2)
    pixels = render("standard-1", picture=Image.fromarray(position.astype(np.uint8)), size_px=64)
    assert pixels.mean(axis=(1, 2)) == pytest.approx([41.9, 29.9, 3.0], abs=1)


@pytest.mark.parametrize("policy", TRAINING_POLICIES)
@pytest.mark.parametrize("count", [1, 2, 5, 8, 12])
def test_every_policy_names_plain_first_then_others_that_exist(policy, count):
    names = view_names(policy, count)
    assert names[0] == "plain"
    assert len(set(names)) == len(names)
    for name in names:
        assert render(name, size_px=8).shape == (3, 8, 8)
    assert len(names) == {"none": 1, "flip": 2, "mirrors": 4, "dihedral": min(count, 8)}.get(policy, count)


@pytest.mark.parametrize("policy", TRAINING_POLICIES)
def test_more_views_begin_with_the_fewer_so_stored_rows_serve_again(policy):
    for count in range(1, 10):
        fewer, more = view_names(policy, count), view_names(policy, count + 1)
        assert more[: len(fewer)] == fewer


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_deterministic_views_are_those_of_prediction(mode):
    for policy in VIEW_POLICIES:
        for view in view_names(policy, 8):
            plain = resize(textured(), size_px=32, mode=mode)
            assert np.array_equal(render(view, mode=mode), apply_view(plain, view))


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from(RESIZE_MODES), st.integers(0, 2**64))
def test_the_window_lies_inside_the_picture(width, height, mode, seed):
    left, top, right, bottom = random_window((width, height), mode=mode, rng=np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@settings(max_examples=300, deadline=None)
@given(st.floats(0.6, 1.7), st.sampled_from(RESIZE_MODES), st.integers(0, 2**64))
def test_the_window_has_at_least_035_of_the_area_and_an_aspect_ratio_near_that_of_the_plain_view(ratio, mode, seed):
    width, height = round(1000 * ratio), 1000
    left, top, right, bottom = random_window((width, height), mode=mode, rng=np.random.default_rng(seed))
    assert (right - left) * (bottom - top) >= 0.349 * width * height
    aspect = (right - left) / (bottom - top) / (1 if mode in CROPS else width / height)
    assert 0.745 < aspect < 1.342


def test_windows_come_in_all_sizes_at_all_places():
    rng = np.random.default_rng(3)
    windows = np.array([random_window((1000, 1000), mode="crop", rng=rng) for _ in range(2000)])
    left, top, right, bottom = windows.T
    areas = (right - left) * (bottom - top) / 1e6
    assert areas.min() < 0.37
    assert areas.max() > 0.95
    # As large on average as what the plain view shows, 0.875² = 0.77, or a little smaller: see SMALLEST_AREA.
    assert 0.55 < areas.mean() < 0.77
    assert (left == 0).any()
    assert (top == 0).any()
    assert (right == 1000).any()
    assert (bottom == 1000).any()
    assert abs(((left + right) / 2).mean() - 500) < 10
    assert abs(((top + bottom) / 2).mean() - 500) < 10


@settings(max_examples=200, deadline=None)
@given(st.integers(32, 600), st.floats(1, 3), st.sampled_from(RESIZE_MODES), st.integers(0, 2**64))
def test_a_decoded_picture_is_large_enough_for_every_window(size_px, ratio, mode, seed):
    shorter = 2 * needed_shorter_side_px(size_px, mode)  # what `decode` leaves at least
    size = (round(shorter * ratio), shorter)
    left, top, right, bottom = random_window(size, mode=mode, rng=np.random.default_rng(seed))
    assert min(right - left, bottom - top) >= size_px


def test_a_large_jpeg_gives_nearly_the_same_view_decoded_small_or_full():
    file = BytesIO()
    textured((1800, 1200)).save(file, format="JPEG", quality=95)
    small = decode(file.getvalue(), shorter_side_px=needed_shorter_side_px(64, "crop"))
    full = decode(file.getvalue())
    assert small.width < full.width
    for view in ("standard-1", "standard-2"):
        difference = render(view, picture=small, size_px=64).astype(int) - render(view, picture=full, size_px=64)
        assert np.abs(difference).mean() < 4


def position_picture() -> Image.Image:
    """Red grows to the right, green grows downwards: pixels tell where they come from."""
    y, x = np.mgrid[0:80, 0:120]
    return Image.fromarray(np.stack([60 + x, 60 + y, np.full_like(x, 90)], axis=2).astype(np.uint8))


def test_standard_views_show_the_picture_upright_and_mirror_half_of_the_time():
    mirrored = 0
    for k in range(1, 201):
        red, green, _ = render(f"standard-{k}", picture=position_picture(), size_px=16).astype(int)
        assert (np.diff(green.mean(axis=1)) > 0).all()
        slope = np.diff(red.mean(axis=0))
        assert (slope > 0).all() or (slope < 0).all()
        mirrored += slope[0] < 0
    assert 70 < mirrored < 130  # 100 ± 4 standard deviations


def test_unmirrored_views_are_the_standard_ones_but_never_mirrored():
    for k in range(1, 61):
        standard, own = (
            render(f"{policy}-{k}", picture=position_picture(), size_px=16).astype(int) for policy in ("standard", "unmirrored")
        )
        assert (np.diff(own[0].mean(axis=0)) > 0).all()
        assert not np.array_equal(own, standard)  # other windows as well: its random numbers are its own


def test_strong_views_mirror_as_well():
    upright = Image.new("RGB", (64, 64), (40, 40, 40))
    upright.paste((200, 200, 200), (0, 0, 20, 64))
    lighter_left = [
        bool(pixels[:, :, :8].mean() > pixels[:, :, -8:].mean())
        for pixels in (render(f"strong-{k}", picture=upright) for k in range(1, 101))
    ]
    assert 25 < sum(lighter_left) < 75


def test_standard_colours_stay_mild():
    picture = textured()
    means = np.array([render(f"standard-{k}", picture=picture).mean() for k in range(1, 201)])
    plain = np.asarray(picture).mean()
    assert (0.7 * plain < means).all()
    assert (means < 1.3 * plain).all()
    assert abs(means.mean() / plain - 1) < 0.03
    assert means.std() / plain > 0.05


def test_each_of_brightness_contrast_and_saturation_varies():
    # Two flat halves: their mean is brightness, their distance contrast, the distance of the channels saturation.
    picture = Image.new("RGB", (64, 64), (120, 90, 60))
    picture.paste((160, 130, 100), (0, 32, 64, 64))
    pixels = np.stack([render(f"standard-{k}", picture=picture) for k in range(1, 101)]).astype(float)
    lower, upper = pixels[:, :, -1].mean(axis=2), pixels[:, :, 0].mean(axis=2)
    both = [k for k in range(100) if lower[k].mean() - upper[k].mean() > 20]  # the window holds parts of both halves
    brightness = (lower + upper)[both].mean(axis=1)
    contrast = (lower - upper)[both].mean(axis=1) / brightness
    saturation = (upper[:, 0] - upper[:, 2])[both] / (lower - upper)[both].mean(axis=1)
    for values in (brightness, contrast, saturation):
        assert 0.05 < values.std() / values.mean() < 0.2


def test_a_grey_picture_stays_grey_in_every_view():
    grey = textured().convert("L").convert("RGB")
    for view in [*VIEWS, *(f"strong-{k}" for k in range(1, 60))]:
        red, green, blue = render(view, picture=grey)
        assert np.array_equal(red, green)
        assert np.array_equal(green, blue)


@pytest.mark.parametrize("view", DRAWN)
def test_the_border_of_pad_is_mid_grey_in_every_view(view):
    pixels = render(view, picture=textured((80, 40)), mode="pad")
    assert (pixels[:, :8] == 128).all()
    assert (pixels[:, -8:] == 128).all()
    assert (pixels[:, 8:-8] != 128).mean() > 0.5


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"augmentation policy 'standart'.*Did you mean 'standard'"):
        view_names("standart", 4)
    with pytest.raises(UsageError, match=r"0 views .* at least 1"):
        view_names("standard", 0)
    with pytest.raises(UnknownNameError, match="resize mode 'squish'"):
        render("standard-1", mode="squish")
    for view in ("standard", "standard-0", "standard-01", "standard--1", "strong-x", "rot45", "", "standard-1\n", "standard-٣"):
        with pytest.raises(UnknownNameError, match="unknown view"):
            render(view)
