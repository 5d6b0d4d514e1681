"""On which device, in which precision and memory layout the suffix runs; measured where it is not clear.

Channels last is the layout that CPU and GPU convolutions want. Half precision pays on a GPU; on a CPU with bf16
instructions it makes dense convolutions faster and the backward pass of depthwise ones slower, so there one has to measure.
"""

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from warmstart import machine
from warmstart.training.batches import Batch, Inputs
from warmstart.training.loss import cross_entropy, soft_targets
from warmstart.training.tuned import set_training


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how. Weights are float32 throughout; 'bf16' is autocast's choice of operations."""

    device: str = "cpu"
    precision: Literal["f32", "bf16"] = "f32"
    channels_last: bool = True

    def adopt(self, module: nn.Module) -> None:
        """Move the module's tensors to the device and into the layout. Values stay."""
        module.to(device=self.device, memory_format=self._layout)  # type: ignore[call-overload]

    def place(self, batch: Batch) -> tuple[Inputs, Tensor]:
        """The batch on the device: inputs float32 in the layout, labels int64."""
        inputs, labels = batch
        return tuple(self._placed(x) for x in inputs), labels.to(self.device, non_blocking=True)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context for the forward pass."""
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    def describe(self) -> dict[str, Any]:
        """What decides the last bits of a result, JSON-ready: the same numbers come out where all of this is the same."""
        return {
            "device": torch.cuda.get_device_name(self.device) if self.device.startswith("cuda") else "cpu",
            "precision": self.precision,
            "channels last": self.channels_last,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "instruction set": " ".join([torch.backends.cpu.get_cpu_capability(), *_instruction_sets()]),
        }

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def _placed(self, x: Tensor) -> Tensor:
        x = x.to(self.device, torch.float32, non_blocking=True)
        return x.contiguous(memory_format=self._layout) if x.dim() == 4 else x


def default_execution() -> Execution:
    """bf16 on a CUDA device, float32 on a CPU."""
    return Execution(device="cuda", precision="bf16") if torch.cuda.is_available() else Execution()


def candidate_executions(device: str) -> tuple[Execution, ...]:
    """What is worth measuring on a device. Without hardware for it, bf16 is emulated and never worth it."""
    half = device.startswith("cuda") or "avx512_bf16" in machine.cpu_flags() or "bf16" in machine.cpu_flags()
    executions = [Execution(device=device, channels_last=last) for last in (True, False)]
    return (*executions, Execution(device=device, precision="bf16")) if half else tuple(executions)


def fastest_execution(
    module: nn.Module,
    batch: Batch,
    candidates: Sequence[Execution],
    *,
    rounds: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Execution, dict[Execution, float]]:
    """The candidate with the most images/s, and the images/s of all, from the fastest of some forward and backward passes.

    The passes run on a copy of the module, in turn: a neighbour's load then falls on all candidates alike. The first round, in
    which kernels are chosen, does not count.
    """
    copies = [copy.deepcopy(module) for _ in candidates]
    seconds = dict.fromkeys(candidates, float("inf"))
    for number in range(1 + rounds):
        for execution, trial in zip(candidates, copies, strict=True):
            if number == 0:
                execution.adopt(trial)
                set_training(trial, "stored")
            taken = _one_pass(trial, batch, execution, clock)
            if number > 0:
                seconds[execution] = min(seconds[execution], taken)
    speeds = {execution: len(batch[1]) / taken for execution, taken in seconds.items()}
    return max(speeds, key=speeds.__getitem__), speeds


def _one_pass(module: nn.Module, batch: Batch, execution: Execution, clock: Callable[[], float]) -> float:
    start = clock()
    inputs, labels = execution.place(batch)
    with execution.autocast():
        logits = module(*inputs)
    cross_entropy(logits, soft_targets(labels, logits.shape[1])).backward()  # type: ignore[no-untyped-call]
    if execution.device.startswith("cuda"):
        torch.cuda.synchronize()
    module.zero_grad(set_to_none=True)
    return clock() - start


def _instruction_sets() -> list[str]:
    found = machine.describe()["instruction_sets"]
    return [str(name) for name in found] if isinstance(found, list) else []
