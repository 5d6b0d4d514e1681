"""Whether the ranking of backbones that `advise --backbones` gives, from a part of train, agrees with their accuracy once trained.

    python benchmarks/backbones.py CLOTHING [--backbones lite0 lite1 lite2 lite0@random]

On clothing (the split that its folders give) and on solar cells (seed 0): the competition is timed from an empty store, then each backbone
gets a head on its frozen features, with all of train, and is scored on test. Two backbones agree when their order is the same, or when
either the ranking or the test cannot tell them apart (95 % interval of the paired difference holds 0).
"""

import argparse
import csv
import itertools
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from warmstart.data.listing import read_listing
from warmstart.evaluation.intervals import paired_bootstrap
from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.advice.advise import advise
from warmstart.tasks.classify.advice.backbone_competition import RANDOM, Competition
from warmstart.tasks.classify.demo import solar_cells
from warmstart.workflows.train import train


def trained(name: str, listing: Listing, runs: Path) -> tuple[float, np.ndarray]:
    """(accuracy, bool (N,) by test picture) of a head on all of train."""
    plan = Plan(backbone=name.removesuffix(RANDOM), weights="random" if name.endswith(RANDOM) else "default")
    run = train(listing, plan, TrainSettings(runs=runs))
    with (run.folder / "predictions.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = sorted((row["path"], row["true"] == row["predicted"]) for row in csv.DictReader(file))
    assert run.scores.test is not None
    return run.scores.test.accuracy, np.array([right for _, right in rows])


def disagreements(contest: Competition, right: dict[str, np.ndarray]) -> list[str]:
    """Pairs that the ranking puts one way round and the test, beyond chance, the other."""
    found = []
    for better, worse in itertools.combinations(contest.places, 2):
        tied = better.place.tied_with_best and worse.place.tied_with_best
        low, high = paired_bootstrap(right[better.name], right[worse.name])
        if not tied and high < 0:
            found.append(f"{better.name} before {worse.name}, on test {100 * low:.1f} … {100 * high:.1f} points")
    return found


def main() -> None:
    """Both data sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clothing")
    parser.add_argument("--backbones", nargs="+", default=["lite0", "lite1", "lite2", "lite0@random"])
    arguments = parser.parse_args()
    console = Console(width=120)
    for title, listing in (("clothing", read_listing(arguments.clothing)), ("solar cells", solar_cells()[0])):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["WARMSTART_CACHE"] = folder
            begin = time.perf_counter()
            contest = advise(listing, Plan(), backbones=arguments.backbones).competition
            assert contest is not None
            whole = time.perf_counter() - begin
            shown = Table("place", "backbone", "by folds (pictures)", "tied with best", "on test, all of train", title=title)
            scores = {candidate.name: trained(candidate.name, listing, Path(folder) / "runs") for candidate in contest.places}
            for number, candidate in enumerate(contest.places, 1):
                place = candidate.place
                shown.add_row(
                    str(number),
                    candidate.name,
                    f"{place.accuracy:.3f} ({place.pictures})",
                    "yes" if place.tied_with_best else "no",
                    f"{scores[candidate.name][0]:.3f}",
                )
            console.print(shown)
            wrong = disagreements(contest, {name: right for name, (_, right) in scores.items()})
            console.print(
                f"competition {contest.seconds:.0f} s, advise with it {whole:.0f} s; {'; '.join(wrong) or 'no disagreement'}"
            )


if __name__ == "__main__":
    main()
