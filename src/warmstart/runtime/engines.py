"""ONNX Runtime and OpenVINO behind one small face: uint8 pictures in, what the task's graph gives first out.

Each is imported where a file needs it. The file may be anybody's, so what it can take is bounded before it runs and while it runs:

    ONNX       no loops, no other files (`onnx_structure`) → opened and run within a time, in an arena of bounded size
    OpenVINO   no loops, no giant tensors                  → opened and run within a time

B batch, S side of the network's input, H, W of a picture.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import cache
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar

import numpy as np

from warmstart import machine
from warmstart.engines.openvino import BATCH_SIZE, OpenVinoEngine, import_openvino
from warmstart.engines.outliving import outlive_forks
from warmstart.engines.protocol import Token
from warmstart.errors import ModelFileError, UsageError
from warmstart.runtime.document import INPUT, KEY, Document
from warmstart.runtime.onnx_structure import refuse_unbounded

# What a file that never ends, or wants all memory, is ended at. An honest batch of four takes well under a second; the widest network
# of the catalogue, at its own size on two busy cores, some 20 s.
OPEN_S, RUN_S = 120.0, 60.0
END_S = 5.0  # that it has to end when it is asked to: between two operators it looks
MOST_FILE_BYTES = 2**31  # what the format itself allows
ARENA_BYTES, ARENA_BYTES_PER_CORE = 2 * 2**30, 2**29  # beside the weights; a batch of the widest network takes 0.3 GB
MOST_TENSOR_BYTES = 2 * 2**30
LOOPS = ("Loop", "TensorIterator", "If")

T = TypeVar("T")


class Runner(Protocol):
    """An exported file, opened."""

    batch_size: int  # how many pictures a batch should have to run fastest
    process: int  # that opened it

    def map(self, batches: Iterable[tuple[Token, np.ndarray]]) -> Iterator[tuple[Token, np.ndarray]]:
        """(token, uint8 (B, 3, S, S) or (1, H, W, 3)) → (token, float32 (B, …)), as they become ready; drawn when there is room."""
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


@cache
def import_onnxruntime() -> ModuleType:
    """ONNX Runtime without its usage statistics: no host looked up, no device id written. The one place that imports it.

    Its memory for what a network computes is one arena of bounded size, weights not counted. (2026-11, ONNX Runtime 1.32: the
    variable must be set before it is imported; where somebody imported it before us, only its later events can be turned off.)
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    ort.disable_telemetry_events()
    ort.set_default_logger_severity(4)  # fatal: a slow operator is none of the user's business, and errors are raised
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    size = ARENA_BYTES + ARENA_BYTES_PER_CORE * machine.cores()
    with suppress(Exception):  # where somebody registered one before us, it stands
        ort.create_and_register_allocator(place, ort.OrtArenaCfg({"max_mem": size}))
    return ort  # type: ignore[no-any-return]


def _open_onnx(path: Path) -> tuple[Document, Runner]:
    try:
        ort = import_onnxruntime()
    except ImportError as reason:
        raise UsageError(f"{path} needs ONNX Runtime, which is not installed here: pip install onnxruntime") from reason
    options = ort.SessionOptions()
    # Whole pictures side by side, one thread each: on two cores faster than two threads on one picture (docs/export.md).
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    content = _content(path)
    try:
        refuse_unbounded(content)
        # The bytes that were looked at, not the file, which may be another by now.
        session = _in_time(
            lambda: ort.InferenceSession(content, options, providers=["CPUExecutionProvider"]),
            OPEN_S,
            lambda: options.set_load_cancellation_flag(True),
        )
    except Exception as reason:  # its own classes, without a common base
        raise _damaged(path, reason) from reason
    document = Document.from_json(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    _check_faces(document, [put.name for put in session.get_inputs()], [put.name for put in session.get_outputs()])
    return document, _OnnxRunner(session, document.outputs[0], ort.RunOptions)


class _OnnxRunner:
    """One thread a core, each running whole batches. Threads of our own: nobody waits for them at the end of the program."""

    batch_size = BATCH_SIZE

    def __init__(self, session: Any, output: str, run_options: Callable[[], Any]) -> None:
        self._session, self._output, self._run_options, self.process = session, output, run_options, os.getpid()
        self._cores = threading.Semaphore(machine.cores())
        outlive_forks(self)

    def map(self, batches: Iterable[tuple[Token, np.ndarray]]) -> Iterator[tuple[Token, np.ndarray]]:
        """See `Runner.map`."""
        running: deque[tuple[Token, Future[np.ndarray], Any]] = deque()

        def oldest() -> tuple[Token, np.ndarray]:
            token, future, _ = running[0]
            result = _waited(future, RUN_S)
            running.popleft()
            return token, result

        try:
            for token, pixels in batches:
                if len(running) > machine.cores():
                    yield oldest()
                options = self._run_options()
                running.append((token, _begun(lambda p=pixels, o=options: self._run(p, o)), options))  # type: ignore[misc]
            while running:
                yield oldest()
        finally:
            for _, _, options in running:  # whoever stops listening leaves nothing running
                options.terminate = True
            wait([future for _, future, _ in running], END_S)

    def _run(self, pixels: np.ndarray, options: Any) -> np.ndarray:
        with self._cores:
            (found,) = self._session.run([self._output], {INPUT: pixels}, options)
        return np.asarray(found)


def _open_openvino(path: Path) -> tuple[Document, Runner]:
    try:
        ov = import_openvino()
    except ImportError as reason:
        raise UsageError(f"{path} needs OpenVINO, which is not installed here: pip install openvino") from reason
    try:
        model = _in_time(lambda: ov.Core().read_model(path), OPEN_S)
        _refuse_unbounded(model)
        names = ([sorted(put.get_names())[:1] for put in puts] for puts in (model.inputs, model.outputs))
        document = Document.from_json(model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None, path)
        _check_faces(document, *([name for found in puts for name in found] for puts in names))
        precision = "bf16" if document.precision == "bf16" else "f32"
        return document, _in_time(lambda: OpenVinoEngine(path, precision=precision, run_s=RUN_S), OPEN_S)
    except ModelFileError:
        raise
    except Exception as reason:  # RuntimeError mostly, whatever a damaged file makes of it else
        raise _damaged(path, reason) from reason


def _refuse_unbounded(model: Any) -> None:
    """Raises ValueError for a graph with loops or branches, or with a tensor that would take more than all of an honest one."""
    for operator in model.get_ops():
        if operator.get_type_name() in LOOPS:
            raise ValueError("it holds loops or branches, which no exported model has")
        for put in operator.outputs():
            shape = put.get_partial_shape()
            if not shape.rank.is_dynamic:
                sizes = [BATCH_SIZE if axis.is_dynamic else axis.get_length() for axis in shape]
                if prod(sizes) * put.get_element_type().size > MOST_TENSOR_BYTES:
                    raise ValueError(f"it holds a tensor of {' × '.join(map(str, sizes))}, which no exported model has")


def _check_faces(document: Document, inputs: list[str], outputs: list[str]) -> None:
    """Raises ModelFileError for a file that takes or gives something else than ours do."""
    if inputs != [INPUT] or outputs[:1] != [document.outputs[0]]:
        raise ModelFileError(
            f"{document.path} takes {', '.join(inputs) or 'nothing'} and gives {', '.join(outputs) or 'nothing'}, expected {INPUT} and "
            f"{', '.join(document.outputs)}: it was changed by another program; export the model again"
        )


def _content(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MOST_FILE_BYTES:
            raise ModelFileError(
                f"{path} has {size:,} bytes, and an ONNX file has {MOST_FILE_BYTES:,} at most: export the model again"
            )
        return path.read_bytes()
    except OSError as reason:
        raise ModelFileError(f"{path} cannot be read ({reason.strerror}): check its permissions") from reason


def _begun(work: Callable[[], T]) -> "Future[T]":
    """The work, in a thread that nobody waits for at the end of the program."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as reason:  # it is the caller's
            future.set_exception(reason)

    threading.Thread(target=run, daemon=True, name="exported").start()
    return future


def _waited(future: "Future[T]", seconds: float) -> T:
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():  # its own
            raise
        raise TimeoutError(f"it did not end within {seconds:g} s") from None


def _in_time(work: Callable[[], T], seconds: float, cancel: Callable[[], None] = lambda: None) -> T:
    """Raises TimeoutError for work that takes longer, after asking it to end."""
    future = _begun(work)
    try:
        return _waited(future, seconds)
    except TimeoutError:
        cancel()
        wait([future], END_S)
        raise


def _damaged(path: Path, reason: BaseException) -> ModelFileError:
    first_line = (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
    return ModelFileError(f"{path} cannot be opened ({first_line}): it is damaged or incomplete; export the model again")
