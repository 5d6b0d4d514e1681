import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo() -> Image.Image:
    """A smooth 96 × 64 picture that is different in each corner: what JPEG keeps and what a wrong turn shows."""
    y, x = np.mgrid[0:64, 0:96].astype(np.float64)
    red, green = 255 * x / 95, 255 * y / 63
    return Image.fromarray(np.stack([red, green, 255 - (red + green) / 2], axis=2).astype(np.uint8))


@pytest.fixture
def draw(tmp_path):
    """draw('cat/1.png') puts a small picture there; each has other pixels."""
    count = 0

    def draw_one(name: str) -> Path:
        nonlocal count
        count += 1
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (count % 256, count // 256, 7)).save(path, format="PNG")
        return path

    return draw_one


@pytest.fixture
def unprivileged():
    """A folder in which permissions count: root may read everything, so for the length of a test we are not root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions work differently here")
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    for path in folder.rglob("*"):
        path.chmod(0o700)
    shutil.rmtree(folder)
