"""How far the target's statistics are from the source's, at every stage, without a single source picture.

A batch norm keeps mean and variance of its input channels over the source's pictures. The same is measured on a few target
pictures, and the distance of a layer is that of two diagonal Gaussians in units of the source's deviation:

    root of the mean over channels of (μt - μs)² / σs² + (σt / σs - 1)²

which is the Fréchet (2-Wasserstein) distance of the channels seen as normal variables, standardised (D. Dowson, B. Landau, J.
Multivariate Analysis 1982). 0: the same statistics. 1: about as far as a constant picture, whose channels have no spread.
A stage's distance is the mean over its batch norms. What was measured: docs/advice.md.

B batch, C channels, H, W.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from warmstart.backbones.chain import Backbone
from warmstart.backbones.taps import tapped

# 24 pictures give the distance of 96 within 5 %: each brings thousands of positions. 16 are half as long to wait for.
SAMPLE = 16
BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Shift:
    """The distance by stage and its mean over stages; 0 the same, about 1 a constant picture."""

    stages: dict[str, float]
    mean: float
    pictures: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def shift(backbone: Backbone, pixels: np.ndarray) -> Shift | None:
    """Of pictures uint8 (N, 3, S, S); None for a network without batch norms. The network is left as it was."""
    stage_of: dict[nn.Module, str] = {}
    for stage in backbone.stages:
        for link in backbone.links[stage.start : stage.stop]:
            stage_of |= {part: stage.name for part in link.module.modules() if _keeps_statistics(part)}
    if not stage_of:
        return None
    sums: dict[nn.Module, list[Tensor]] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0]
        # Per batch in the map's own precision, which is what takes time; over batches in float64, where digits would cancel.
        variance, mean = (value.double() for value in torch.var_mean(x, dim=(0, *range(2, x.dim())), correction=0))
        n = x.numel() // x.shape[1]
        seen = [torch.full_like(mean, n), n * mean, n * (variance + mean * mean)]
        sums[layer] = [a + b for a, b in zip(sums[layer], seen, strict=True)] if layer in sums else seen

    network = tapped(backbone)
    handles = [layer.register_forward_pre_hook(note) for layer in stage_of]
    try:
        with torch.inference_mode():
            for start in range(0, len(pixels), BATCH):
                network(torch.from_numpy(pixels[start : start + BATCH]))
    finally:
        for handle in handles:
            handle.remove()
    by_stage: dict[str, list[float]] = {}
    for layer, (n, total, squares) in sums.items():
        mean = total / n
        deviation = (squares / n - mean * mean).clamp_min(0).sqrt()
        by_stage.setdefault(stage_of[layer], []).append(_distance(layer, mean, deviation))
    stages = {stage.name: float(np.mean(by_stage[stage.name])) for stage in backbone.stages if stage.name in by_stage}
    return Shift(stages=stages, mean=float(np.mean(list(stages.values()))), pictures=len(pixels))


def _keeps_statistics(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm) and layer.running_mean is not None


def _distance(layer: Any, mean: Tensor, deviation: Tensor) -> float:
    # The layer's own ε keeps channels that were dead on the source from counting for thousands.
    source_deviation = (layer.running_var.double() + layer.eps).sqrt()
    moved = (mean - layer.running_mean.double()) / source_deviation
    stretched = deviation / source_deviation - 1
    return float((moved.square() + stretched.square()).mean().sqrt())
