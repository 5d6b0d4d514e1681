"""Whether the network's input is (almost) one colour although the picture is not: an object that the crop cut away, a mask of few levels.

Asked of every picture whose row is computed, so nearly all are let go by a look at one pixel of 64. H, W, S are sides in pixels.
"""

from typing import Any, Literal

import numpy as np
from PIL import Image

from warmstart.data.flattening import shows_one_colour
from warmstart.data.views import Pixels, seen_window

Loss = Literal["crop", "resize", "levels"]
LOSSES: tuple[Loss, ...] = ("crop", "resize", "levels")

_LEVELS = 8  # of 255, as in `flattening.shows_one_colour`
_STEP = 8  # a side of the sample
_ROWS = 512  # of a mask that are looked at
_FEWEST = 0.005  # share of the pixels that a level of a mask holds
_COHERENT = 0.25  # of the unequal neighbours that as many pixels strewn at random would have: noise has 1, areas nearly 0


def loss_of(plain: Pixels, picture: Image.Image, *, mode: str, lossless: bool) -> Loss | None:
    """Why the plain view (3, S, S) of a decoded picture is one colour while the picture holds more; None where neither is so.

    'crop': the rest was cut away. 'resize': what differs is too small. 'levels': a picture of areas that lie a few levels of 255 apart,
    looked for where the file is ``lossless``, because compression makes such areas by itself.
    """
    sample = plain[:, ::_STEP, ::_STEP]
    if (sample.max(axis=(1, 2)).astype(np.int16) - sample.min(axis=(1, 2)) > _LEVELS).any():
        return None
    if not shows_one_colour(Image.fromarray(plain.transpose(1, 2, 0))):
        return None
    if not shows_one_colour(picture):
        left, top, right, bottom = (round(side) for side in seen_window(picture.size, mode=mode))
        window = picture.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
        return "crop" if shows_one_colour(window) else "resize"
    return "levels" if lossless and _has_areas(np.asarray(picture)) else None


def _has_areas(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    """Whether an RGB picture (H, W, 3) consists of areas of few levels, as a mask of labels does, and not of noise."""
    rows = pixels[:: max(1, len(pixels) // _ROWS)].astype(np.uint32)
    values = rows[..., 0] << 16 | rows[..., 1] << 8 | rows[..., 2]
    if values.shape[1] < 2:
        return False
    shares = np.unique(values, return_counts=True)[1] / values.size
    if np.count_nonzero(shares >= _FEWEST) < 2:
        return False
    unequal = float(np.mean(values[:, 1:] != values[:, :-1]))
    return unequal < _COHERENT * (1 - float(np.square(shares).sum()))
