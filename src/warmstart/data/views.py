"""A picture → the uint8 array that a backbone takes: resized, and seen in one or more views.

S is the side of the backbone's input in pixels. Arrays are (3, S, S): channels red, green, blue; uint8; C-contiguous.

All resizing is Pillow's antialiased bicubic, in training and in serving, straight from the needed window of the source to S ×
S: bit for bit the same everywhere, without torch (about 12 % slower with the engine beside it, an estimate: docs/architecture.md).

A view is one deterministic rendition of a picture and has a name. View 0 is 'plain' in every policy, so policies share rows
in the store.
"""

import math
from typing import Any

import numpy as np
from PIL import Image

from warmstart.errors import UnknownNameError

Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # (3, S, S)

RESIZE_MODES = ("crop", "full-crop", "squash", "pad")
CROPS = ("crop", "full-crop")  # of these, those that cut off what lies beside the centre square
AUTO = "auto"  # no mode: left to a comparison on train pictures, where there is one; see `session.resize`

# The 8 symmetries of a square (the dihedral group): name → (mirrored left to right first?, then quarter turns against the clock).
# The first 1, 2, 4 and 8 of them are groups of their own, so a part of the list is balanced too.
DIHEDRAL: dict[str, tuple[bool, int]] = {
    "plain": (False, 0),
    "flip": (True, 0),
    "rot180": (False, 2),
    "flip-rot180": (True, 2),
    "rot90": (False, 1),
    "rot270": (False, 3),
    "flip-rot90": (True, 1),
    "flip-rot270": (True, 3),
}

# What predictions may be averaged over. 'dihedral' is for pictures without an up: cells, tiles, satellite.
# 'mirrors' for pictures that keep their grid but have neither a left nor an up: solar cells, wafers.
VIEW_POLICIES: dict[str, tuple[str, ...]] = {
    "none": ("plain",),
    "flip": ("plain", "flip"),
    "mirrors": tuple(DIHEDRAL)[:4],
    "dihedral": tuple(DIHEDRAL),
}

# Shorter side to 256, centre 224 × 224: Krizhevsky, Sutskever, Hinton (2012), §2 and §4.1; the usual ImageNet evaluation since.
CROP_PCT = 0.875

# 'pad' fills with mid-grey: what every backbone's normalisation maps closest to 0, so the border adds the faintest edge.
PAD_GREY = (128, 128, 128)


def mode_of(resize: str) -> str:
    """The mode of a plan's ``resize`` where nothing is compared: what it says, and the centre crop where that is left open."""
    return RESIZE_MODES[0] if resize == AUTO else resize


def resize(picture: Image.Image, *, size_px: int, mode: str, crop_pct: float = CROP_PCT) -> Pixels:
    """(3, S, S) with S = ``size_px``, from a picture of mode RGB and any size.

    'crop': the centre square, ``crop_pct`` of the shorter side wide; it is what resizing the shorter side to S / ``crop_pct``
    and then cutting the centre S × S would give. 'full-crop': the centre square as wide as the shorter side. 'squash': the whole picture,
    its aspect ratio lost. 'pad': the whole picture, its aspect ratio kept, centred on mid-grey. Raises UnknownNameError for another mode.
    """
    if mode not in RESIZE_MODES:
        raise UnknownNameError("resize mode", mode, RESIZE_MODES)
    box = seen_window(picture.size, mode=mode, crop_pct=crop_pct) if mode in CROPS else None
    size = drawn_size(picture.size, size_px=size_px, mode=mode)
    return on_page(picture.resize(size, Image.Resampling.BICUBIC, box=box), size_px)


def drawn_size(size: tuple[int, int], *, size_px: int, mode: str) -> tuple[int, int]:
    """(width, height) that a picture takes in the S × S page: all of it, but for 'pad', which keeps its aspect ratio."""
    if mode != "pad":
        return size_px, size_px
    scale = size_px / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def on_page(small: Image.Image, size_px: int) -> Pixels:
    """(3, S, S) from a picture of at most S × S, which is centred on mid-grey."""
    page = small
    if small.size != (size_px, size_px):
        page = Image.new("RGB", (size_px, size_px), PAD_GREY)
        page.paste(small, ((size_px - small.width) // 2, (size_px - small.height) // 2))
    return np.ascontiguousarray(np.asarray(page).transpose(2, 0, 1))


def needed_shorter_side_px(size_px: int, mode: str, *, crop_pct: float = CROP_PCT) -> int:
    """How long the shorter side must be for `resize` not to enlarge: what to ask `decode` for."""
    return math.ceil(size_px / crop_pct) if mode == "crop" else size_px


def apply_view(pixels: Pixels, view: str) -> Pixels:
    """One view of (3, S, S); the same array for 'plain'. Raises UnknownNameError for a view that is in no policy."""
    if view == "plain":
        return pixels
    if view not in DIHEDRAL:
        raise UnknownNameError("view", view, DIHEDRAL)
    mirrored, quarter_turns = DIHEDRAL[view]
    turned = np.rot90(pixels[:, :, ::-1] if mirrored else pixels, quarter_turns, axes=(1, 2))
    return np.ascontiguousarray(turned)


def undo_view(array: np.ndarray, view: str) -> np.ndarray:
    """An array (…, H, W) that was computed from one view, turned back to lie over the plain picture. H = W.

    Raises UnknownNameError for a view that is in no policy.
    """
    if view not in DIHEDRAL:
        raise UnknownNameError("view", view, DIHEDRAL)
    mirrored, quarter_turns = DIHEDRAL[view]
    back = np.rot90(array, -quarter_turns, axes=(-2, -1))
    return np.ascontiguousarray(back[..., ::-1] if mirrored else back)


def seen_window(size: tuple[int, int], *, mode: str, crop_pct: float = CROP_PCT) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what `resize` takes of a picture of ``size`` (width, height), in fractions of its pixels."""
    if mode not in CROPS:
        return 0.0, 0.0, float(size[0]), float(size[1])
    return _centre_window(size, crop_pct if mode == "crop" else 1.0)


def seen_share(size: tuple[int, int], *, mode: str, crop_pct: float = CROP_PCT) -> float:
    """How much of the area of a picture of ``size`` (width, height) `resize` takes: by 'crop' 0.766 of a square, 0.19 of 4:1."""
    left, top, right, bottom = seen_window(size, mode=mode, crop_pct=crop_pct)
    return (right - left) * (bottom - top) / (size[0] * size[1])


def over_picture(values: np.ndarray, size: tuple[int, int], *, mode: str, crop_pct: float = CROP_PCT) -> np.ndarray:
    """Values (h, w) that lie over the network's input, such as a stage's map, laid over the picture it was made from.

    ``size`` is the picture's (width, height), the result float32 (height, width): enlarged bilinearly, 0 where `resize` cut
    the picture away. The inverse of its geometry.
    """
    height, width = values.shape
    if mode == "pad":  # the part of the page that the picture lies on
        page = 4096  # finer than any map, so that rounding to whole pixels of the page does not show
        drawn_width, drawn_height = drawn_size(size, size_px=page, mode=mode)
        left, top = (page - drawn_width) / 2 / page, (page - drawn_height) / 2 / page
        box = (left * width, top * height, (1 - left) * width, (1 - top) * height)
    else:
        box = (0.0, 0.0, float(width), float(height))
    # To whole pixels of the picture: half a pixel of it is less than anyone can see in a map of 7 × 7.
    window = seen_window(size, mode=mode, crop_pct=crop_pct)
    left_px, top_px, right_px, bottom_px = (round(side) for side in window)
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    part = image.resize((max(1, right_px - left_px), max(1, bottom_px - top_px)), Image.Resampling.BILINEAR, box=box)
    out = np.zeros((size[1], size[0]), np.float32)
    out[top_px : top_px + part.height, left_px : left_px + part.width] = np.asarray(part)
    return out


def _centre_window(size: tuple[int, int], crop_pct: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the centre square, in fractions of a pixel."""
    width, height = size
    side = min(width, height) * crop_pct
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side
