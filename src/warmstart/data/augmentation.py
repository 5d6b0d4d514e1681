"""Renditions of a picture for training: a picture and the name of a view → the uint8 array that the network takes.

    name → numbers drawn from (digest, name) → window of the picture → S × S → mirrored or not → colour or one operation

A view has the same pixels every time and everywhere: its random numbers depend on the picture's digest and on its name alone.
So what is computed from it may be stored under both. 'standard-K', 'unmirrored-K' and 'strong-K' exist for every K ≥ 1; a loop that wants
new views in every epoch goes on counting. Stored rows know a view by its name, so a change here that changes any pixel of
one must raise `decoding.DECODER_ID`.

S is the side of the network's input in pixels.
"""

import hashlib
import math
import re

import numpy as np
from PIL import Image, ImageEnhance

from warmstart.data.geometry import Geometry, inverse
from warmstart.data.trivial_augment import drawn_operation, trivial_augment
from warmstart.data.views import (
    CROPS,
    DIHEDRAL,
    RESIZE_MODES,
    VIEW_POLICIES,
    Pixels,
    apply_view,
    drawn_size,
    on_page,
    resize,
    seen_window,
)
from warmstart.errors import UnknownNameError, UsageError

DRAWN_POLICIES = ("standard", "unmirrored", "strong")  # any number of views
TRAINING_POLICIES = (*VIEW_POLICIES, *DRAWN_POLICIES)

# Random resized crop: Szegedy et al. (2015), Going deeper with convolutions, §6, where the area is 0.08 … 1. A window of a tenth
# of the picture often misses what the label speaks of; a million pictures average that out, a few hundred with a handful of
# stored views don't. And 0.35 … 1 lies around the 0.77 that the plain view shows, so things are about as large in training as
# they will be at prediction (Touvron et al., 2019, Fixing the train-test resolution discrepancy).
SMALLEST_AREA = 0.35  # of the picture
WIDEST_ASPECT = 4 / 3  # width / height; 3/4 is the narrowest

JITTER = 0.2  # brightness, contrast and saturation are multiplied by 0.8 … 1.2

_DRAWN_VIEW = re.compile(r"(standard|unmirrored|strong)-[1-9][0-9]*")


def view_names(policy: str, count: int) -> tuple[str, ...]:
    """The views that ``policy`` stores of each training picture, 'plain' always first.

    ``count``, at least 1, is how many; 'none', 'flip' and 'mirrors' have 1, 2 and 4 whatever it says, and 'dihedral' at most 8.
    Raises UnknownNameError for another policy, UsageError for a count below 1.
    """
    if policy not in TRAINING_POLICIES:
        raise UnknownNameError("augmentation policy", policy, TRAINING_POLICIES)
    if count < 1:
        raise UsageError(f"{count} views of each picture asked for, expected at least 1: with 1 only the plain view is used")
    if policy == "dihedral":
        return tuple(DIHEDRAL)[:count]
    if policy in VIEW_POLICIES:
        return VIEW_POLICIES[policy]
    return ("plain", *(f"{policy}-{k}" for k in range(1, count)))


def render_view(picture: Image.Image, view: str, *, digest: bytes, size_px: int, mode: str) -> Pixels:
    """(3, S, S), C-contiguous: one view of an upright RGB picture of any size.

    ``digest`` is that of the picture's content. Raises UnknownNameError for a view or a resize mode that does not exist.
    """
    if view in DIHEDRAL:
        return apply_view(resize(picture, size_px=size_px, mode=mode), view)
    if mode not in RESIZE_MODES:
        raise UnknownNameError("resize mode", mode, RESIZE_MODES)
    box, mirrored, rng = _drawn(picture.size, view, digest=digest, mode=mode)
    # Under 'pad' the window takes the place of the whole picture, and the border stays untouched by what follows.
    small = picture.resize(drawn_size(picture.size, size_px=size_px, mode=mode), Image.Resampling.BICUBIC, box=box)
    if mirrored:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    small = trivial_augment(small, rng) if view.startswith("strong") else _jitter(small, rng)
    return on_page(small, size_px)


def view_geometry(size: tuple[int, int], view: str, *, digest: bytes, size_px: int, mode: str) -> Geometry:
    """Where what `render_view` makes of a picture of ``size`` (width, height) lies on it. No pixel is needed. Raises UnknownNameError."""
    width, height = drawn_size(size, size_px=size_px, mode=mode)
    left, top = (size_px - width) // 2, (size_px - height) // 2
    page = (left, top, left + width, top + height)
    if view in DIHEDRAL:
        mirrored, quarter_turns = DIHEDRAL[view]
        plain = Geometry.of_window(seen_window(size, mode=mode), page, size_px=size_px, picture_size=size)
        return (plain.mirrored() if mirrored else plain).turned(quarter_turns)
    box, mirrored, rng = _drawn(size, view, digest=digest, mode=mode)
    out = Geometry.of_window(box, page, size_px=size_px, picture_size=size)
    if mirrored:  # within its place on the page
        out = out.then((-1.0, 0.0, float(2 * left + width), 0.0, 1.0, 0.0))
    if view.startswith("strong"):
        operation, amount = drawn_operation(rng)
        if operation.source is not None:
            out = out.then((1.0, 0.0, -left, 0.0, 1.0, -top))
            out = out.then(inverse(operation.source(amount, width, height)))
            out = out.then((1.0, 0.0, left, 0.0, 1.0, top))
    return out


def _drawn(
    size: tuple[int, int], view: str, *, digest: bytes, mode: str
) -> tuple[tuple[int, int, int, int], bool, np.random.Generator]:
    """(window of the picture, whether it is mirrored, where the numbers for what follows come from) of a drawn view."""
    if _DRAWN_VIEW.fullmatch(view) is None:
        raise UnknownNameError(
            "view", view, [*DIHEDRAL, "standard-1", "strong-1"], hint="Any number from 1 may follow the dash."
        )
    rng = _generator(digest, view)
    box = random_window(size, mode=mode, rng=rng)
    # Letters and digits are others, or none, in a mirror.
    mirrored = bool(rng.random() < 0.5) and not view.startswith("unmirrored")
    return box, mirrored, rng


def random_window(size: tuple[int, int], *, mode: str, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a window, in whole pixels, inside a picture of (width, height).

    Of a crop: its aspect ratio is 3/4 … 4/3. 'squash', 'pad': that is the ratio to the picture's own, for these modes show the whole
    picture and so must not cut a long one to pieces. A window that sticks out is scaled down until it fits.
    """
    area_draw, aspect_draw, left_draw, top_draw = rng.random(4)
    area = SMALLEST_AREA + (1 - SMALLEST_AREA) * area_draw
    aspect = WIDEST_ASPECT ** (2 * aspect_draw - 1)
    full_width, full_height = size
    square = math.sqrt(full_width * full_height)
    wide, high = (square, square) if mode in CROPS else size
    width, height = wide * math.sqrt(area * aspect), high * math.sqrt(area / aspect)
    fitting = min(1, full_width / width, full_height / height)
    # Whole pixels: libraries of mathematics differ in the last bit, and so would the pixels.
    width, height = max(1, round(width * fitting)), max(1, round(height * fitting))
    left, top = int(left_draw * (full_width - width + 1)), int(top_draw * (full_height - height + 1))
    return left, top, left + width, top + height


def _generator(digest: bytes, view: str) -> np.random.Generator:
    """Only its ``random()`` is used: numpy keeps PCG64's bits for good, but not how it makes integers or normals of them."""
    seed = hashlib.blake2b(digest + view.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(seed, "little")))


def _jitter(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    brightness, contrast, saturation = 1 + JITTER * (2 * rng.random(3) - 1)
    picture = ImageEnhance.Brightness(picture).enhance(brightness)
    picture = ImageEnhance.Contrast(picture).enhance(contrast)
    return ImageEnhance.Color(picture).enhance(saturation)
