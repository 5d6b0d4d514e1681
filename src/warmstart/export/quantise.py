"""float32 → int8 after training: ranges of activations are read off calibration pictures, weights have a scale a channel.

Two quantisers, each the one that its engine runs fastest: NNCF for OpenVINO, ONNX Runtime's own for ONNX (docs/export.md has the figures).
Resize and head stay float32, and in ONNX the taps: they are a thousandth of the work, and the last place to round. Weights get 7 bits:
without VNNI products of 8 and 8 bits are summed in pairs in 16 bits, which overflow, and a file is to say the same on every processor.
"""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.export.quiet import quiet
from warmstart.runtime.document import INPUT
from warmstart.runtime.engines import import_onnxruntime

SCOPES = "pkg.torch.onnx.name_scopes"  # of a node, in its metadata


def quantise_openvino(model: Any, calibration: Sequence[np.ndarray]) -> Any:
    """An OpenVINO graph in int8, by NNCF. calibration: arrays of the graph's input."""
    with quiet():
        nncf = _import_nncf()
        return nncf.quantize(
            model,
            nncf.Dataset(list(calibration)),
            subset_size=len(calibration),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
            ignored_scope=nncf.IgnoredScope(patterns=[".*__module.head.*", ".*__module.resize.*"], validate=False),
        )


def _import_nncf() -> Any:
    """NNCF without its usage statistics and progress bars: it falls back to a stub where the client cannot be imported.

    (2026-11, NNCF 3.4: there is no documented switch.)
    """
    hidden = "openvino_telemetry" not in sys.modules
    if hidden:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import nncf
        from nncf.telemetry import decorator, wrapper

        decorator.telemetry = wrapper.NNCFTelemetryStub()  # where somebody imported NNCF before us
    finally:
        if hidden:
            del sys.modules["openvino_telemetry"]
    return nncf


def quantise_onnx(path: Path, calibration: Sequence[np.ndarray]) -> None:
    """Replace an ONNX file by itself in int8, by ONNX Runtime's quantiser."""
    import onnx

    import_onnxruntime()  # before the next line, which would import it with its usage statistics
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Pictures(CalibrationDataReader):  # type: ignore[misc]  # untyped
        """The calibration pictures, once."""

        def __init__(self) -> None:
            self._rest = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """One batch, or None at the end."""
            pixels = next(self._rest, None)
            return None if pixels is None else {INPUT: pixels}

    whole = path.with_name("float32.onnx")
    path.rename(whole)
    outside = [node.name for node in onnx.load(whole).graph.node if not _of_backbone(node)]
    with quiet():
        quantize_static(
            whole,
            path,
            Pictures(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Clip", "Relu", "Add"],
            nodes_to_exclude=outside,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
        )
    whole.unlink()


def _of_backbone(node: Any) -> bool:
    """Whether a node comes from a module of the network, but its normalisation. Taps are worked out in no module of theirs.

    PyTorch's exporter notes modules from the outermost to the operator: ['', 'network', 'network.stages.0', …, 'add_12'].
    """
    scopes = next((p.value for p in node.metadata_props if p.key == SCOPES), "[]")
    return any(s.startswith("network.") and s != "network.normalise" for s in ast.literal_eval(scopes))
