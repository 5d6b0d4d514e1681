"""On which device, in which precision and memory layout the suffix runs.

Channels last is the layout that CPU and GPU convolutions want. Half precision pays on a GPU; on a CPU with bf16
instructions it makes dense convolutions faster and the backward pass of depthwise ones slower. The choice hangs on the kind of
device alone and is not measured in each run: a measurement that once turns out otherwise would change the numbers. What was
left out by it, `benchmarks/finetune.py` tells for the machine it runs on.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from warmstart import machine
from warmstart.training.batches import Batch, Inputs
from warmstart.training.objective import mapped


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how. Weights are float32 throughout; 'bf16' is autocast's choice of operations."""

    device: str = "cpu"
    precision: Literal["f32", "bf16"] = "f32"
    channels_last: bool = True

    def adopt(self, module: nn.Module) -> None:
        """Move the module's tensors to the device and into the layout. Values stay."""
        module.to(device=self.device, memory_format=self._layout)  # type: ignore[call-overload]

    def place(self, batch: Batch) -> Batch:
        """The batch on the device: inputs float32 in the layout, tensors of the targets as they are."""
        inputs, collated = batch
        return self.inputs(inputs), mapped(collated, lambda x: x.to(self.device, non_blocking=True))

    def inputs(self, inputs: Inputs) -> Inputs:
        """On the device, float32 in the layout."""
        return tuple(self._placed(x) for x in inputs)

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


def _instruction_sets() -> list[str]:
    found = machine.describe()["instruction_sets"]
    return [str(name) for name in found] if isinstance(found, list) else []
