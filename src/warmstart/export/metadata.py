"""The document that an exported file carries: what it is, what it takes, where it comes from, and whether it was proved.

The reading half is `runtime.document`.
"""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from warmstart.data.decoding import DECODER_ID
from warmstart.model.predictor import Model
from warmstart.runtime.document import FORMAT_VERSION, INPUT
from warmstart.task_protocol import Parity
from warmstart.task_registry import USUAL, find_task

LIBRARIES = ("warmstart", "torch", "timm", "openvino", "nncf", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")


def describe(model: Model, *, format: str, precision: str, resize_inside: bool, parity: Parity | None, created: str) -> str:
    """The document as JSON. ``parity`` None: not proved."""
    size_px, task = model.preprocessing.size_px, find_task(model.task)
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "format": format,
        "precision": precision,
        "proven": parity is not None and parity.proven,
        "parity": parity and _summary(parity),
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": [1, "height", "width", 3] if resize_inside else ["batch", 3, size_px, size_px],
            "colour": "RGB, upright, 0 … 255; nothing is to be normalised",
        },
        "outputs": dict(task.graph_outputs),
        **({} if task.name == USUAL else {"task": task.name}),
        **task.exported(model.fitted),
        "resize_inside": resize_inside,
        **({"places": True} if model.places else {}),
        "preprocessing": model.preprocessing.to_dict() | {"filter": "antialiased bicubic (Pillow's)", "decoder": DECODER_ID},
        "backbone": model.backbone,
        "licence": model.spec.licence,
        "fingerprints": {
            "model": _fingerprint(model),
            "weights": model.weights_digest,
            "data": model.about.get("data_fingerprint"),
        },
        "versions": writer_versions(),
        "created": created,
    }
    return json.dumps(document, ensure_ascii=True, allow_nan=False)


def writer_versions() -> dict[str, str]:
    """Of the libraries that had a part in the file."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _summary(parity: Parity) -> dict[str, Any]:
    """The row without names of pictures: the file may be given to others."""
    row = parity.to_dict()
    return {key: row[key] for key in row if key not in ("worst", "bytes")}


def _fingerprint(model: Model) -> str:
    """SHA-256 of every number that the model predicts with."""
    sha = hashlib.sha256()
    for name, array in sorted({**model.tensors, **model.fitted.arrays()}.items()):
        sha.update(f"{name} {array.dtype} {array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    sha.update(json.dumps([model.fitted.settings(), list(model.preprocessing.views)]).encode())
    return sha.hexdigest()
