"""A heat-map: where in a picture the evidence for one class lies."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """Evidence for one class over the network's input. H, W: the positions of the stage it was made at."""

    method: str  # 'occlusion', 'grad-cam'
    layer: str  # canonical name of the stage
    label: int  # of the class explained
    values: np.ndarray  # float32 (H, W), ≥ 0; all 0 where nothing speaks for the class
    against: np.ndarray  # float32 (H, W), ≥ 0: what speaks against it, in the same units


def signed(method: str, layer: str, label: int, values: np.ndarray) -> HeatMap:
    """The two sides of signed evidence (H, W)."""
    values = np.asarray(values, np.float32)
    return HeatMap(method=method, layer=layer, label=label, values=np.maximum(values, 0), against=np.maximum(-values, 0))
