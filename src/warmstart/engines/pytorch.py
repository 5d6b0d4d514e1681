"""The engine for CUDA, MPS and for what OpenVINO cannot convert: PyTorch itself."""

import copy
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from warmstart import machine
from warmstart.engines.protocol import Token

if TYPE_CHECKING:
    import torch

CUDA_BATCH_SIZE = 64


def has_cuda() -> bool:
    """Whether there is an NVIDIA card that PyTorch can use. Importing torch takes seconds, so the driver is looked for first."""
    driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    if not driver:
        return False
    import torch

    return torch.cuda.is_available()


def best_device() -> str:
    """'cuda' or 'mps' where there is one, else 'cpu'."""
    if has_cuda():
        return "cuda"
    import torch

    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_name() -> str:
    """Of `best_device`, a card by its own name: kernels, and what they round to, differ from card to card."""
    device = best_device()
    if device != "cuda":
        return device
    import torch

    return torch.cuda.get_device_name()


def precisions() -> tuple[str, ...]:
    """What is worth trying here, fastest first. Eager bf16 on CPUs is not: its depthwise convolutions are slow."""
    import torch

    return ("bf16", "f32") if has_cuda() and torch.cuda.is_bf16_supported() else ("f32",)


class PyTorchEngine:
    """A frozen module in eval mode, channels last. See `protocol.Engine` for what `map` promises.

    On the CPU every picture runs in a batch of its own: eager kernels choose their blocking by batch size, so that rows of one
    picture would differ in the last bits from batch to batch. On CUDA pictures run together and rows agree to rounding.
    """

    name = "pytorch"

    def __init__(self, module: "torch.nn.Module", *, precision: str = "f32", device: str = "cpu") -> None:
        import torch

        machine.use_torch()
        self.precision, self.device, self.process = precision, device, os.getpid()
        self.batch_size = 4 if device == "cpu" else CUDA_BATCH_SIZE
        # A copy: moving the caller's network to a card or changing its strides would surprise whoever trains it next.
        self._module = copy.deepcopy(module).to(device).to(memory_format=torch.channels_last).eval()

    def map(self, batches: Iterable[tuple[Token, np.ndarray]]) -> Iterator[tuple[Token, np.ndarray]]:
        """See `protocol.Engine.map`."""
        for token, pixels in batches:
            step = 1 if self.device == "cpu" else len(pixels)
            yield token, np.concatenate([self._run(pixels[i : i + step]) for i in range(0, len(pixels), step)])

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        import torch

        machine.use_torch()
        fast = torch.autocast(self.device, dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()
        with torch.inference_mode(), fast:
            batch = torch.from_numpy(pixels).to(self.device, memory_format=torch.channels_last)
            rows: np.ndarray = self._module(batch).float().cpu().numpy()
        return rows
