"""What an exported file says of itself: one JSON document in its metadata, under the name `warmstart`. K classes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from warmstart.errors import ModelFileError
from warmstart.evaluation.trust import Trust
from warmstart.records import Preprocessing

KEY = "warmstart"  # of the metadata; the document is its value
FORMAT_VERSION = 1
INPUT = "pictures"
OUTPUTS = ("probabilities", "logits")
FILE_NAMES = {"onnx": "model.onnx", "openvino": "model.xml", "torch-export": "model.pt2"}  # format → what stands in its folder


@dataclass(frozen=True, kw_only=True)
class Document:
    """The metadata of an exported file, as far as predicting needs it; ``everything`` is the whole."""

    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    resize_inside: bool
    precision: str
    positive: str | None
    threshold: float | None
    trust: Trust | None
    proven: bool
    everything: Mapping[str, Any]

    @classmethod
    def from_json(cls, text: str | None, path: Path) -> Self:
        """Raises ModelFileError for a document that is missing, damaged, or from a later version."""
        if text is None:
            raise ModelFileError(
                f"{path} holds no document named {KEY!r}, so it was not written by `warmstart export`: "
                "export the model again, or use the program that wrote the file"
            )
        try:
            values = json.loads(text)
            if values["format_version"] > FORMAT_VERSION:
                raise ModelFileError(
                    f"{path} has format version {values['format_version']}, this warmstart reads up to {FORMAT_VERSION}: "
                    "update warmstart"
                )
            pixels = values["preprocessing"]
            trust = values["trust"]
            return cls(
                class_names=tuple(values["class_names"]),
                preprocessing=Preprocessing.from_dict(pixels),
                resize_inside=bool(values["resize_inside"]),
                precision=values["precision"],
                positive=values["positive"],
                threshold=values["threshold"],
                trust=trust and Trust(calibration=np.array(trust["calibration"]), test=np.array(trust["test"]), novelty=None),
                proven=values["proven"] is True,
                everything=values,
            )
        except (ValueError, KeyError, TypeError) as reason:
            raise ModelFileError(
                f"{path}: its document {KEY!r} lacks or misuses {reason}; was it changed by another program? Export the model again"
            ) from reason


def exported_file(path: Path) -> Path | None:
    """The file of an exported model at this path, or in this folder; None where there is none."""
    if path.is_file():
        return path if path.suffix in {Path(name).suffix for name in FILE_NAMES.values()} else None
    return next((path / name for name in FILE_NAMES.values() if (path / name).is_file()), None)
