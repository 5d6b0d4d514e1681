"""The row of parity that `train` records for its own engine: held-out files through float32 PyTorch, held against what the run used.

What PyTorch says is kept beside the engine's graph, so that another head on the same network and pictures opens none of them. N pictures, D
features over all taps.
"""

import hashlib
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.atomic import write_bytes
from warmstart.data.decoding import DECODER_ID
from warmstart.engines.build import LIBRARIES
from warmstart.errors import MachineError
from warmstart.export.reference import eager_taps
from warmstart.model.predictor import Model
from warmstart.records import Picture, json_digest
from warmstart.session.dataset import Dataset

FORMAT = 2  # raise it when what float32 PyTorch is asked changes. 1 was named after a digest that a model folder could claim
SEAL_BYTES = 32
PICTURES = 32  # about a second of eager PyTorch
PRECISION = {"f32": "fp32", "bf16": "bf16"}  # of an engine → of an export


def engine_parity(model: Model, dataset: Dataset, rows: np.ndarray, graphs: Path) -> dict[str, Any]:
    """JSON-ready; empty where nothing is held out. ``rows`` (N, D): what the engine said of the data set's pictures.

    ``graphs``: the folder of graphs, where what PyTorch says is kept.
    """
    if model.apart or model.places:  # what they read is proved by the engine's own proof, tap by tap
        return {}
    held_out = dataset.positions("test") if len(dataset.positions("test")) else dataset.positions("val")
    if not len(held_out):
        return {}
    sample = np.sort(np.random.default_rng(0).permutation(held_out)[:PICTURES])
    pictures = [dataset.pictures[i] for i in sample]
    expected = _taps(model, pictures, graphs)
    good = np.flatnonzero(np.isfinite(expected).all(axis=1))
    if not len(good):
        return {}
    parity = dataset.task.parity(
        model.fitted,
        model.outputs(expected[good]),
        model.outputs(rows[sample[good]]),
        targets=dataset.targets.take(sample[good]),
        paths=[pictures[i].path for i in good],
        format=model.engine,
        precision=PRECISION[model.precision],
    )
    return dict(parity.to_dict())


def _taps(model: Model, pictures: list[Picture], graphs: Path) -> np.ndarray:
    """float32 (P, D); NaN for a picture that cannot be read. Computed once for a network and pictures."""
    prefix = model.prefix()
    shape = (len(pictures), sum(width for _, width in prefix.layout))
    key = json_digest(
        {
            "format": FORMAT,
            "prefix": prefix.key,
            "layout": prefix.layout,
            "preprocessing": asdict(model.preprocessing),
            "decoder": DECODER_ID,
            "pictures": [picture.digest.hex() for picture in pictures],
            "versions": machine.versions(*LIBRARIES, "pillow"),
            "instructions": machine.vector_instructions(),
        }
    )
    path = graphs / prefix.key[:16] / f"reference-{key[:16]}.taps"
    stored = _read(path, key, shape)
    if stored is not None:
        return stored
    found = eager_taps(model, [picture.source for picture in pictures])
    taps = np.stack([np.full(shape[1], np.nan, np.float32) if row is None else row for row in found.rows])
    if np.isfinite(taps).all():  # they could be read when their rows were computed, so the next time they may be there again
        _write(path, key, taps)
    return taps


def _read(path: Path, key: str, shape: tuple[int, int]) -> np.ndarray | None:
    """None for a file that is not there, was damaged, or is another key's."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    seal, values = content[:SEAL_BYTES], content[SEAL_BYTES:]
    if seal != _seal(key, values) or len(values) != 4 * shape[0] * shape[1]:
        return None
    return np.frombuffer(values, "<f4").reshape(shape).copy()


def _write(path: Path, key: str, taps: np.ndarray) -> None:
    """Nothing where nothing can be written: it is computed again the next time."""
    values = np.ascontiguousarray(taps, "<f4").tobytes()
    with suppress(OSError, MachineError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _seal(key, values) + values)


def _seal(key: str, values: bytes) -> bytes:
    return hashlib.sha256(key.encode("ascii") + values).digest()
