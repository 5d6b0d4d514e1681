"""Two labels a picture on real pictures: is a solar cell defective, is it monocrystalline; each reshuffle with a test of its own.

    python benchmarks/solar_labels.py [--reshuffles 20] [--size 300] [--taps auto] [--runs FOLDER]

2,624 cells of the package elpv-dataset (see `warmstart demo`), split 1,968 to learn from and 656 to test, by another seed each time;
nothing is chosen on test. Average precision stands beside the label prior; under each recall that was asked for, what was found on the
test of each reshuffle. What conformal risk control promises is the mean over splits: single ones scatter around it. Rows are stored: only
the first reshuffle extracts.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.demo import FRACTIONS, GROUP_DUPLICATES, solar_cells
from warmstart.workflows.train import train

LABELS = ("defective", "mono")


def main() -> None:
    """Print a line for each reshuffle, then what they come to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reshuffles", type=int, default=20)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--taps", default="auto")
    parser.add_argument("--runs", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        settings = TrainSettings(findings=False, report=False, runs=asked.runs or Path(work), group_duplicates=GROUP_DUPLICATES)
        plan = Plan(
            image_size_px=asked.size, resize="squash", taps=asked.taps, task="multilabel", fractions=FRACTIONS, target=LABELS
        )
        runs = []
        for seed in range(asked.reshuffles):
            runs.append(train(labelled_cells(), replace(plan, seed=seed), settings))
            show(runs[-1], seed)
    summed_up(runs)


def labelled_cells() -> Listing:
    """Those of the demo, whose stratum says (probability of a defect, type of cell)."""
    cells = solar_cells()
    examples = tuple(
        replace(
            example,
            class_name="",
            stratum=None,
            cells={LABELS[0]: int(float(example.stratum[0]) > 0.5), LABELS[1]: int(example.stratum[1] == LABELS[1])},
        )
        for example in cells.examples
    )
    return replace(cells, examples=examples, class_names=(), columns=LABELS, is_table=True)


def show(run, seed: int) -> None:
    """Print what a reshuffle scored."""
    test = run.scores.test
    low, high = test.map_macro_ci95
    said = "; ".join(f"{name} {one['ap']:.3f} (prior {one['ap_of_prior']:.3f})" for name, one in test.labels.items())
    found = ", ".join(f"{one['measured']:.3f} of {one['asked']:g}" for one in run.record.trust["recall"])
    print(
        f"seed {seed}: mAP macro {test.map_macro:.3f} ({low:.3f} to {high:.3f}), label prior {test.map_macro_of_prior:.3f}, "
        f"{test.n} pictures, taps {run.record.choice['tap_set']}; {said}; recall {found}",
        flush=True,
    )


def summed_up(runs) -> None:
    """Means over reshuffles, and how they scatter."""
    scores = [run.scores.test.map_macro for run in runs]
    print(f"mAP macro over {len(runs)} reshuffles: mean {np.mean(scores):.3f}, {min(scores):.3f} to {max(scores):.3f}")
    for name in LABELS:
        aps = [run.scores.test.labels[name]["ap"] for run in runs]
        print(f"  {name}: AP mean {np.mean(aps):.3f}, {min(aps):.3f} to {max(aps):.3f}")
    for number, one in enumerate(runs[0].record.trust["recall"]):
        told = [run.record.trust["recall"][number] for run in runs]
        found = np.array([each["measured"] for each in told])
        inside = sum(each["ci95"][0] <= one["asked"] <= each["ci95"][1] for each in told)
        error = found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else float("nan")
        precision = np.mean([each["precision"] for each in told])
        print(
            f"recall {one['asked']:g} asked: {found.mean():.3f} found (standard error {error:.3f}), {found.min():.3f} to "
            f"{found.max():.3f}; asked for what lies inside the 95 % interval of its test in {inside} of {len(found)}; precision "
            f"{precision:.3f}"
        )


if __name__ == "__main__":
    main()
