"""Target tasks for the study of advice: small, unlike each other, some of them unlike ImageNet on purpose.

    solar-400, solar-100      electroluminescence pictures of solar cells (elpv-dataset): functional or defective
    clothing-40, clothing-10  ten kinds of clothes, so many learning pictures of each
    inverted-20               the same with every level v replaced by 255 - v
    shuffled-20               the same cut into 4 × 4 tiles in another order for each picture: textures without shapes
    textile-200               simulated woven textile, no, a local or a global defect (conformal-clip-data, MIT)
    digits-200                scikit-learn's 8 × 8 handwritten digits, enlarged to 64 px

Of the learning pictures (the number in the name: in all, or per class) one in five is val. Test are up to `TEST` others, the same number
of each class where there are so many. Seeds draw other pictures.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from warmstart.data.listing import read_listing
from warmstart.records import Example, Listing, Split
from warmstart.tasks.classify.demo import solar_cells

TEST = 1000
VAL_SHARE = 0.2
TILES = 4
DIGIT_PX = 64

Labelled = Sequence[tuple[str, str]]  # path, class name
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # uint8 (H, W, 3) → the same


def task(name: str, *, seed: int, clothing: Path, work: Path) -> Listing:
    """The listing of a task with its splits given; pictures that are made lie under ``work``."""
    kind, _, number = name.partition("-")
    pool, per_class = _pool(kind, clothing, work), kind in ("clothing", "inverted", "shuffled")
    classes = tuple(sorted({class_name for _, class_name in pool}))
    learning = int(number) if per_class else int(number) // len(classes)
    random = np.random.default_rng([seed, 7])
    examples: list[Example] = []
    for class_name in classes:
        members = sorted(path for path, own in pool if own == class_name)
        order = [members[i] for i in random.permutation(len(members))]
        val = max(2, round(VAL_SHARE * learning))
        test = order[learning : learning + TEST // len(classes)]
        parts: dict[Split, list[str]] = {"val": order[:val], "train": order[val:learning], "test": test}
        examples += [Example(path=path, class_name=class_name, split=split) for split, paths in parts.items() for path in paths]
    return Listing(source=name, examples=tuple(examples), class_names=classes)


def _pool(kind: str, clothing: Path, work: Path) -> Labelled:
    """All pictures of a kind."""
    if kind == "solar":
        return [(example.path, example.class_name) for example in solar_cells()[0].examples]
    if kind == "digits":
        return _digits(work / "digits")
    if kind == "textile":
        return _textile()
    own = [(example.path, example.class_name) for example in read_listing(str(clothing)).examples]
    if kind == "clothing":
        return own
    return _changed(own, clothing, work / kind, {"inverted": _inverted, "shuffled": _shuffled}[kind])


def _textile() -> Labelled:
    found = find_spec("conformal_clip_data")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the textile pictures are not installed: pip install conformal-clip-data")
    folder = Path(found.submodule_search_locations[0]) / "data" / "textile_images" / "simulated"
    return [(str(path), path.parent.name) for path in sorted(folder.rglob("*.jpg"))]


def _digits(folder: Path) -> Labelled:
    from sklearn.datasets import load_digits

    digits = load_digits()
    made = []
    for number, (levels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / str(digit) / f"{number}.png"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray((levels * 255 / 16).astype(np.uint8)).resize(
                (DIGIT_PX, DIGIT_PX), Image.Resampling.BICUBIC
            )
            picture.save(path)
        made.append((str(path), str(digit)))
    return made


def _changed(own: Labelled, root: Path, folder: Path, change: Change) -> Labelled:
    made = []
    for number, (path, class_name) in enumerate(own):
        target = folder / Path(path).relative_to(root).with_suffix(".png")
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as picture:
                small = picture.convert("RGB")
                small.thumbnail((320, 320))
                Image.fromarray(change(np.asarray(small), np.random.default_rng(number))).save(target)
        made.append((str(target), class_name))
    return made


def _inverted(pixels: np.ndarray, _: np.random.Generator) -> np.ndarray:
    return 255 - pixels


def _shuffled(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Cut to a square that the tiles divide; tiles in another order."""
    side = min(pixels.shape[:2]) // TILES * TILES
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    square, tile = pixels[top : top + side, left : left + side], side // TILES
    tiles = [square[y : y + tile, x : x + tile] for y in range(0, side, tile) for x in range(0, side, tile)]
    order = [tiles[i] for i in random.permutation(len(tiles))]
    return np.concatenate([np.concatenate(order[i : i + TILES], axis=1) for i in range(0, len(order), TILES)])
