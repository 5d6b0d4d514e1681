"""A toy prefix: two convolutions, depthwise among them, and two taps."""

import numpy as np
import pytest
import torch
from torch import nn

from warmstart.engines.build import Prefix


class ToyPrefix(nn.Module):
    """uint8 (B, 3, S, S) → float32 (B, 8 + 16)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU6())
        self.stage = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1), nn.Hardswish())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = pixels.float() / 127.5 - 1
        stem = self.stem(x)
        return torch.cat([stem.mean((2, 3)), self.stage(stem).mean((2, 3))], dim=1)


@pytest.fixture
def toy_module() -> nn.Module:
    return ToyPrefix().eval()


@pytest.fixture
def toy_prefix(toy_module: nn.Module) -> Prefix:
    return Prefix(name="toy", key="70" * 32, size_px=32, layout=(("stem", 8), ("stage1", 16)), module=lambda: toy_module)


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """uint8 (16, 3, 32, 32): smooth pictures whose channels differ, as those of photographs do."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:32, 0:32] / 32
    waves = [
        127 + 80 * np.sin(2 * np.pi * (rng.uniform(0.5, 3) * x + rng.uniform(0.5, 3) * y + rng.uniform())) + 40 * channel
        for _ in range(16)
        for channel in (-1, 0, 1)
    ]
    return np.clip(np.array(waves).reshape(16, 3, 32, 32), 0, 255).astype(np.uint8)
