"""What the channels of a stage say about a picture, the strongest first.

C channels, H, W.
"""

from dataclasses import dataclass

import numpy as np

from warmstart.data.views import undo_view
from warmstart.tasks.classify.explain.attribution_model import AttributionModel, ForwardPass


@dataclass(frozen=True, kw_only=True)
class FeatureMaps:
    """The activations of one stage for one picture, of the plain view."""

    layer: str
    activations: np.ndarray  # float32 (C, H, W), in the network's own order
    strongest: np.ndarray  # int64 (C,): channels by mean absolute activation, falling

    def top(self, count: int) -> np.ndarray:
        """float32 (count, H, W): those of the strongest channels."""
        maps: np.ndarray = self.activations[self.strongest[:count]]
        return maps


def feature_maps(subject: AttributionModel, seen: ForwardPass, layer: str) -> FeatureMaps:
    """The maps of a stage, equal to the bit to what the network computes there."""
    view = subject.views[0]  # 'plain' in every policy
    activations = undo_view(seen.maps[layer][0].detach().numpy(), view)
    strength = np.abs(activations).mean(axis=(1, 2))
    return FeatureMaps(layer=layer, activations=activations, strongest=np.argsort(-strength, kind="stable"))
