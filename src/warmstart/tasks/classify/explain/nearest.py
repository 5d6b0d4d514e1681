"""The training pictures most like a picture, by what the head reads of both.

N training pictures, D features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warmstart.heads.standardising import mean_and_scale


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training picture and how far it is."""

    path: str
    class_name: str
    distance: float  # 1 - cosine of the standardised features: 0 the same, 1 unrelated, 2 opposite


def nearest(
    row: np.ndarray, rows: np.ndarray, *, paths: Sequence[str], class_names: Sequence[str], count: int
) -> tuple[Neighbour, ...]:
    """The ``count`` nearest of ``rows`` (N, D) to ``row`` (D,), nearest first; features of the head's taps alone.

    The distance is the one by which head 'knn' finds its neighbours.
    """
    mean, scale = mean_and_scale(rows, np.ones((1, len(rows)), np.float32))
    likeness = _directions((rows - mean[0]) * scale[0]) @ _directions((row[None] - mean[0]) * scale[0])[0]
    order = np.argsort(-likeness, kind="stable")[:count]
    return tuple(Neighbour(path=paths[i], class_name=class_names[i], distance=float(1 - likeness[i])) for i in order.tolist())


def _directions(standardised: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(standardised, axis=1, keepdims=True)
    unit: np.ndarray = standardised / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
