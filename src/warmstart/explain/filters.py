"""The filters of the first convolution, which see colours and can therefore be shown as colours.

F filters, H, W.
"""

from dataclasses import dataclass

import numpy as np
from torch import nn

from warmstart.backbones.chain import Backbone
from warmstart.errors import BackboneError


@dataclass(frozen=True, kw_only=True)
class Filters:
    """The weights of the first convolution, as they are."""

    backbone: str
    path: str  # of the layer, in the library's words
    weights: np.ndarray  # float32 (F, 3, H, W), on normalised red, green, blue

    def tiles(self) -> np.ndarray:
        """uint8 (F, H, W, 3): mid-grey is 0; each filter fills the range by its largest weight, so strengths don't compare."""
        largest = np.abs(self.weights).max(axis=(1, 2, 3), keepdims=True)
        scaled = self.weights / np.maximum(largest, np.finfo(np.float32).tiny)  # -1 … 1
        tiles: np.ndarray = np.round(127.5 + 127.5 * scaled).astype(np.uint8).transpose(0, 2, 3, 1)
        return tiles


def first_filters(backbone: Backbone) -> Filters:
    """Of the first convolution on the way from the pixels. Raises BackboneError when there is none that sees colours."""
    for link in backbone.links:
        for name, layer in link.module.named_modules():
            if isinstance(layer, nn.Conv2d) and layer.in_channels == 3 and layer.groups == 1:
                return Filters(
                    backbone=backbone.spec.name,
                    path=f"{link.name}.{name}" if name else link.name,
                    weights=layer.weight.detach().numpy().copy(),
                )
    raise BackboneError(f"backbone {backbone.spec.name!r} has no convolution of red, green and blue to show")
