"""The whole model as OpenVINO IR: model.xml (graph and document) and model.bin (weights)."""

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from warmstart.engines.openvino import import_openvino, save
from warmstart.export.graph import WholeModel, example
from warmstart.export.quantise import quantise_openvino
from warmstart.runtime.document import INPUT, KEY


def write(graph: WholeModel, precision: str, size_px: int, calibration: Sequence[np.ndarray], path: Path) -> None:
    """Write model.xml and model.bin.

    fp16 stores weights in half precision, bf16 is asked for when the file is opened (its document says so); the graph is the same.
    calibration: for int8, arrays of the graph's input.
    """
    ov = import_openvino()
    shape = [-1, 3, size_px, size_px] if graph.resize is None else [1, -1, -1, 3]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it traces: see `engines.openvino.converted`
        model = ov.convert_model(graph, example_input=example(graph, size_px), input=[(shape, np.uint8)])
    model.inputs[0].get_tensor().set_names({INPUT})
    for output, name in zip(model.outputs, graph.names, strict=True):
        output.get_tensor().set_names({name})
    if precision == "int8":
        model = quantise_openvino(model, calibration)
    save(model, path, half=precision == "fp16")


def stamp(path: Path, document: str) -> None:
    """Put the document into the graph's metadata (rt_info)."""
    ov = import_openvino()
    model: Any = ov.Core().read_model(path)
    model.set_rt_info(document, KEY)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # not over the weights that the model is still reading
        fresh = Path(folder) / path.name
        save(model, fresh, half=False)  # what is half stays half
        del model
        shutil.move(fresh, path)
        shutil.move(fresh.with_suffix(".bin"), path.with_suffix(".bin"))
