"""Pictures that are already in memory: PIL images and arrays, by the same rules as files."""

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from warmstart.data.decoding import to_rgb
from warmstart.errors import PictureError


def in_memory(picture: Any) -> Image.Image:
    """Mode RGB and upright, from a PIL image of any mode or a uint8 array (H, W), (H, W, 3) or (H, W, 4). Transparency lies on white.

    Raises PictureError for anything else.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))):
            raise PictureError(
                "unsupported",
                f"an array of {picture.dtype} {picture.shape} is no picture: expected uint8 (H, W), (H, W, 3) or (H, W, 4), "
                "channels last, 0 … 255",
            )
        picture = Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise PictureError(
            "unsupported", f"{type(picture).__name__} is no picture: expected a path, a PIL image or a uint8 array"
        )
    return to_rgb(ImageOps.exif_transpose(picture))
