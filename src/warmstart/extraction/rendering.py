"""A picture → the uint8 array that the network takes, in one view or several. S image side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL.Image import Resampling

from warmstart.data.augmentation import render_view
from warmstart.data.decoding import decode
from warmstart.data.memory import in_memory
from warmstart.data.views import needed_shorter_side_px, resize
from warmstart.records import Picture, Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image


def render_views(picture: Picture, views: Sequence[str], preprocessing: Preprocessing) -> list[np.ndarray]:
    """uint8 (3, S, S) for each view of one picture, which is decoded once. Raises PictureError."""
    size_px, mode = preprocessing.size_px, preprocessing.resize
    # The same size for every view, so that no view's pixels depend on the company it is made in. `decode` leaves twice what it is
    # asked for, and the narrowest window of a drawn view is √(0.35 × 3/4) = 0.512 of a side: 1.02 × S, not enlarged.
    decoded = _decoded(picture.source, needed_shorter_side_px(size_px, mode))
    return [render_view(decoded, view, digest=picture.digest, size_px=size_px, mode=mode) for view in views]


def render(source: Any, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (3, S, S): the plain view of a picture: a path, encoded bytes, a PIL image or a uint8 array. Raises PictureError."""
    side = needed_shorter_side_px(preprocessing.size_px, preprocessing.resize)
    return resize(_decoded(source, side), size_px=preprocessing.size_px, mode=preprocessing.resize)


def upright(source: Any, longer_side_px: int) -> "Image":
    """The whole picture for people to look at: mode RGB, upright, at most ``longer_side_px`` long. Raises PictureError."""
    picture = _decoded(source, longer_side_px)
    scale = longer_side_px / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Resampling.BICUBIC)


def _decoded(source: Any, shorter_side_px: int) -> "Image":
    if isinstance(source, (str, Path, bytes)):
        return decode(source, shorter_side_px=shorter_side_px)
    return in_memory(source)
