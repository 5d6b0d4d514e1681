"""Where a view lies on the picture that it was made of: points, boxes and masks follow it there and back.

Points are (x, y) in pixels, measured from the upper left corner of the upper left pixel: the middle of that pixel is (0.5, 0.5).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Affine = tuple[float, float, float, float, float, float]  # a, b, c, d, e, f: (x, y) → (a x + b y + c, d x + e y + f)


@dataclass(frozen=True, slots=True)
class Geometry:
    """An affine map from the upright picture to the network's input, S × S: window, mirror, turn, shear, whatever the view is."""

    to_input: Affine
    size_px: int  # S
    picture_size: tuple[int, int]  # (width, height)

    @classmethod
    def of_window(
        cls,
        window: Sequence[float],
        drawn: Sequence[float],
        *,
        size_px: int,
        picture_size: tuple[int, int],
    ) -> Self:
        """A window of the picture drawn into a part of the input, both as left, top, right, bottom."""
        left, top, right, bottom = window
        to_left, to_top, to_right, to_bottom = drawn
        x, y = (to_right - to_left) / (right - left), (to_bottom - to_top) / (bottom - top)
        return cls((x, 0.0, to_left - x * left, 0.0, y, to_top - y * top), size_px, picture_size)

    def then(self, after: Affine) -> "Geometry":
        """The same, moved by another map of the input's plane."""
        return Geometry(composed(after, self.to_input), self.size_px, self.picture_size)

    def mirrored(self) -> "Geometry":
        """Left to right."""
        return self.then((-1.0, 0.0, float(self.size_px), 0.0, 1.0, 0.0))

    def turned(self, quarter_turns: int) -> "Geometry":
        """Against the clock, as `numpy.rot90` turns."""
        out = self
        for _ in range(quarter_turns % 4):
            out = out.then((0.0, 1.0, 0.0, -1.0, 0.0, float(self.size_px)))
        return out

    def of_size(self, picture_size: tuple[int, int]) -> "Geometry":
        """The same view of the same picture in another size: the map was found on a picture that was decoded smaller."""
        x, y = self.picture_size[0] / picture_size[0], self.picture_size[1] / picture_size[1]
        return Geometry(composed(self.to_input, (x, 0.0, 0.0, 0.0, y, 0.0)), self.size_px, picture_size)

    def points_to_input(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 (N, 2) of the picture → (N, 2) of the input; some may lie outside of it."""
        return _moved(self.to_input, points)

    def points_to_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of `points_to_input`."""
        return _moved(inverse(self.to_input), points)

    def is_inside(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(N,): which points of the input, (N, 2), can be seen in it."""
        return np.asarray(((points >= 0) & (points <= self.size_px)).all(axis=1))


def composed(after: Affine, before: Affine) -> Affine:
    """The one, and then the other."""
    a, b, c, d, e, f = after
    g, h, i, j, k, m = before
    return (a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f)


def inverse(map_: Affine) -> Affine:
    """Back again. Raises ZeroDivisionError for a map that leaves a line or a point."""
    a, b, c, d, e, f = map_
    det = a * e - b * d
    return (e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det)


def rotation(degrees: float, width: float, height: float) -> Affine:
    """Against the clock about the middle, as Pillow's `rotate`."""
    angle = math.radians(degrees)
    cos, sin, x, y = math.cos(angle), math.sin(angle), width / 2, height / 2
    return (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y)


def _moved(map_: Affine, points: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b, c, d, e, f = map_
    x, y = points[:, 0], points[:, 1]
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)
