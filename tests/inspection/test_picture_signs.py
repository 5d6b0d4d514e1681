from pathlib import Path

import numpy as np
from PIL import Image

from warmstart.tasks.classify.evidence.pictures import picture_signs, turned
from warmstart.tasks.classify.evidence.probing import cross_validated


def test_sizes_grey_and_square_are_counted(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(4):
        colour = Image.fromarray(random.integers(0, 256, (100, 100 + 40 * (i % 2), 3), dtype=np.uint8))
        (colour if i else colour.convert("L").convert("RGB")).save(tmp_path / f"{i}.png")
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    signs = picture_signs(paths, size_px=64, resize="crop", seed=0)
    assert (signs.looked_at, signs.shorter_side_px, signs.needed_px) == (4, (100, 100, 100), 74)
    assert (signs.enlarged, signs.square, signs.grey) == (0, 0.5, 0.25)
    assert picture_signs(paths, size_px=224, resize="squash", seed=0).enlarged == 1


def test_a_turn_that_changes_no_feature_changes_nothing_and_one_that_mirrors_the_classes_changes_all() -> None:
    random = np.random.default_rng(0)
    y = (np.arange(100) % 2).astype(np.int64)
    X = (random.normal(size=(100, 3)) + 4 * (2 * y - 1)[:, None]).astype(np.float32)
    probe, sample = cross_validated(X, y, n_classes=2, seed=0), np.arange(0, 100, 2) + (np.arange(50) % 2)
    same = turned("rot90", probe, sample, y[sample], X[sample])
    assert (same.change, same.accuracy, same.change_ci95) == (0, same.plain_accuracy, (0, 0))
    opposite = turned("rot90", probe, sample, y[sample], -X[sample])
    assert opposite.change < -0.9
    assert opposite.change_ci95[1] < -0.8
