"""A data set with faults of which we know every one: flipped labels, copies, near copies and strangers among real pictures.

The pictures of the data set stay where they are; what is planted lies in a folder of its own, and a manifest names both.
"""

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from warmstart.data.listing import read_listing
from warmstart.records import SPLITS, Example

FLIPPED, EXACT, NEAR, STRANGERS = 60, 40, 40, 10
KINDS = ("re-encoded", "resized", "cropped")


@dataclass(frozen=True, kw_only=True)
class Planted:
    """What was planted; paths are absolute, as the manifest names them."""

    manifest: Path
    flipped: frozenset[str]
    exact: frozenset[frozenset[str]]  # {original, copy}
    near: dict[frozenset[str], str]  # {original, copy} → one of KINDS
    strangers: frozenset[str]


def plant(source: str | Path, folder: Path, seed: int) -> Planted:
    """Faults drawn by ``seed`` among the pictures of ``source``, written to ``folder``. No picture has two of them."""
    folder = folder.absolute()
    listing = read_listing(Path(source).absolute())
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = random.choice(len(listing.examples), FLIPPED + EXACT + NEAR, replace=False)
    to_flip, to_copy, to_alter = np.split(chosen, [FLIPPED, FLIPPED + EXACT])
    examples = {e.path: e for e in listing.examples}
    for i in to_flip:
        e = listing.examples[i]
        others = [name for name in listing.class_names if name != e.class_name]
        examples[e.path] = Example(path=e.path, class_name=str(random.choice(others)), split=e.split)
    exact = []
    for i in to_copy:
        e = listing.examples[i]
        path = folder / f"copy-{len(exact)}{Path(e.path).suffix}"
        shutil.copyfile(e.path, path)
        exact.append(frozenset({e.path, str(path)}))
        examples[str(path)] = Example(path=str(path), class_name=e.class_name, split=_another_split(e, random))
    near = {}
    for i in to_alter:
        e = listing.examples[i]
        kind = KINDS[len(near) % len(KINDS)]
        path = _altered(Path(e.path), folder / f"near-{len(near)}", kind, random)
        near[frozenset({e.path, str(path)})] = kind
        examples[str(path)] = Example(path=str(path), class_name=e.class_name, split=_another_split(e, random))
    strangers = []
    for number, picture in enumerate(_strangers(random)):
        path = folder / f"stranger-{number}.jpg"
        picture.save(path, quality=92)
        strangers.append(str(path))
        class_name, split = str(random.choice(listing.class_names)), SPLITS[random.integers(3)]
        examples[str(path)] = Example(path=str(path), class_name=class_name, split=split)
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        writer.writerows((e.path, e.class_name, e.split) for e in examples.values())
    return Planted(
        manifest=manifest,
        flipped=frozenset(listing.examples[i].path for i in to_flip),
        exact=frozenset(exact),
        near=near,
        strangers=frozenset(strangers),
    )


def _another_split(example: Example, random: np.random.Generator) -> str:
    return str(random.choice([split for split in SPLITS if split != example.split]))


def _altered(original: Path, stem: Path, kind: str, random: np.random.Generator) -> Path:
    """A near copy: saved anew at quality 30 … 85 or as WebP or PNG, at 40 … 150 % of the size, or with 3 … 10 % of each side cut off."""
    picture = Image.open(original).convert("RGB")
    if kind == "re-encoded":
        suffix, settings = ((".jpg", {"quality": int(random.integers(30, 86))}), (".webp", {"quality": 70}), (".png", {}))[
            random.integers(3)
        ]
        path = stem.with_suffix(suffix)
        picture.save(path, **settings)
        return path
    path = stem.with_suffix(".jpg")
    if kind == "resized":
        scale = random.uniform(0.4, 1.5)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)
    else:
        kept = [round(side * (1 - random.uniform(0.03, 0.10))) for side in picture.size]
        left, top = (int(random.integers(side - k + 1)) for side, k in zip(picture.size, kept, strict=True))
        picture = picture.crop((left, top, left + kept[0], top + kept[1]))
    picture.save(path, quality=90)
    return path


def _strangers(random: np.random.Generator) -> Sequence[Image.Image]:
    """Four solar cells, three pieces of photographs that come with scikit-learn and matplotlib, three drawings."""
    import matplotlib
    from sklearn.datasets import load_sample_images

    from warmstart.tasks.classify.demo import solar_cells

    cells = solar_cells()[0].examples
    pictures = [Image.open(cells[i].path).convert("RGB") for i in random.choice(len(cells), 4, replace=False)]
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    photographs.append(Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB"))
    for photograph in photographs:
        side = int(min(photograph.size) * random.uniform(0.6, 0.9))
        left, top = (int(random.integers(length - side)) for length in photograph.size)
        pictures.append(photograph.crop((left, top, left + side, top + side)))
    return [*pictures, *(_drawing(kind, random) for kind in ("chart", "noise", "tiles"))]


def _drawing(kind: str, random: np.random.Generator) -> Image.Image:
    page = Image.new("RGB", (400, 500), "white")
    pen = ImageDraw.Draw(page)
    if kind == "chart":
        for step in range(40, 500, 40):
            pen.line((20, step, 390, step), fill=(210, 210, 210))
        heights = np.clip(np.cumsum(random.normal(0, 40, 20)) + 250, 10, 490)
        pen.line([(20 + 19 * i, float(h)) for i, h in enumerate(heights)], fill=(30, 60, 200), width=4)
    elif kind == "noise":
        page = Image.fromarray(random.integers(0, 256, (500, 400, 3), dtype=np.uint8)).filter(
            ImageFilter.GaussianBlur(float(random.uniform(0.5, 3)))
        )
    else:
        for _ in range(60):
            x, y = int(random.integers(0, 400)), int(random.integers(0, 500))
            colour = tuple(int(level) for level in random.integers(0, 256, 3))
            pen.rectangle((x, y, x + int(random.integers(20, 90)), y + int(random.integers(20, 90))), fill=colour)
    return page
