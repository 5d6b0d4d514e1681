"""Pictures with none, some or many bright dots: folders called none, some, many, whose order their names do not say."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

ORDER = ("none", "some", "many")


def draw_grades(folder: Path, n: int = 48) -> Path:
    """folder/<value>/<number>.png."""
    for i in range(n):
        random = np.random.default_rng([7, i])
        picture = Image.fromarray(random.integers(0, 60, (48, 48, 3), dtype=np.uint8))
        pen = ImageDraw.Draw(picture)
        for _ in range((0, int(random.integers(1, 4)), int(random.integers(6, 10)))[i % 3]):
            x, y = (float(v) for v in random.uniform(4, 44, size=2))
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(255, 230, 120))
        (folder / ORDER[i % 3]).mkdir(parents=True, exist_ok=True)
        picture.save(folder / ORDER[i % 3] / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def grades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_grades(tmp_path_factory.mktemp("grades"))
