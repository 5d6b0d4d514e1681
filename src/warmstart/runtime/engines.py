"""ONNX Runtime and OpenVINO behind one small face: uint8 pictures in, float32 probabilities out.

Each is imported where a file needs it. B batch, S side of the network's input, H, W of a picture, K classes.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from warmstart import machine
from warmstart.engines.openvino import BATCH_SIZE, OpenVinoEngine, import_openvino
from warmstart.engines.outliving import outlive_forks
from warmstart.engines.protocol import Token
from warmstart.errors import ModelFileError, UsageError
from warmstart.runtime.document import INPUT, KEY, OUTPUTS, Document


class Runner(Protocol):
    """An exported file, opened."""

    batch_size: int  # how many pictures a batch should have to run fastest
    process: int  # that opened it

    def map(self, batches: Iterable[tuple[Token, np.ndarray]]) -> Iterator[tuple[Token, np.ndarray]]:
        """(token, uint8 (B, 3, S, S) or (1, H, W, 3)) → (token, float32 (B, K)), as they become ready; drawn when there is room."""
        ...


def open_file(path: Path) -> tuple[Document, Runner]:
    """An exported file by its suffix. Raises ModelFileError for one that is damaged or not ours, UsageError without its engine."""
    if path.suffix == ".onnx":
        return _open_onnx(path)
    if path.suffix == ".xml":
        return _open_openvino(path)
    raise UsageError(
        f"{path} is not read by the runtime, which reads .onnx (ONNX Runtime) and .xml (OpenVINO). A .pt2 file is for programs with "
        "PyTorch: torch.export.load(path).module()"
    )


def _open_onnx(path: Path) -> tuple[Document, Runner]:
    try:
        import onnxruntime
    except ImportError as reason:
        raise UsageError(f"{path} needs ONNX Runtime, which is not installed here: pip install onnxruntime") from reason
    onnxruntime.set_default_logger_severity(3)  # errors; a warning about a slow operator is none of the user's business
    options = onnxruntime.SessionOptions()
    # Whole pictures side by side, one thread each: on two cores faster than two threads on one picture (docs/export.md).
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as reason:  # its own classes, without a common base
        raise _damaged(path, reason) from reason
    document = Document.from_json(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    return document, _OnnxRunner(session)


class _OnnxRunner:
    """One thread a core, each running whole batches."""

    batch_size = BATCH_SIZE

    def __init__(self, session: "object") -> None:
        self._session, self.process = session, os.getpid()
        outlive_forks(self)

    def map(self, batches: Iterable[tuple[Token, np.ndarray]]) -> Iterator[tuple[Token, np.ndarray]]:
        """See `Runner.map`."""
        with ThreadPoolExecutor(machine.cores()) as threads:
            running: deque[tuple[Token, Future[np.ndarray]]] = deque()
            for token, pixels in batches:
                if len(running) > machine.cores():
                    done, result = running.popleft()
                    yield done, result.result()
                running.append((token, threads.submit(self._run, pixels)))
            while running:
                done, result = running.popleft()
                yield done, result.result()

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        (probabilities,) = self._session.run([OUTPUTS[0]], {INPUT: pixels})  # type: ignore[attr-defined]
        return np.asarray(probabilities)


def _open_openvino(path: Path) -> tuple[Document, Runner]:
    try:
        ov = import_openvino()
    except ImportError as reason:
        raise UsageError(f"{path} needs OpenVINO, which is not installed here: pip install openvino") from reason
    try:
        model = ov.Core().read_model(path)
    except RuntimeError as reason:
        raise _damaged(path, reason) from reason
    document = Document.from_json(model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None, path)
    precision = "bf16" if document.precision == "bf16" else "f32"
    return document, OpenVinoEngine(path, precision=precision)


def _damaged(path: Path, reason: BaseException) -> ModelFileError:
    first_line = (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
    return ModelFileError(f"{path} cannot be opened ({first_line}): it is damaged or incomplete; export the model again")
