"""Pictures with any of three shapes, or none of them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

NAMES = ("circle", "square", "stripes")


def draw_labels(folder: Path, n: int = 90) -> Path:
    """folder/labels.csv with the columns path, labels; '-' where a picture has none."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "labels"])
        for i in range(n):
            random = np.random.default_rng([5, i])
            picture = Image.fromarray(random.integers(0, 90, (96, 96, 3), dtype=np.uint8))
            pen = ImageDraw.Draw(picture)
            own = [name for name in NAMES if random.random() < 0.45]
            places = random.permutation(4)
            for name, place in zip(own, places, strict=False):
                left, top = 48 * (int(place) % 2) + 4, 48 * (int(place) // 2) + 4
                colour = tuple(int(level) for level in random.integers(140, 256, size=3))
                if name == "circle":
                    pen.ellipse((left, top, left + 38, top + 38), fill=colour)
                elif name == "square":
                    pen.rectangle((left, top, left + 38, top + 38), fill=colour)
                else:
                    for x in range(left, left + 38, 8):
                        pen.rectangle((x, top, x + 3, top + 38), fill=colour)
            picture.save(folder / f"{i}.png")
            table.writerow([f"{i}.png", ";".join(own) or "-"])
    return folder / "labels.csv"


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_labels(tmp_path_factory.mktemp("shapes"))
