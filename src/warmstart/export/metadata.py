"""The document that an exported file carries: what it is, what it takes, where it comes from, and whether it was proved.

The reading half is `runtime.document`.
"""

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from warmstart.backbones.catalog import find
from warmstart.data.decoding import DECODER_ID
from warmstart.export.parity import Parity
from warmstart.model.predictor import Model
from warmstart.runtime.document import FORMAT_VERSION, INPUT, OUTPUTS

LIBRARIES = ("warmstart", "torch", "timm", "openvino", "nncf", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")


def describe(model: Model, *, format: str, precision: str, resize_inside: bool, parity: Parity | None, created: str) -> str:
    """The document as JSON. ``parity`` None: not proved."""
    size_px = model.preprocessing.size_px
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
        "outputs": {OUTPUTS[0]: "float32 (batch, classes), calibrated, summing to 1", OUTPUTS[1]: "before the temperature"},
        "class_names": list(model.class_names),
        "positive": model.positive,
        "threshold": model.threshold,
        "temperature": model.temperature,
        "resize_inside": resize_inside,
        "preprocessing": model.preprocessing.to_dict() | {"filter": "antialiased bicubic (Pillow's)", "decoder": DECODER_ID},
        "backbone": model.backbone,
        "head": model.head_name,
        "taps": list(model.taps),
        "licence": find(model.backbone).licence,
        "fingerprints": {
            "model": _fingerprint(model),
            "weights": model.weights_digest,
            "data": model.about.get("data_fingerprint"),
        },
        "trust": model.trust
        and {
            "calibration": [float(f"{score:.6g}") for score in model.trust.calibration],
            "test": [float(f"{score:.6g}") for score in model.trust.test],
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
    for name, array in sorted({**model.tensors, **{f"head.{n}": a for n, a in model.head.arrays().items()}}.items()):
        sha.update(f"{name} {array.dtype} {array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    sha.update(json.dumps([list(model.taps), model.temperature, list(model.preprocessing.views)]).encode())
    return sha.hexdigest()
