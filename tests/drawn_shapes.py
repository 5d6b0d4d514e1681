"""Two dozen drawn pictures in three classes, for every test that needs a data set and not a particular one."""

import os
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "stripes")


def draw_shape(class_name: str, seed: int) -> Image.Image:
    """A bright shape on a noisy dark ground, 64 to 96 px; equal arguments give equal pictures."""
    random = np.random.default_rng([CLASSES.index(class_name), seed])
    width, height = (int(side) for side in random.integers(64, 97, size=2))
    ground = Image.fromarray(random.integers(0, 90, (height, width, 3), dtype=np.uint8))
    pen = ImageDraw.Draw(ground)
    colour = tuple(int(level) for level in random.integers(120, 256, size=3))
    left, top = (int(offset) for offset in random.integers(4, 20, size=2))
    box = (left, top, left + 36, top + 36)
    if class_name == "circle":
        pen.ellipse(box, fill=colour)
    elif class_name == "square":
        pen.rectangle(box, fill=colour)
    else:
        for x in range(left, left + 40, 8):
            pen.rectangle((x, top, x + 3, top + 36), fill=colour)
    return ground


def draw_folder(folder: Path, per_class: int = 8, *, first_seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    """folder/<class>/<number>.jpg and .png in turn."""
    for class_name in classes:
        (folder / class_name).mkdir(parents=True, exist_ok=True)
        for seed in range(first_seed, first_seed + per_class):
            suffix = ".jpg" if seed % 2 else ".png"
            draw_shape(class_name, seed).save(folder / class_name / f"{seed}{suffix}")
    set_back(folder)
    return folder


def set_back(folder: Path) -> None:
    """As if written an hour ago: the index of files does not trust a file that changed within its clock's step of being read.

    Nobody can set back when a file was changed last, so a step of that clock is waited for.
    """
    an_hour_ago = time.time() - 3600
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (an_hour_ago, an_hour_ago))
    time.sleep(0.05)
