"""Pictures with a number: how many bright dots there are, and how wide they are."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw


def draw_counts(folder: Path, n: int = 60) -> Path:
    """folder/counts.csv with the columns path, dots, size."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "counts.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "dots", "size"])
        for i in range(n):
            random = np.random.default_rng([3, i])
            picture = Image.fromarray(random.integers(0, 60, (96, 96, 3), dtype=np.uint8))
            dots, radius = int(random.integers(1, 9)), float(random.uniform(3, 9))
            pen = ImageDraw.Draw(picture)
            for _ in range(dots):
                x, y = (float(v) for v in random.uniform(10, 86, size=2))
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 230, 120))
            picture.save(folder / f"{i}.png")
            table.writerow([f"{i}.png", dots, f"{radius:.3f}"])
    return folder / "counts.csv"


@pytest.fixture(scope="session")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_counts(tmp_path_factory.mktemp("counts"))
