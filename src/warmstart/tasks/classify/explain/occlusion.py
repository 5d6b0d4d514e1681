"""Occlusion: how much of the evidence for a class goes when a window of the picture is left out (M. Zeiler, R. Fergus, ECCV 2014, §4).

They put a grey square on the pixels. A grey square is something too, and the network answers to its edges; and no neighbour of it is
left as it was. Here a window is left out of the *map of a stage*:

    at the stage           positions in the window become the mean of those outside it, channel by channel
    right of it            is computed again from that
    every tap, also left   is pooled over the positions outside the window alone

so at the last stage, the default, nothing but pooling is done again, and what is measured is what the window brought into the
features that the head reads. It needs no gradient and works for every head. The value of a position is the mean loss of evidence
(`AttributionModel.evidence`) over the windows that cover it. How it compares with pixels, Ablation-CAM, RISE and Grad-CAM: docs/explain.md.

V views, M windows, C channels, H, W, D features over all taps.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from warmstart.data.views import apply_view
from warmstart.tasks.classify.explain.attribution_model import AttributionModel, ForwardPass
from warmstart.tasks.classify.explain.heat_map import HeatMap, signed

METHOD = "occlusion"

# Side of a window as a share of the map's: 2 of 7 positions, the last stage of most networks at 224 px. With 1, 2 and 3 of them both
# maps of composites lay on their own halves in 93, 93 and 94 of 100 (docs/explain.md): the finer ones show more, 1 alone is noisy.
WINDOW = 2 / 7
# Windows to a side at most, or early stages, right of which lies the whole network, would take minutes.
STEPS = 14
WINDOWS_AT_ONCE = 16  # 32 channels of 112 × 112: 26 MB


def occlusion(subject: AttributionModel, seen: ForwardPass, label: int, layer: str, *, window: float = WINDOW) -> HeatMap:
    """What every window of a stage's map, or of the pixels, is worth to the class. ``window``: its side as a share of the map's."""
    height, width = seen.maps[layer].shape[2:]
    left_out = windows(height, width, window)  # (M, H, W)
    whole = subject.evidence(seen.rows.detach().numpy().mean(axis=0, keepdims=True), label)
    loss = whole - subject.evidence(rows_without(subject, seen, layer, left_out), label)  # (M,)
    covered = left_out.sum(axis=0)
    return signed(METHOD, layer, label, np.tensordot(loss, left_out, axes=1) / covered)


def default_layer(subject: AttributionModel, seen: ForwardPass) -> str:
    """The last stage with positions; 'pixels' in a network whose stages are not known."""
    return subject.layers(seen.maps)[-1]


def windows(height: int, width: int, window: float = WINDOW) -> np.ndarray:
    """bool (M, H, W): windows at equal steps that cover every position, each leaving at least one out."""
    rows, columns = _spans(height, window), _spans(width, window)
    return np.stack([row[:, None] & column[None, :] for row in rows for column in columns])


def rows_without(subject: AttributionModel, seen: ForwardPass, layer: str, left_out: np.ndarray) -> np.ndarray:
    """float32 (M, D): the rows, mean over views, of the picture with each window (M, H, W) of the stage's map left out."""
    total = np.zeros((len(left_out), seen.rows.shape[1]), np.float32)
    with torch.inference_mode():
        for v, view in enumerate(subject.views):
            kept = torch.from_numpy(1 - apply_view(left_out.astype(np.float32), view))[:, None]  # (M, 1, H, W)
            maps = {name: x[v : v + 1].detach() for name, x in seen.maps.items()}
            parts = [_rows_of_view(subject, maps, layer, part) for part in torch.split(kept, WINDOWS_AT_ONCE)]
            total += torch.cat(parts).numpy()
    return total / np.float32(len(subject.views))


def _rows_of_view(subject: AttributionModel, maps: dict[str, Tensor], layer: str, kept: Tensor) -> Tensor:
    """(M, D). ``maps``: stage → (1, C, H, W); ``kept`` (M, 1, H, W), 1 where a position of ``layer`` stays, 0 where not."""
    network = subject.network
    names = ("pixels", *network.stage_names)
    at = names.index(layer)
    x = maps["pixels"]
    taps: dict[str, Tensor] = {}
    for position, name in enumerate(names):
        if name == "pooled":
            x = _filled(x, kept)
            if "max" in network.tap_names:
                taps["max"] = _max_over(x, kept)
        if position <= at and name in maps:
            x = maps[name]  # computed before
        elif position > 0:
            x = network.stages[position - 1](x)
        if name == "pooled":
            taps[name] = x
        elif name in network.tap_names:
            taps[name] = _mean_and_deviation_over(x, kept)
        if position == at:
            x = _filled(x, kept)
    if "max" in network.tap_names and "max" not in taps:
        taps["max"] = _max_over(x, kept)
    return torch.cat([taps[name] for name in network.tap_names], dim=1)


def _weights(kept: Tensor, x: Tensor) -> Tensor:
    """(M, 1, H, W) of the map ``x``: the share of each position that is kept."""
    height, width = x.shape[2:]
    # On a finer map every position has the share of the coarser one's that it lies in; on a coarser one, its part of each.
    return adaptive_avg_pool2d(kept, (height, width))


def _filled(x: Tensor, kept: Tensor) -> Tensor:
    weights = _weights(kept, x)
    mean = (x * weights).sum(dim=(2, 3), keepdim=True) / weights.sum(dim=(2, 3), keepdim=True)
    return x * weights + mean * (1 - weights)


def _mean_and_deviation_over(x: Tensor, kept: Tensor) -> Tensor:
    """As `backbones.taps.mean_and_deviation`, over what is kept: (M, 2C)."""
    weights = _weights(kept, x)
    shares = weights / weights.sum(dim=(2, 3), keepdim=True)
    mean = (x * shares).sum(dim=(2, 3), keepdim=True)
    variance = ((x - mean).square() * shares).sum(dim=(2, 3))
    return torch.cat([mean.flatten(1), (variance + 1e-8).sqrt()], dim=1)


def _max_over(x: Tensor, kept: Tensor) -> Tensor:
    return x.masked_fill(_weights(kept, x) < 0.5, -torch.inf).amax(dim=(2, 3))


def _spans(side: int, window: float) -> list[np.ndarray]:
    """bool (side,) each."""
    size = min(max(1, round(side * window)), max(1, side - 1))
    count = max(min(STEPS, side - size + 1), -(-side // size))  # fewer would leave gaps
    starts = np.unique(np.linspace(0, side - size, count).round().astype(int))
    positions = np.arange(side)
    return [(positions >= start) & (positions < start + size) for start in starts]
