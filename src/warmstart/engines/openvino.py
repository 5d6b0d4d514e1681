"""The CPU engine: OpenVINO in throughput mode.

Module → converted graph (kept on disk, torch needed once) → compiled for this machine → asynchronous requests.
Measured on 2 cores with AVX-512 bf16, EfficientNet-Lite0 at 224 px: 340-370 images/s against 46 for eager channels-last PyTorch.
"""

import errno
import os
import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart import machine
from warmstart.engines.outliving import outlive_forks
from warmstart.engines.protocol import Token
from warmstart.refusals import refused, require_room

if TYPE_CHECKING:
    import torch

# Batches of 4 were fastest on every size tried (1, 3, 4, 16): one picture pays the call overhead, sixteen fall out of the L2 cache.
BATCH_SIZE = 4
CANCEL_MS = 5000  # that a batch has to end when it is asked to: between two layers it looks


@cache
def import_openvino() -> ModuleType:
    """OpenVINO without its usage statistics: no socket, nothing under ~/intel, the user's consent file untouched.

    OpenVINO falls back to a stub of its telemetry client when that package cannot be imported; so it is hidden while OpenVINO is
    imported for the first time. Where somebody imported OpenVINO before us, the stub is put in its place for conversions.
    (2026-11, OpenVINO 2026.4: importing it, not only converting, reports an event. Remove when there is a documented switch.)
    """
    hidden = "openvino_telemetry" not in sys.modules
    if hidden:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
        from openvino.tools.ovc import telemetry_stub, telemetry_utils

        telemetry_utils.tm = telemetry_stub
    finally:
        if hidden:
            del sys.modules["openvino_telemetry"]
    return openvino  # type: ignore[no-any-return]


@cache
def precisions() -> tuple[str, ...]:
    """What the CPU computes natively, fastest first. Emulated bf16 is slower than float32, so it does not count."""
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bf16", "f32") if "BF16" in capabilities else ("f32",)


def save(graph: Any, path: Path, *, half: bool) -> None:
    """Write a graph as path (.xml) and the .bin beside it. Raises MachineError where there is no room.

    OpenVINO (2026.4) says "iostream error" whatever the system said, and removes what it had written, so the room is looked at here.
    """
    try:
        # ``half`` rounds the weights; a file that is read from the local disk need not be small.
        import_openvino().save_model(graph, path, compress_to_fp16=half)
    except RuntimeError as reason:
        if "iostream" not in str(reason):
            raise
        constants = (op for op in graph.get_ops() if op.get_type_name() == "Constant")
        needed_bytes = sum(op.get_byte_size() for op in constants) // (2 if half else 1)
        require_room(path.parent, needed_bytes, f"{str(path)!r}", file_bytes=needed_bytes)
        raise refused(errno.EIO, path) from reason


def converted(module: "torch.nn.Module", size_px: int) -> Any:
    """The module as an OpenVINO graph with input uint8 (any B, 3, size_px, size_px) and float32 weights.

    Raises whatever the converter raises when the module has an operation that it does not know; `engines.build` then falls back. Where
    it cannot be (`save`), nothing is; None: it is not.
    """
    import torch

    machine.use_torch()
    ov = import_openvino()
    example = torch.zeros(2, 3, size_px, size_px, dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        # The converter traces. PyTorch 2.15 calls tracing deprecated; going through torch.export gives the same graph in 3-4 times
        # the time (Lite0: 4.9 s against 1.4 s). Change over when the converter does. (2026-11)
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return ov.convert_model(module, example_input=example, input=[([-1, 3, size_px, size_px], np.uint8)])


class OpenVinoEngine:
    """A graph made by `converted`, compiled for this machine's CPU. See `protocol.Engine` for what `map` promises."""

    name = "openvino"
    device = "cpu"
    batch_size = BATCH_SIZE

    def __init__(self, graph: Any, *, precision: str, threads: int | None = None, run_s: float | None = None) -> None:
        """``graph``: a file, or what `converted` returned.

        ``run_s``: how long a batch may take before it is ended, for a graph that is not of our making; see `map`.
        """
        self.precision, self.process, self._run_s = precision, os.getpid(), run_s
        self._compiled = (
            import_openvino()
            .Core()
            .compile_model(
                graph,
                "CPU",
                {
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "INFERENCE_PRECISION_HINT": precision,
                    "INFERENCE_NUM_THREADS": threads or machine.cores(),
                },
            )
        )
        outlive_forks(self)

    def map(self, batches: Iterable[tuple[Token, np.ndarray]]) -> Iterator[tuple[Token, np.ndarray]]:
        """See `protocol.Engine.map`. Raises TimeoutError for a batch that takes longer than ``run_s``."""
        # One request more than the machine can run at once: the next batch is already there when a stream becomes free.
        streams = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        idle = [self._compiled.create_infer_request() for _ in range(streams + 1)]
        running: deque[tuple[Token, Any]] = deque()

        def oldest() -> tuple[Token, np.ndarray]:
            token, request = running.popleft()
            if self._run_s is None:
                request.wait()
            elif not request.wait_for(round(self._run_s * 1000)):
                running.append((token, request))  # to be ended below
                raise TimeoutError(f"it did not end within {self._run_s:g} s")
            idle.append(request)
            return token, request.get_output_tensor(0).data.copy()  # the request's own memory is reused by the next batch

        # Waited for one by one, and not through AsyncInferQueue: there a thread of OpenVINO's enters Python to say that it is done.
        # Destroying the compiled model waits for that thread while holding the interpreter's lock, which the thread may be waiting
        # for: both then wait for ever (2026-11, OpenVINO 2026.4).
        try:
            for token, pixels in batches:
                if not idle:
                    yield oldest()
                request = idle.pop()
                request.start_async({0: pixels})
                running.append((token, request))
            while running:
                yield oldest()
        finally:
            for _, request in running:  # whoever stops listening leaves nothing running
                if self._run_s is None:
                    request.wait()
                else:  # nor does what does not end
                    request.cancel()
                    request.wait_for(CANCEL_MS)
