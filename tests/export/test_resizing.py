"""The resize of the graph is Pillow's."""

import numpy as np
import pytest
import torch
from PIL import Image

from warmstart.data.views import RESIZE_MODES, resize
from warmstart.export.resizing import Resize


@pytest.mark.parametrize("mode", RESIZE_MODES)
def test_the_graph_resizes_as_pillow_does(mode: str) -> None:
    random = np.random.default_rng(0)
    sizes = [(3, 3), (1, 50), (64, 64), (300, 20), (20, 300), *(tuple(random.integers(20, 400, 2)) for _ in range(8))]
    for width, height in sizes:
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = resize(Image.fromarray(pixels), size_px=64, mode=mode).astype(int)
        found = Resize(64, mode)(torch.from_numpy(pixels[None]))[0].numpy()
        difference = np.abs(found - expected)
        assert difference.max() <= 1, (mode, width, height)
        assert (difference > 0).mean() < 1e-3, (mode, width, height)
