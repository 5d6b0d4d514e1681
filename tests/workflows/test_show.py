"""A batch as the network sees it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import warmstart as ws
from warmstart.errors import DataError
from warmstart.extraction.rendering import render
from warmstart.records import Preprocessing


def test_pixels_are_what_the_network_gets_and_the_window_is_drawn(shapes: Path) -> None:
    batch = ws.show(shapes, n=4, image_size_px=64, views="flip")
    assert batch.views == ("plain", "flip")
    assert batch.pixels.shape == (4, 2, 3, 64, 64)
    for path, (plain, flip) in zip(batch.paths, batch.pixels, strict=True):
        assert (plain == render(path, Preprocessing(size_px=64))).all()
        assert (flip == plain[:, :, ::-1]).all()
    assert all(0.5 < share < 0.8 for share in batch.share)
    assert "of it is seen" in batch._repr_html_()
    assert ws.show(shapes, n=4, image_size_px=64, seed=1).paths != batch.paths
    assert ws.show(shapes, n=2, image_size_px=64, resize="squash").share == (1.0, 1.0)


def test_views_that_are_learnt_from_and_pictures_in_memory(shapes: Path) -> None:
    pictures = [Image.new("RGB", (80, 60), (40 * i, 20, 90)) for i in range(4)]
    batch = ws.show(pictures, [0, 1, 0, 1], n=3, augment="standard", image_size_px=32)
    assert batch.views == ("plain", "standard-1", "standard-2", "standard-3")
    assert batch.pixels.dtype == np.uint8


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 2 pictures"):
        ws.show(tmp_path, image_size_px=32)
