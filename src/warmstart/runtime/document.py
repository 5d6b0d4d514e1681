"""What an exported file says of itself: one JSON document in its metadata, under the name `warmstart`. K classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from warmstart.errors import ModelFileError
from warmstart.evaluation.trust import Trust
from warmstart.extraction.described import read_class_names, read_preprocessing, read_threshold, required
from warmstart.records import MOST_JSON_BYTES, Preprocessing, from_json

KEY = "warmstart"  # of the metadata; the document is its value
FORMAT_VERSION = 1
INPUT = "pictures"
OUTPUTS = ("probabilities", "logits")
FILE_NAMES = {"onnx": "model.onnx", "openvino": "model.xml", "torch-export": "model.pt2"}  # format → what stands in its folder


@dataclass(frozen=True, kw_only=True)
class Document:
    """The metadata of an exported file, as far as predicting needs it; ``everything`` is the whole."""

    path: Path  # of the file, for messages
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
            if len(text) > MOST_JSON_BYTES:
                raise ValueError(f"more than {MOST_JSON_BYTES:,} letters")
            values = required(from_json(text), KEY, Mapping)
            if required(values["format_version"], "format_version", int) > FORMAT_VERSION:
                raise ModelFileError(
                    f"{path} has format version {values['format_version']}, this warmstart reads up to {FORMAT_VERSION}: "
                    "update warmstart"
                )
            preprocessing = read_preprocessing(values["preprocessing"])
            class_names = read_class_names(values["class_names"])
            positive, threshold = read_threshold(values["positive"], values["threshold"], class_names)
            return cls(
                path=path,
                class_names=class_names,
                preprocessing=preprocessing,
                resize_inside=required(values["resize_inside"], "resize_inside", bool),
                precision=required(values["precision"], "precision", str),
                positive=positive,
                threshold=threshold,
                trust=_trust(required(values["trust"], "trust", Mapping | None)),
                proven=values["proven"] is True,
                everything=values,
            )
        except (ValueError, KeyError, TypeError) as reason:
            raise ModelFileError(
                f"{path}: its document {KEY!r} lacks or misuses {reason}; was it changed by another program? Export the model again"
            ) from reason


def _trust(values: Mapping[str, Any] | None) -> Trust | None:
    if values is None:
        return None
    scores = {name: required(values[name], f"trust.{name}", tuple[float, ...]) for name in ("calibration", "test")}
    return Trust.from_arrays({"novelty": None}, {name: np.array(scores[name], np.float64) for name in scores})


def exported_file(path: Path) -> Path | None:
    """The file of an exported model at this path, or in this folder; None where there is none."""
    try:
        if path.is_file():
            return path if path.suffix in {Path(name).suffix for name in FILE_NAMES.values()} else None
        return next((path / name for name in FILE_NAMES.values() if (path / name).is_file()), None)
    except OSError:  # a name that is too long, or a folder that may not be looked into: whoever reads it says so
        return None
