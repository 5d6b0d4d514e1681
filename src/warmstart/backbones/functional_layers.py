"""Steps that the libraries write as function calls, as small modules: `+name` in a declaration.

B batch, C channels, H, W.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


class TransformInput(nn.Module):
    """From ImageNet's mean and deviation to 0.5 and 0.5, as torchvision's Inception networks do: (B, 3, H, W) → the same.

    The arithmetic is written in torchvision's order (scale, then shift), because a chain has to be equal to the bit.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Same shape, float32."""
        red = torch.unsqueeze(x[:, 0], 1) * (0.229 / 0.5) + (0.485 - 0.5) / 0.5
        green = torch.unsqueeze(x[:, 1], 1) * (0.224 / 0.5) + (0.456 - 0.5) / 0.5
        blue = torch.unsqueeze(x[:, 2], 1) * (0.225 / 0.5) + (0.406 - 0.5) / 0.5
        return torch.cat((red, green, blue), 1)


class SpatialMean(nn.Module):
    """Average over all positions: (B, C, H, W) → (B, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Float32."""
        return nn.functional.adaptive_avg_pool2d(x, (1, 1))


STEPS: Mapping[str, Callable[[], nn.Module]] = {
    "flatten": lambda: nn.Flatten(1),
    "relu": nn.ReLU,  # not in place: what stands before it may be a cut
    "spatial_mean": SpatialMean,
    "transform_input": TransformInput,
}
