"""A module of the user's as head: what it must be, which taps it reads, and how it is fitted on frozen features.

    features (N, D) → (x - mean) · scale → module → outputs (N, O)

Right of a cut it is trained by the one loop, and starts as what was fitted here. N examples, B batch, D features, O outputs.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from warmstart.backbones.operations import Document, Operations, written
from warmstart.errors import UsageError
from warmstart.heads.standardising import Array

Indices = NDArray[np.int64]
EXPECTED = "expected a module that takes float32 features (B, D) and gives float32 scores (B, {outputs}), before any softmax"

# AdamW with its usual decay (I. Loshchilov and F. Hutter, ICLR 2019), a rate that falls to 0 along a cosine (ICLR 2017). It moves every
# weight by about the rate, so an output of D standardised features by about D times that: the rate is 1 / D, so a step moves outputs
# alike whatever is read (G. Yang et al., "Tensor Programs V", 2022, §5 and table 8).
BATCH = 64
LARGEST_RATE = 0.01
WEIGHT_DECAY = 0.01
# How long it learns is what regularises it, from most to least. Steps, not epochs: of 24 pictures an epoch is one step.
STEPS = (100, 300, 1000)


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnHead:
    """A module on features that are seen as (x - ``mean``) · ``scale``, (D,) each."""

    module: nn.Module
    mean: Array
    scale: Array

    def __call__(self, X: Array) -> Array:
        """(N, D) → (N, O)."""
        return outputs(self.module, (X - self.mean) * self.scale)

    def written(self) -> tuple[Document, dict[str, Array]]:
        """Its operations and tensors, as plain data. Raises UsageError for what cannot be kept."""
        document, tensors = written(self.module.eval(), len(self.mean), name_of(self.module))
        return document, {name: tensor.numpy() for name, tensor in tensors.items()}


class Standardised(nn.Module):
    """float32 features (B, D) → (x - shift) · scale → module."""

    shift: Tensor
    scale: Tensor

    def __init__(self, module: nn.Module, shift: Array, scale: Array) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("shift", torch.from_numpy(shift.copy()))
        self.register_buffer("scale", torch.from_numpy(scale.copy()))

    def forward(self, features: Tensor) -> Any:
        """As the module."""
        return self.module((features - self.shift) * self.scale)


def name_of(module: nn.Module) -> str:
    """For messages."""
    return f"head {type(module).__name__}"


def made(module: nn.Module, width: int) -> nn.Module:
    """A copy on the CPU with every weight made, also of layers that wait for the number of features; always the same one."""
    copy = deepcopy(module).cpu().float()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        copy.eval()(torch.zeros(2, width))
    return copy


def fitting_taps(module: nn.Module, widths: Mapping[str, int], n_outputs: int) -> str:
    """The first set of taps whose ``widths`` (set → D) the module takes.

    A module that takes any width, as with nn.LazyLinear first, reads the set 'pooled' where there is one. Raises UsageError, before
    anything is computed, where it takes none of them, gives something else, or cannot be kept as plain data.
    """
    ordered = sorted(widths, key=lambda name: name != "pooled")
    refused: list[str] = []
    for name in ordered:
        try:
            copy = made(module, widths[name])
        except Exception as reason:  # it is the user's code
            refused.append(f"{name} ({widths[name]:,}): {(str(reason).splitlines() or [''])[0][:120]}")
            continue
        _require_head(copy, widths[name], n_outputs)
        return name
    raise UsageError(
        f"{name_of(module)} takes none of the features there are: {'; '.join(refused)}. {_expected(n_outputs)}. Choose taps with that "
        "many features, or begin with nn.LazyLinear(…), which takes any number"
    )


def fitted(
    module: nn.Module,
    features: Array,
    loss: Callable[[Tensor, Indices], Tensor],
    *,
    mean: Array,
    scale: Array,
    steps: int,
    seed: int,
) -> OwnHead:
    """A copy of the module after ``steps`` batches. ``loss``: of outputs (B, O) of these examples, their mean."""
    own = deepcopy(module)
    chance = torch.Generator().manual_seed(seed)
    # Fused: of a small head, a step of the ordinary one is mostly Python.
    optimizer = torch.optim.AdamW(
        own.parameters(), lr=min(1 / features.shape[1], LARGEST_RATE), weight_decay=WEIGHT_DECAY, fused=True
    )
    n = len(features)
    batch = min(BATCH, n)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    own.train()
    order = np.empty(0, np.int64)
    with torch.random.fork_rng(devices=[]), _one_thread():  # dropout draws from the one generator of the process
        torch.manual_seed(seed)
        for _ in range(steps):
            if len(order) < batch:
                order = np.concatenate([order, torch.randperm(n, generator=chance).numpy()])
            at, order = order[:batch], order[batch:]
            x = torch.from_numpy((features[at] - mean) * scale).float()
            optimizer.zero_grad(set_to_none=True)
            loss(own(x), at).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return OwnHead(module=own.eval(), mean=mean, scale=scale)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Batches so small gain nothing by a second thread, and lose much where something else runs; and sums do not depend on how many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def outputs(module: nn.Module, x: Array) -> Array:
    """(N, D) → (N, O)."""
    with torch.inference_mode():
        found: Array = module(torch.from_numpy(np.ascontiguousarray(x, np.float32))).numpy()
    return found


def _require_head(module: nn.Module, width: int, n_outputs: int) -> None:
    """Raises UsageError for what cannot be a head on ``width`` features, or cannot be kept."""
    name, expected = name_of(module), _expected(n_outputs)
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(5, width, generator=chance)
    given = x.clone()
    found: dict[bool, Any] = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for training in (True, False):
            try:
                found[training] = deepcopy(module).train(training)(given)
            except Exception as reason:
                why = (str(reason).splitlines() or [""])[0][:200]
                raise UsageError(f"{name} fails in {'train' if training else 'eval'} mode ({why}): {expected}") from reason
        if not torch.equal(given, x):
            raise UsageError(f"{name} changes its input in place, which others read too: let its first layer work on a copy")
        for training, out in found.items():
            shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            if shape != (5, n_outputs) or out.dtype != torch.float32:
                mode = "train" if training else "eval"
                raise UsageError(
                    f"{name} gives {shape} of {getattr(out, 'dtype', 'no numbers')} for five pictures in {mode} mode: {expected}"
                )
        if (
            n_outputs > 1
            and bool((found[False] >= 0).all())
            and torch.allclose(found[False].sum(dim=1), torch.ones(5), atol=1e-4)
        ):
            raise UsageError(f"{name} gives probabilities: {expected}. Leave the softmax at its end out")
        alone = module.eval()(x[:1])
        if not torch.allclose(alone, found[False][:1], rtol=1e-3, atol=1e-4):
            raise UsageError(
                f"{name} says something else of a picture when others are asked for with it: each must be looked at alone"
            )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise UsageError(f"{name} has nothing to learn: expected a module with parameters that are not frozen")
    document, tensors = written(module, width, name)
    kept = Operations(document, tensors)
    for some in (x, x[:1]):
        try:
            with torch.no_grad():
                same = torch.allclose(kept(some), module(some), rtol=1e-4, atol=1e-5)
        except RuntimeError:
            same = False
        if not same:
            raise UsageError(
                f"{name} cannot be kept as plain data: its operations, as torch.export lists them, compute something else for "
                f"{len(some)} picture{'s' * (len(some) > 1)}. It must do the same for batches of every size and draw nothing in eval mode"
            )


def _expected(n_outputs: int) -> str:
    return EXPECTED.format(outputs=n_outputs)
