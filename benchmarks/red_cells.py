"""Red cells counted from the picture of a blood smear: R² beside the mean, and what the intervals hold. Given split, then reshuffles.

    python benchmarks/red_cells.py BCCD [--shuffles 20] [--cuts pooled stage5] [--size 384]

BCCD is the folder of the BCCD data set with `Annotations`, `ImageSets/Main` and `JPEGImages` (Pascal VOC). A picture's number is how many
of its boxes are named RBC. With the given split one run is made for each cut, what val says beside what test says: choose by val. The
reshuffles (seeds 0, 1, …; 65/15/20) are frozen.
"""

import argparse
import csv
import statistics
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import train

COVERAGE = 0.9
"""What the intervals promise."""

Z_95 = 1.96


def main() -> None:
    """Print a line for each run, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shuffles", type=int, default=20)
    parser.add_argument("--cuts", nargs="*", default=["pooled", "stage5"])
    parser.add_argument("--size", type=int, default=384)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        given, free = tables(asked.folder.resolve(), Path(work))
        settings = TrainSettings(findings=False, report=False, runs=Path(work) / "runs")
        common = {"target": ("red",), "resize": "squash", "image_size_px": asked.size, "views": "flip"}
        for cut in asked.cuts:
            one(train(given, Plan(cut=cut, **common), settings), f"given split, {cut}")
        scores = [
            one(train(free, Plan(cut="pooled", seed=seed, fractions=(0.65, 0.15, 0.2), **common), settings), f"seed {seed}")
            for seed in range(asked.shuffles)
        ]
    if scores:
        means(scores)


def one(run, name: str):
    """Print what a run scored; its scores on test."""
    val, test = run.scores.val, run.scores.test
    low, high = test.r2_ci95
    interval = f"({low:.3f} to {high:.3f}), {test.n} pictures, coverage {test.coverage:.3f}"
    print(f"{name:24} val R² {val.r2:6.3f}  test R² {test.r2:6.3f} {interval}", flush=True)
    return test


def means(scores: list) -> None:
    """Print means over the reshuffles, and how many coverages lie as far from the promise as chance takes them."""
    r2 = [score.r2 for score in scores]
    held = [score.coverage for score in scores]
    chance = [Z_95 * (COVERAGE * (1 - COVERAGE) / score.n) ** 0.5 for score in scores]
    inside = sum(abs(value - COVERAGE) <= band for value, band in zip(held, chance, strict=True))
    print(
        f"R²: mean of the first five {statistics.mean(r2[:5]):.3f}, of all {len(r2)} {statistics.mean(r2):.3f}, lowest {min(r2):.3f}"
    )
    print(
        f"coverage: mean {statistics.mean(held):.3f} of {COVERAGE} promised; {inside} of {len(held)} within the binomial 95 % band"
    )


def tables(folder: Path, work: Path) -> tuple[Path, Path]:
    """The counts as two tables, with and without the given split."""
    split = {
        name: part
        for part in ("train", "val", "test")
        for name in (folder / "ImageSets" / "Main" / f"{part}.txt").read_text().split()
    }
    given, free = work / "given.csv", work / "free.csv"
    with given.open("w", newline="") as with_split, free.open("w", newline="") as without:
        writers = csv.writer(with_split), csv.writer(without)
        writers[0].writerow(("path", "red", "split"))
        writers[1].writerow(("path", "red"))
        for name, part in sorted(split.items()):
            boxes = ET.parse(folder / "Annotations" / f"{name}.xml").iterfind("object/name")
            row = folder / "JPEGImages" / f"{name}.jpg", sum(box.text == "RBC" for box in boxes)
            writers[0].writerow((*row, part))
            writers[1].writerow(row)
    return given, free


if __name__ == "__main__":
    main()
