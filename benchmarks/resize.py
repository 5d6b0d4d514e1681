"""What `--resize auto` takes on elongated pictures with exact truth, and how test does in each mode.

    python benchmarks/resize.py [../shared/data] [--seed 0] [--sets strips tall ends centre clothing] [--sweep 1.33 1.78 3]

Four sets are made of real pictures, each of which is on one side of the split:

strips    2:1, two pictures of clothes side by side, the label that of the left one
tall      1:3, three pictures of clothes one above the other, the label that of the lowest
ends      4:1, four pieces of paper in a row, of which the first or the last has an impurity, or none has
centre    3:1, three pictures of clothes side by side, the label that of the middle one: the crop should stay
clothing  the photographs themselves, 3:4, which are not to be compared at all

Test accuracies by mode are there to be looked at; nothing is chosen by them. ``--sweep``: photographs cut to flatter windows of
themselves, for the share of the crop from where on it is worth asking (`strategy.resize.LITTLE_SEEN`).
"""

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from warmstart.data.views import AUTO, RESIZE_MODES, seen_share
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import train

SIDE_PX = 224  # of a picture in a row
SIDES = {"train": ("train", 800), "val": ("validation", 200), "test": ("test", 372)}
"""Side of the split → folder of its clothes, and how many pictures are made at most."""

Made = Iterator[tuple[Image.Image, str, str, str]]  # picture, label, side of the split, what it is a copy of in part


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="*", default=[*SETS, "clothing"])
    parser.add_argument("--sweep", nargs="*", type=float, metavar="RATIO")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    with tempfile.TemporaryDirectory() as work:
        runs = Path(work) / "runs"
        for name in asked.sets if asked.sweep is None else ():
            if name == "clothing":
                data = listed(folder / "clothing", np.random.default_rng(asked.seed), Path(work))
            else:
                data = kept(SETS[name](folder, np.random.default_rng(asked.seed)), Path(work) / name)
            show(name, data, (AUTO, *RESIZE_MODES), asked.seed, runs)
        for ratio in asked.sweep or ():
            data = kept(windows(folder, ratio), Path(work) / f"{ratio:.2f}")
            show(
                f"{ratio:.2f}:1, {seen_share((1000 * ratio, 1000), mode='crop'):.2f} seen", data, RESIZE_MODES, asked.seed, runs
            )


def show(name: str, data: Path, modes: tuple[str, ...], seed: int, runs: Path) -> None:
    """Train in every mode, and print what was chosen and what test says."""
    settings = TrainSettings(findings=False, report=False, runs=runs)
    print(f"{name}:")
    for mode in modes:
        record = train(str(data), Plan(resize=mode, seed=seed), settings).record
        test = record.scores["test"]
        low, high = test.accuracy_ci95
        print(
            f"  {mode:10} test accuracy {test.accuracy:.3f} ({low:.3f} to {high:.3f}) of {test.n}, log-loss {test.log_loss:.3f}; "
            f"val {record.scores['val'].accuracy:.3f}; {record.cache.misses:,} rows computed, {record.seconds['total']:.0f} s",
            flush=True,
        )
        if mode != AUTO:
            continue
        print(f"    → {record.plan.resize}" + ("" if record.resize else ", nothing compared"))
        if record.resize:
            print(f"    {record.resize.computed:,} rows for it, on {record.resize.pictures} train pictures")
            for one in record.resize.modes:
                interval = "{:+.3f} to {:+.3f}".format(*one.gain_interval)
                print(
                    f"      {one.mode:10} accuracy {one.accuracy:.3f}, log-loss {one.loss:.3f}, less by {one.gain:+.3f} ({interval})"
                )


def kept(made: Made, folder: Path) -> Path:
    """A table with the columns path, label, split, group."""
    folder.mkdir(parents=True)
    with (folder / "pictures.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split", "group"))
        for number, (picture, label, side, group) in enumerate(made):
            picture.save(folder / f"{number}.jpg", quality=92)
            writer.writerow((f"{number}.jpg", label, side, group))
    return folder / "pictures.csv"


def listed(clothing: Path, random: np.random.Generator, work: Path) -> Path:
    """As many of the photographs, as they are."""
    table = work / "clothing.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for side, (source, most) in SIDES.items():
            paths = sorted((clothing / source).glob("*/*"))
            chosen = [paths[i] for i in np.sort(random.permutation(len(paths))[:most])]
            writer.writerows((path, path.parent.name, side) for path in chosen)
    return table


def strips(folder: Path, random: np.random.Generator) -> Made:
    """2:1."""
    yield from _in_a_row(folder, random, 2, 0, np.hstack)


def tall(folder: Path, random: np.random.Generator) -> Made:
    """1:3."""
    yield from _in_a_row(folder, random, 3, 2, np.vstack)


def centre(folder: Path, random: np.random.Generator) -> Made:
    """3:1."""
    yield from _in_a_row(folder, random, 3, 1, np.hstack)


def ends(folder: Path, random: np.random.Generator) -> Made:
    """4:1. Half of the pieces of each paper are for train, a quarter for val and a quarter for test; each piece is shown at both ends."""
    for side, (first, last) in {"train": (0, 24), "val": (24, 36), "test": (36, 48)}.items():
        for paper in sorted((folder / "piped").iterdir()):
            good, bad = (sorted((paper / kind).glob("*.bmp"))[first:last] for kind in ("NoDefects", "Defects"))
            for label, pieces in (("good", good), ("impure", bad)):
                for piece in pieces:
                    for at in (0, 3):
                        row = [_square(good[i], 128) for i in random.permutation(len(good))[:4]]
                        row[at] = _square(piece, 128)
                        yield Image.fromarray(np.hstack([np.asarray(one) for one in row])), label, side, str(piece)


def windows(folder: Path, ratio: float) -> Made:
    """Photographs, cut at their middle to ``ratio`` times as wide as high."""
    for side, (source, most) in SIDES.items():
        pictures, most = sorted((folder / "clothing" / source).glob("*/*")), min(most, 400)
        for path in pictures[:: max(1, len(pictures) // most)][:most]:
            with Image.open(path) as opened:
                photograph = opened.convert("RGB")
            width, height = photograph.size
            high = min(height, round(width / ratio))
            wide = min(width, round(high * ratio))
            left, top = (width - wide) // 2, (height - high) // 2
            yield photograph.crop((left, top, left + wide, top + high)), path.parent.name, side, str(path)


def _in_a_row(
    folder: Path, random: np.random.Generator, pictures: int, labelled: int, joined: Callable[[list[np.ndarray]], np.ndarray]
) -> Made:
    """The label is that of the picture at ``labelled``; the others are any of the same side."""
    for side, (source, most) in SIDES.items():
        paths = sorted((folder / "clothing" / source).glob("*/*"))
        for path in (paths[i] for i in np.sort(random.permutation(len(paths))[:most])):
            row = [_square(paths[i], SIDE_PX) for i in random.integers(0, len(paths), pictures)]
            row[labelled] = _square(path, SIDE_PX)
            yield Image.fromarray(joined([np.asarray(one) for one in row])), path.parent.name, side, str(path)


def _square(path: Path, side_px: int) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.fit(picture.convert("RGB"), (side_px, side_px), Image.Resampling.BICUBIC)


SETS: dict[str, Callable[[Path, np.random.Generator], Made]] = {"strips": strips, "tall": tall, "ends": ends, "centre": centre}

if __name__ == "__main__":
    main()
