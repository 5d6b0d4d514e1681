"""Several labels a picture with exact truth: 1,000 mosaics of 2 × 2 clothing pictures, whose labels are the classes among the four tiles.

    python benchmarks/mosaics.py [../shared/data/clothing] [--seed 0] [--size 448] [--resize squash] [--cuts pooled stage5] [--recall 0.95]

The folder has `train`, `validation` and `test`, each with a folder a class. Tiles of train mosaics come from `train`, those of val from
`validation`, those of test from `test`, and the split is given, so no source picture is on two sides. 750 train mosaics use every source
picture at most once, so that folds of train share none; 100 of val and 150 of test use theirs up to twice, and intervals, which count
mosaics, are a little too narrow for that. Which tiles stand together is drawn with the seed. The goal: a macro mAP of 0.80, frozen.
"""

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import train

MOSAICS = {"train": ("train", 750), "val": ("validation", 100), "test": ("test", 150)}
"""Side of the split → folder of its source pictures, and how many mosaics."""

TILE_PX = 224


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("../shared/data/clothing"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=448)
    parser.add_argument("--resize", default="squash", help="a crop would cut off what lies at the edge of every tile")
    parser.add_argument("--cuts", nargs="*", default=["pooled"])
    parser.add_argument("--recall", type=float)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        table = mosaics(asked.folder.resolve(), Path(work), asked.seed)
        settings = TrainSettings(findings=False, report=False, runs=Path(work) / "runs")
        options = {} if asked.recall is None else {"recall": asked.recall}
        for cut in asked.cuts:
            plan = Plan(cut=cut, image_size_px=asked.size, resize=asked.resize, seed=asked.seed, options=options)
            show(train(str(table), plan, settings), f"{cut}, {asked.size} px, {asked.resize}, seed {asked.seed}")


def show(run, name: str) -> None:
    """Print what a run scored."""
    val, test = run.scores.val, run.scores.test
    low, high = test.map_macro_ci95
    print(f"{name}: val mAP macro {val.map_macro:.3f}, taps {run.record.choice['tap_set']}")
    print(
        f"  test mAP macro {test.map_macro:.3f} ({low:.3f} to {high:.3f}), label prior {test.map_macro_of_prior:.3f}, {test.n} mosaics\n"
        f"  mAP micro {test.map_micro:.3f} (label prior {test.map_micro_of_prior:.3f}), F1 micro {test.f1_micro:.3f}, "
        f"macro {test.f1_macro:.3f}, Hamming {test.hamming:.3f} (label prior {test.hamming_of_prior:.3f}), LRAP {test.lrap:.3f}, "
        f"subset accuracy {test.subset_accuracy:.3f}, recall {test.recall:.3f}, {test.said_a_picture:.2f} labels said of "
        f"{test.labels_a_picture:.2f}"
    )
    for label, one in test.labels.items():
        ends = "{:.3f} to {:.3f}".format(*one["ap_ci95"])
        print(f"    {label:12} AP {one['ap']:.3f} ({ends}), label prior {one['ap_of_prior']:.3f}, {one['pictures']} mosaics")
    for one in run.record.trust["recall"]:
        print(
            f"  recall {one['asked']:g} asked: {one['measured']:.3f} found, precision {one['precision']:.3f}, "
            f"{one['said_a_picture']:.2f} labels said"
        )
    print(flush=True)


def mosaics(folder: Path, work: Path, seed: int) -> Path:
    """Draw them into ``work``; a table with the columns path, labels, split."""
    table = work / "mosaics.csv"
    random = np.random.default_rng(seed)
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "labels", "split"))
        for split, (source, count) in MOSAICS.items():
            pictures = sorted(path for path in (folder / source).glob("*/*") if path.is_file())
            order = np.concatenate([random.permutation(len(pictures)) for _ in range(-(-4 * count // len(pictures)))])
            for number in range(count):
                tiles = [pictures[i] for i in order[4 * number : 4 * number + 4]]
                path = work / f"{split}-{number}.jpg"
                drawn(tiles).save(path, quality=92)
                writer.writerow((path.name, ";".join(sorted({tile.parent.name for tile in tiles})), split))
    return table


def drawn(tiles: list[Path]) -> Image.Image:
    """Four pictures, each cut to a square at its middle."""
    mosaic = Image.new("RGB", (2 * TILE_PX, 2 * TILE_PX))
    for i, path in enumerate(tiles):
        with Image.open(path) as picture:
            tile = ImageOps.fit(picture.convert("RGB"), (TILE_PX, TILE_PX), Image.Resampling.BICUBIC)
        mosaic.paste(tile, (TILE_PX * (i % 2), TILE_PX * (i // 2)))
    return mosaic


if __name__ == "__main__":
    main()
