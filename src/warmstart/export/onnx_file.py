"""The whole model as ONNX: model.onnx, with its document in metadata_props."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from warmstart.export.graph import StoredInHalf, WholeModel, example, exported_program
from warmstart.export.quantise import quantise_onnx
from warmstart.export.quiet import quiet
from warmstart.runtime.document import INPUT, KEY
from warmstart.runtime.engines import import_onnxruntime

OPSET = 20  # the newest that PyTorch's exporter writes by itself, and that browsers' ONNX Runtime reads


def write(graph: WholeModel, precision: str, size_px: int, calibration: Sequence[np.ndarray], path: Path) -> None:
    """Write model.onnx. fp16 stores weights in half precision and widens them when the file is opened.

    calibration: for int8, arrays of the graph's input.
    """
    import_onnxruntime()  # before PyTorch's exporter does, with its usage statistics
    resizes = graph.resize is not None
    module = StoredInHalf(graph) if precision == "fp16" else graph
    with quiet():
        program = exported_program(module, example(graph, size_px), resizes=resizes)
        written = torch.onnx.export(
            program, dynamo=True, opset_version=OPSET, input_names=[INPUT], output_names=list(graph.names), verbose=False
        )
        assert written is not None
        written.save(path)
    if precision == "int8":
        quantise_onnx(path, calibration)


def stamp(path: Path, document: str) -> None:
    """Put the document into the model's metadata."""
    import onnx

    model = onnx.load(path)
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, document
    model.producer_name, model.producer_version = "warmstart", ""
    onnx.save(model, path)
