"""The whole model by torch.export: model.pt2, for programs that have PyTorch.

Its graph is JSON and its weights are raw bytes, but the archive may also hold pickles, and `torch.export.load` (PyTorch 2.14)
unpickles those without asking: opening a foreign .pt2 can run code. So the runtime does not read this format, and here only a file that was
just written is opened, to prove it. The pictures that the graph was traced with, which torch.export would pickle, are left out.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from warmstart.engines.protocol import Token
from warmstart.export.graph import InBfloat16, StoredInHalf, WholeModel, example, exported_program
from warmstart.export.quiet import quiet
from warmstart.runtime.document import KEY
from warmstart.runtime.engines import Runner


def write(graph: WholeModel, precision: str, size_px: int, calibration: Sequence[np.ndarray], path: Path) -> None:
    """Write model.pt2. fp16 stores weights in half precision; bf16 computes the backbone in bfloat16, natively or not."""
    wrapped: dict[str, type[torch.nn.Module]] = {"fp16": StoredInHalf, "bf16": InBfloat16}
    module = wrapped[precision](graph) if precision in wrapped else graph
    with quiet():
        program = exported_program(module, example(graph, size_px), resizes=graph.resize is not None)
    _save(program, path)


def stamp(path: Path, document: str) -> None:
    """Put the document into the archive, as the extra file `warmstart`."""
    _save(torch.export.load(path), path, document)


def open_for_proof(path: Path) -> Runner:
    """For files written here; see the top of this file."""
    return _TorchRunner(torch.export.load(path).module())


def _save(program: torch.export.ExportedProgram, path: Path, document: str | None = None) -> None:
    program.example_inputs = None
    torch.export.save(program, path, extra_files={} if document is None else {KEY: document})


class _TorchRunner:
    """One batch after the other: PyTorch uses all cores for each."""

    batch_size = 4

    def __init__(self, module: torch.nn.Module) -> None:
        self._module, self.process = module, os.getpid()

    def map(self, batches: Iterable[tuple[Token, np.ndarray]]) -> Iterator[tuple[Token, np.ndarray]]:
        """See `runtime.engines.Runner.map`."""
        for token, pixels in batches:
            with torch.inference_mode():
                first = self._module(torch.from_numpy(np.ascontiguousarray(pixels)))[0]
            yield token, np.asarray(first.float().numpy())
