"""Heat over a picture, as pixels. Without matplotlib, whose import takes longer than all heat-maps of a report.

Colours are matplotlib's 'inferno': perceptually even, so that twice the heat looks twice as hot, the same order for
every kind of colour blindness and in black and white (S. van der Walt, N. Smith, 2015, public domain). They lie over the picture
without its own colours, which would mix with them, the more opaque the hotter.
"""

import numpy as np
from numpy.typing import NDArray

Window = tuple[float, float, float, float]  # left, top, right, bottom

# Its upper three quarters, for the darkest would look like shadow, at equal steps; between them it is straight to 5 levels of 255.
INFERNO = "57106e 69166e 7a1d6d 8c2369 9f2a63 b0315b c03a51 d04545 de5238 e9612b f1731d f8870e fb9b06 fcb014 f9c72f f4dd4f f1f179 fcffa4"
STEPS = np.array([list(bytes.fromhex(colour)) for colour in INFERNO.split()], np.float32)


def overlay(picture: np.ndarray, heat: np.ndarray, window: Window) -> np.ndarray:
    """uint8 (H, W, 3): heat (H, W) over a picture (H, W, 3), both as in `workflows.explain.Explanation`."""
    grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma
    ground = (60 + 0.75 * grey)[:, :, None]  # paler, so that the hot colours stand out
    share = heat / max(float(heat.max()), np.finfo(np.float32).tiny)
    alpha = (0.7 * np.sqrt(share))[:, :, None]
    mixed = ground * (1 - alpha) + colours(share) * alpha
    return np.round(np.where(_inside(picture, window)[:, :, None], mixed, 255 - 0.35 * (255 - ground))).astype(np.uint8)


def colours(share: np.ndarray) -> NDArray[np.float32]:
    """0 … 255, (…, 3), of shares 0 … 1 of the hottest."""
    at = np.linspace(0, 1, len(STEPS))
    return np.stack([np.interp(share, at, STEPS[:, channel]) for channel in range(3)], axis=-1).astype(np.float32)


def _inside(picture: np.ndarray, window: Window) -> NDArray[np.bool_]:
    left, top, right, bottom = (round(side) for side in window)
    inside = np.zeros(picture.shape[:2], bool)
    inside[top:bottom, left:right] = True
    return inside
