"""What can be written: formats, the precisions of each, and why a precision cannot be had.

`write` makes the file, `stamp` puts the document into its metadata, `open_for_proof` runs it as its users will.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from warmstart.engines import openvino
from warmstart.errors import UnknownNameError, UsageError
from warmstart.export import onnx_file, openvino_file, torch_file
from warmstart.export.graph import WholeModel
from warmstart.runtime.document import FILE_NAMES
from warmstart.runtime.engines import Runner, open_file

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
INSTALL = "pip install 'warmstart[export]'"


@dataclass(frozen=True, kw_only=True)
class Format:
    """How files of a format are made and read."""

    name: str
    precisions: tuple[str, ...]
    lacking: Mapping[str, str]  # precision → why this format does not have it
    modules: Mapping[str, tuple[str, ...]]  # precision → what must be installed beside warmstart's own dependencies
    write: Callable[[WholeModel, str, int, Sequence[np.ndarray], Path], None]  # graph, precision, side, calibration, file
    stamp: Callable[[Path, str], None]  # file, document
    open_for_proof: Callable[[Path], Runner]

    @property
    def file_name(self) -> str:
        """What the file is called in its folder."""
        return FILE_NAMES[self.name]


FORMATS: Mapping[str, Format] = {
    "onnx": Format(
        name="onnx",
        precisions=("fp32", "fp16", "int8"),
        lacking={"bf16": "ONNX Runtime has no bfloat16 convolution on CPUs"},
        modules=dict.fromkeys(PRECISIONS, ("onnx", "onnxscript", "onnxruntime")),
        write=onnx_file.write,
        stamp=onnx_file.stamp,
        open_for_proof=lambda path: open_file(path)[1],
    ),
    "openvino": Format(
        name="openvino",
        precisions=PRECISIONS,
        lacking={},
        modules={"fp32": (), "fp16": (), "bf16": (), "int8": ("nncf",)},
        write=openvino_file.write,
        stamp=openvino_file.stamp,
        open_for_proof=lambda path: open_file(path)[1],
    ),
    "torch-export": Format(
        name="torch-export",
        precisions=("fp32", "fp16", "bf16"),
        lacking={
            "int8": "PyTorch would run it as float32 with rounding between, slower and no smaller; --to openvino and onnx have it"
        },
        modules=dict.fromkeys(PRECISIONS, ()),
        write=torch_file.write,
        stamp=torch_file.stamp,
        open_for_proof=torch_file.open_for_proof,
    ),
}


def find_format(name: str, precision: str) -> Format:
    """The format, if it has this precision on this machine. Raises UnknownNameError, UsageError."""
    if name not in FORMATS:
        raise UnknownNameError("export format", name, FORMATS)
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    found = FORMATS[name]
    if precision in found.lacking:
        raise UsageError(f"--to {name} has no {precision}: {found.lacking[precision]}. It has {', '.join(found.precisions)}.")
    if name == "openvino" and precision == "bf16" and "bf16" not in openvino.precisions():
        raise UsageError(
            "--precision bf16 cannot be proved here: this processor has no bfloat16, and OpenVINO would compute in float32 instead. "
            "Export on one that has it (AVX-512 BF16, AMX, ARMv8.6), or use --precision fp16 or int8."
        )
    missing = [module for module in found.modules[precision] if not _installed(module)]
    if missing:
        raise UsageError(f"--to {name} --precision {precision} needs {', '.join(missing)}: {INSTALL}")
    return found


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None
