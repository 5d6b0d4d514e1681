"""Copies lie over one another, other pictures do not, however much they look alike."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from photograph import photograph
from warmstart.inspection.registration import SIDE_PX, agreement


def saved(picture: Image.Image, **settings: object) -> Image.Image:
    content = BytesIO()
    picture.save(content, "JPEG", **settings)
    content.seek(0)
    return Image.open(content).convert("RGB")


def cropped(picture: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    w, h = picture.size
    return picture.crop((round(left * w), round(top * h), round((1 - right) * w), round((1 - bottom) * h)))


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "untouched": lambda p: p,
    "saved at quality 30": lambda p: saved(p, quality=30),
    "half the size": lambda p: p.resize((p.width // 2, p.height // 2)),
    "one and a half times the size": lambda p: p.resize((p.width * 3 // 2, p.height * 3 // 2)),
    "8 % off the left and the top": lambda p: saved(cropped(p, 0.08, 0.08, 0, 0), quality=90),
    "5 % off every side": lambda p: cropped(p, 0.05, 0.05, 0.05, 0.05),
    "10 % off the bottom": lambda p: cropped(p, 0, 0, 0, 0.10),
}


def small(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX))


@pytest.mark.parametrize("name", ALTERED)
def test_a_copy_is_known_in_either_order(name: str) -> None:
    originals = [photograph(seed) for seed in range(6)]
    a, b = np.stack([small(p) for p in originals]), np.stack([small(ALTERED[name](p)) for p in originals])
    assert agreement(a, b).same.all()
    assert agreement(b, a).same.all()


def test_another_scene_another_colour_and_a_mirror_image_are_no_copies() -> None:
    scenes = [photograph(seed) for seed in range(6)]
    thumbnails = np.stack([small(p) for p in scenes])
    assert not agreement(thumbnails, np.roll(thumbnails, 1, axis=0)).same.any()
    assert not agreement(thumbnails, np.ascontiguousarray(thumbnails[..., [2, 0, 1]])).same.any()
    assert not agreement(thumbnails, np.stack([small(ImageOps.mirror(p)) for p in scenes])).same.any()


def test_pictures_without_detail_agree_with_nothing() -> None:
    blank = np.full((2, SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    result = agreement(blank, blank)
    assert np.isfinite(result.residual).all()
    assert not result.same.any()  # two white pages may be two pages


def test_a_pair_is_judged_the_same_alone_and_among_others() -> None:
    a = np.stack([small(photograph(seed)) for seed in range(5)])
    b = np.stack([small(ALTERED["5 % off every side"](photograph(seed))) for seed in range(5)])
    together, alone = agreement(a, b), agreement(a[2:3], b[2:3])
    np.testing.assert_allclose(together.residual[2], alone.residual[0], atol=1e-4)
    np.testing.assert_allclose(together.detail[2], alone.detail[0], atol=1e-4)
