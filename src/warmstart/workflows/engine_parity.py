"""The row of parity that `train` records for its own engine: held-out files through float32 PyTorch, held against what the run used.

What PyTorch says is kept beside the engine's graph, so that another head on the same network and pictures opens none of them. N pictures, D
features over all taps.
"""

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.atomic import write_bytes
from warmstart.errors import MachineError
from warmstart.export.parity import compare
from warmstart.export.reference import eager_taps
from warmstart.model.predictor import Model
from warmstart.records import Picture
from warmstart.workflows.dataset import Dataset

PICTURES = 32  # about a second of eager PyTorch
PRECISION = {"f32": "fp32", "bf16": "bf16"}  # of an engine → of an export


def engine_parity(model: Model, dataset: Dataset, rows: np.ndarray) -> dict[str, Any]:
    """JSON-ready; empty where nothing is held out. ``rows`` (N, D): what the engine said of the data set's pictures."""
    held_out = dataset.positions("test") if len(dataset.positions("test")) else dataset.positions("val")
    if not len(held_out):
        return {}
    sample = np.sort(np.random.default_rng(0).permutation(held_out)[:PICTURES])
    pictures = [dataset.pictures[i] for i in sample]
    expected = _taps(model, pictures)
    good = np.flatnonzero(np.isfinite(expected).all(axis=1))
    if not len(good):
        return {}
    return compare(
        model.probabilities(expected[good]),
        model.probabilities(rows[sample[good]]),
        labels=dataset.labels[sample[good]],
        paths=[pictures[i].path for i in good],
        class_names=model.class_names,
        format=model.engine,
        precision=PRECISION[model.precision],
        decide=model.decide,
    ).to_dict()


def _taps(model: Model, pictures: list[Picture]) -> np.ndarray:
    """float32 (P, D); NaN for a picture that cannot be read. Computed once for a network and pictures."""
    prefix = model.prefix()
    parts = (prefix.key, repr(model.preprocessing), *(picture.digest.hex() for picture in pictures))
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    path: Path = machine.graphs_folder() / prefix.key[:16] / f"reference-{name}.npy"
    width = sum(width for _, width in prefix.layout)
    try:
        stored = np.load(path, allow_pickle=False)
        if stored.shape == (len(pictures), width):
            return np.asarray(stored)
    except (OSError, ValueError, EOFError):
        pass  # not there yet, or cut off: computed again
    found = eager_taps(model, [picture.source for picture in pictures])
    taps = np.stack([np.full(width, np.nan, np.float32) if row is None else row for row in found.rows])
    content = io.BytesIO()
    np.save(content, taps, allow_pickle=False)
    with contextlib.suppress(OSError, MachineError):  # kept only so that the next head need not wait for it
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content.getvalue())
    return taps
