"""A small look at many pictures: size, colour, and a thumbnail to lay over another. Decoded small, in threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from warmstart.data.memory import header_of, in_memory
from warmstart.errors import PictureError
from warmstart.extraction.prefetch import map_ahead
from warmstart.inspection.registration import SIDE_PX


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageStats:
    """What one picture looks like from afar."""

    width: int  # upright, px
    height: int
    pixels: NDArray[np.uint8]  # (S, S, 3), the whole picture squashed
    chroma: float  # mean of largest minus smallest channel, levels 0 … 255; grey is 0


def image_stats(sources: Sequence[Any], *, on_progress: Callable[[str, int, int], None]) -> list[ImageStats | None]:
    """One for each picture, given as `data.memory` takes them, in order; None for one that cannot be decoded any more."""
    found = []
    for done, seen in enumerate(map_ahead(_glance, sources), 1):
        found.append(seen)
        on_progress("looking", done, len(sources))
    return found


def pixels_of(glance: ImageStats | None) -> NDArray[np.uint8]:
    """(S, S, 3); black for a picture that is gone, which agrees with nothing."""
    return np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8) if glance is None else glance.pixels


def _glance(source: Any) -> ImageStats | None:
    try:
        header = header_of(source)
        picture = in_memory(source, shorter_side_px=SIDE_PX)
    except PictureError:
        return None
    pixels = np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))
    return ImageStats(width=header.width, height=header.height, pixels=pixels, chroma=float(np.ptp(pixels, axis=2).mean()))
