"""What float32 PyTorch says of picture files: eager, in its plainest form, on a path of its own.

Nothing is shared with the exported graph but the backbone: views are numpy's, and so is the rest. N pictures, V views.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from warmstart.data.geometry import Geometry
from warmstart.data.views import apply_view
from warmstart.errors import PictureError
from warmstart.extraction.prefetch import chunks, map_ahead
from warmstart.model.predictor import Model

BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What PyTorch says of each picture; None for one that cannot be read."""

    rows: list[np.ndarray | None]  # taps (D,), or (V, D) with the views apart
    places: list[list[Geometry] | None]  # of the views of each picture, where the task asks for them
    problems: list[str]
    seconds: float


def eager_taps(
    model: Model, sources: Sequence[Any], *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Reference:
    """All taps (D,) by the backbone in PyTorch on the CPU, averaged over views."""
    network = model.module()
    views = model.preprocessing.views
    rows: list[np.ndarray | None] = []
    places: list[list[Geometry] | None] = []
    problems: list[str] = []

    def read(batch: list[Any]) -> list[np.ndarray | PictureError]:
        return [_rendered(source, model) for source in batch]

    begin = time.perf_counter()
    for pictures in map_ahead(read, chunks(sources, BATCH)):
        good = [p for p in pictures if not isinstance(p, PictureError)]
        problems += [str(p) for p in pictures if isinstance(p, PictureError)]
        taps: Iterator[np.ndarray] = iter(())
        if good:
            pixels = np.stack([apply_view(p, view) for p in good for view in views])
            with torch.inference_mode():
                computed = network(torch.from_numpy(pixels)).numpy()
            apart = computed.reshape(len(good), len(views), -1)
            taps = iter(apart if model.apart else apart.mean(axis=1))
        rows += [None if isinstance(p, PictureError) else next(taps) for p in pictures]
        places += [None if isinstance(p, PictureError) else model.places_of([p]) for p in pictures]
        progress(len(rows), len(sources))
    return Reference(rows=rows, places=places, problems=problems, seconds=time.perf_counter() - begin)


def _rendered(source: Any, model: Model) -> np.ndarray | PictureError:
    try:
        return model.prepare(source)
    except PictureError as reason:
        return reason
