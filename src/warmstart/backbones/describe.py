"""What a cut costs: a row for each cut with the shape there and what lies left and right of it.

1 FLOP is one multiply-add of a convolution or linear layer, the convention of He et al. (2016) and of most tables since;
norms, activations and pooling are not counted.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from warmstart.backbones.chain import Backbone, Link, run_on_meta


@dataclass(frozen=True, kw_only=True)
class CutRow:
    """One cut. Parameters are counted without the classifier."""

    cut: str
    alias: str
    shape: tuple[int, ...]  # of one picture's activations: (C, H, W), or (C,) at pooled
    params_left: int
    params_right: int
    gflops_left: float  # for one picture, from the pixels to here


def describe(backbone: Backbone, size_px: int | None = None) -> list[CutRow]:
    """Rows for all cuts, left to right; ``size_px`` None: the backbone's own. No weight is touched, so it takes no time.

    Raises BackboneError for a size at which the network does not work.
    """
    size_px = size_px or backbone.spec.input_size_px
    shapes, right = backbone.shapes(size_px), parameters_right(backbone)
    total = right["pixels"]
    x = torch.empty(1, 3, size_px, size_px, device="meta")
    flops = 0
    rows = [CutRow(cut="pixels", alias="", shape=shapes["pixels"], params_left=0, params_right=total, gflops_left=0.0)]
    for stage in backbone.stages:
        for link in backbone.links[stage.start : stage.stop]:
            x, added = _run_counting(link.module, x)
            flops += added
        rows.append(
            CutRow(
                cut=stage.name,
                alias=stage.alias,
                shape=shapes[stage.name],
                params_left=total - right[stage.name],
                params_right=right[stage.name],
                gflops_left=flops / 1e9,
            )
        )
    return rows


def parameters_right(backbone: Backbone) -> dict[str, int]:
    """Cut → parameters of the links right of it, left to right; the classifier's are not counted."""
    left = list(itertools.accumulate((_params(link) for link in backbone.links), initial=0))
    stops = {"pixels": 0} | {stage.name: stage.stop for stage in backbone.stages}
    return {cut: left[-1] - left[stop] for cut, stop in stops.items()}


def _params(link: Link) -> int:
    return sum(parameter.numel() for parameter in link.module.parameters())


def _run_counting(module: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    """(output, multiply-adds) of one link for one picture."""
    counts: list[int] = []

    def count(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            # Each output value sums over one kernel position per input channel of its group.
            counts.append(output.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1])
        elif isinstance(layer, nn.Linear):
            counts.append(output.numel() * layer.in_features)

    handles = [layer.register_forward_hook(count) for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    try:
        return run_on_meta(module, x), sum(counts)
    finally:
        for handle in handles:
            handle.remove()
