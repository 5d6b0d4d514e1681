"""What is explained: a network with its taps and the head that reads some of them, and one picture gone through them.

    pixels → stages, whose maps are kept → taps → mean over views → head → temperature → log-odds of a class

B batch, V views, C channels, H, W, D features over all taps, K classes.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from warmstart.backbones.chain import Backbone
from warmstart.backbones.taps import TappedPrefix, tapped
from warmstart.data.views import apply_view
from warmstart.errors import UsageError
from warmstart.extraction.features import columns
from warmstart.tasks.classify.heads.knn import KnnHead
from warmstart.tasks.classify.heads.protocol import Head


@dataclass(frozen=True, kw_only=True)
class AttributionModel:
    """A classifier taken apart. Nothing in it is trained or changed."""

    backbone: Backbone
    head: Head
    layout: tuple[tuple[str, int], ...]  # (tap, width) of the network's rows
    taps: tuple[str, ...]  # those that the head reads
    temperature: float
    views: tuple[str, ...]  # features are averaged over these

    @cached_property
    def network(self) -> TappedPrefix:
        """uint8 (B, 3, S, S) → float32 (B, D). Its weights ask for no gradient: only maps are derived by."""
        return tapped(copy.deepcopy(self.backbone)).requires_grad_(False)

    @property
    def quantity(self) -> str:
        """What is explained: `evidence` in words."""
        if isinstance(self.head, KnnHead):
            return f"cosine to the {self.head.neighbours} nearest of the class minus that to the nearest others"
        return "log-odds of the class"

    def evidence(self, rows: np.ndarray, label: int) -> np.ndarray:
        """Float (B,): how much speaks for a class, for rows (B, D): log p - log (1 - p), p the model's own probability.

        Log-odds and not the probability, because a sure model's probability does not move; and not the logit, because what
        raises all logits alike explains no class (weight of evidence: M. Robnik-Šikonja, I. Kononenko, IEEE TKDE 2008). Head 'knn'
        counts votes, which leaving out a window seldom changes: its `margin` stands in.
        """
        features = columns(rows, self.layout, self.taps)
        if isinstance(self.head, KnnHead):
            return self.head.margin(features, label)
        logits = self.head.logits(features).astype(np.float64) / self.temperature
        others = np.delete(logits, label, axis=1)
        highest = others.max(axis=1)
        odds: np.ndarray = logits[:, label] - highest - np.log(np.exp(others - highest[:, None]).sum(axis=1))
        return odds

    def layers(self, maps: Mapping[str, Tensor]) -> tuple[str, ...]:
        """Where a map of the picture can be made: 'pixels' and the stages with more than one position."""
        return tuple(name for name, x in maps.items() if x.shape[2] * x.shape[3] > 1)

    def layer(self, name: str, maps: Mapping[str, Tensor]) -> str:
        """The stage of this name or library path. Raises UnknownNameError, or UsageError for one without positions."""
        stage = self.backbone.resolve_cut(name)
        if stage not in self.layers(maps):
            raise UsageError(
                f"at {name!r} there are no positions to map, only one value a channel; "
                f"choose among {', '.join(self.layers(maps))}"
            )
        return stage


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """One picture gone through the network, in V views."""

    maps: Mapping[str, Tensor]  # 'pixels' (normalised) and stages → float32 (V, C, H, W), from left to right
    rows: Tensor  # (V, D)


def look(subject: AttributionModel, pixels: np.ndarray, *, gradients: bool = False) -> ForwardPass:
    """Send a picture, uint8 (3, S, S), through the network and keep what every stage says.

    With ``gradients`` maps and rows are parts of one graph, and derivatives by the maps can be taken.
    """
    network = subject.network
    maps: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        if name == "pixels":
            output.requires_grad_(gradients)  # so that everything right of it has a gradient, and no weight needs one
        if output.dim() == 4:
            maps[name] = output

    modules = [("pixels", network.normalise), *zip(network.stage_names, network.stages, strict=True)]
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: keep(name, output)) for name, module in modules
    ]
    views = np.stack([apply_view(pixels, view) for view in subject.views])
    try:
        with torch.set_grad_enabled(gradients):
            rows = network(torch.from_numpy(views))
    finally:
        for handle in handles:
            handle.remove()
    return ForwardPass(maps=maps, rows=rows)


def column_indices(layout: Sequence[tuple[str, int]], taps: Sequence[str]) -> Tensor:
    """int64: where the columns of these taps stand among those of all, in the order of ``taps``."""
    at, spans = 0, {}
    for tap, width in layout:
        spans[tap] = torch.arange(at, at + width)
        at += width
    return torch.cat([spans[tap] for tap in taps])
