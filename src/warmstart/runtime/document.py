"""What an exported file says of itself: one JSON document in its metadata, under the name `warmstart`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from warmstart.errors import ModelFileError, UnknownNameError, UsageError
from warmstart.extraction.described import read_preprocessing, required
from warmstart.records import MOST_JSON_BYTES, Preprocessing, from_json
from warmstart.task_protocol import Reading
from warmstart.task_registry import USUAL, find_task

KEY = "warmstart"  # of the metadata; the document is its value
FORMAT_VERSION = 1
INPUT = "pictures"
FILE_NAMES = {"onnx": "model.onnx", "openvino": "model.xml", "torch-export": "model.pt2"}  # format → what stands in its folder


@dataclass(frozen=True, kw_only=True)
class Document:
    """The metadata of an exported file, as far as predicting needs it; ``everything`` is the whole."""

    path: Path  # of the file, for messages
    task: str
    reading: Reading  # what answers are made by
    outputs: tuple[str, ...]  # names of what the graph gives; answers are made of the first
    preprocessing: Preprocessing
    resize_inside: bool
    places: bool  # whether the task is to know where a view lies on its picture
    precision: str
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
            name = required(values.get("task", USUAL), "task", str)
            task = find_task(name)
            return cls(
                path=path,
                task=name,
                reading=task.reading(values),
                outputs=tuple(task.graph_outputs),
                preprocessing=preprocessing,
                resize_inside=required(values["resize_inside"], "resize_inside", bool),
                places=required(values.get("places", False), "places", bool),
                precision=required(values["precision"], "precision", str),
                proven=values["proven"] is True,
                everything=values,
            )
        except (UnknownNameError, UsageError) as reason:
            raise ModelFileError(f"{path} is a model of the task {name!r:.80}, which cannot be used here: {reason}") from reason
        except (ValueError, KeyError, TypeError) as reason:
            raise ModelFileError(
                f"{path}: its document {KEY!r} lacks or misuses {reason}; was it changed by another program? Export the model again"
            ) from reason


def exported_file(path: Path) -> Path | None:
    """The file of an exported model at this path, or in this folder; None where there is none."""
    try:
        if path.is_file():
            return path if path.suffix in {Path(name).suffix for name in FILE_NAMES.values()} else None
        return next((path / name for name in FILE_NAMES.values() if (path / name).is_file()), None)
    except OSError:  # a name that is too long, or a folder that may not be looked into: whoever reads it says so
        return None
