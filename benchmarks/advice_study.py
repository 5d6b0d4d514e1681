"""How good advice is: every plan is run on every task, and what was advised is held against the best of them in hindsight.

    python benchmarks/advice_study.py run CLOTHING [--tasks …] [--seeds 0] [--out study]     # resumable: what is there is not done again
    python benchmarks/advice_study.py table [--out study]                                    # regret, forecasts

For each task (see study_tasks.py) and seed: the advice, from train alone; then every plan below, each in a process of its own, tested on
pictures that nothing was chosen on.

    head        the textbook's: a linear head on the pooled features
    frozen      a linear head on the best set of taps, by folds of train (what `--cut pooled` does)
    early       a linear head on the middle stage
    stage6 …    the network right of the cut is trained, with the augmentation that the advice names
    full        all of it, at up to 160 px
    advised     `train` without a recipe: the probe, then the plans of the advice, kept where val says so

Regret of a choice is the accuracy of the best plan minus that of the chosen one. The best is picked on one half of the test pictures and
both are scored on the other, then the halves change places: the winner of seven on the very pictures it is scored on would be the
luckiest, and its luck would look like everybody else's regret.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import ADVISED

TASKS = (
    "solar-400",
    "clothing-40",
    "digits-200",
    "clothing-10",
    "textile-200",
    "shuffled-20",
    "inverted-20",
    "solar-100",
)
PLANS = ("head", "frozen", "early", "stage6", "stage5", "stage3", "full", "advised")
FULL_PX = 160
BUDGET_S = 1800.0  # of the advice: what it recommends is to hang on the data, not on how busy the machine was


def plans(advised: dict[str, Any], base: Plan) -> dict[str, Plan]:
    """Name → plan, at the input size and with the augmentation that the advice has for this task."""
    size = advised["plan"]["image_size_px"]
    base = replace(base, image_size_px=size)
    trained = replace(base, augment=advised["augment"])
    return {
        "head": replace(base, taps="pooled"),
        "frozen": base,
        "early": replace(base, cut="stage4", training={"epochs": 0}),
        **{cut: replace(trained, cut=cut) for cut in ("stage6", "stage5", "stage3")},
        "full": replace(trained, cut="pixels", image_size_px=min(size, FULL_PX)),
        "advised": replace(base, cut=ADVISED),
    }


def advise_task(name: str, seed: int, clothing: Path, out: Path) -> None:
    """advised.json: the document of `warmstart advise` and, beside it, the augmentation it has for this task."""
    from study_tasks import task
    from warmstart.tasks.classify.advice.advise import advise
    from warmstart.tasks.classify.advice.rules import augmentation

    listing = task(name, seed=seed, clothing=clothing, work=out / "pictures")
    result = advise(listing, Plan(seed=seed), TrainSettings(budget_s=BUDGET_S))
    stages = tuple(stage.tap for stage in result.evidence.depth.stages[1:-1])
    measured = result.evidence.measured(stages, val_images=result.data.splits["val"])
    document = result.to_dict() | {"augment": augmentation(measured)[0]}
    (out / f"{name}-{seed}").mkdir(parents=True, exist_ok=True)
    (out / f"{name}-{seed}" / "advised.json").write_text(json.dumps(document), "utf-8")


def train_plan(name: str, seed: int, plan: str, clothing: Path, out: Path) -> None:
    """One run folder."""
    from study_tasks import task
    from warmstart.cli.terminal import Terminal
    from warmstart.machine import process_seconds
    from warmstart.workflows.train import train

    home = out / f"{name}-{seed}"
    advised = json.loads((home / "advised.json").read_text("utf-8"))
    partial = home / f"{plan}.partial-{os.getpid()}"
    partial.mkdir()
    listing = task(name, seed=seed, clothing=clothing, work=out / "pictures")
    with Terminal() as watcher:
        train(
            listing,
            plans(advised, Plan(seed=seed))[plan],
            TrainSettings(budget_s=BUDGET_S if plan == "advised" else None, report=False),
            folder=partial,
            watcher=watcher,
            seconds_before=process_seconds(),
        )
    for path in (partial / "model").iterdir():  # 14 MB each, and nobody will predict with them
        path.unlink()
    (partial / "load.txt").write_text(f"{os.getloadavg()[0]:.2f}", "ascii")
    partial.rename(home / plan)


def run(arguments: argparse.Namespace) -> None:
    """Whatever is missing, task by task."""
    for seed in arguments.seeds:
        for name in arguments.tasks:
            home = arguments.out / f"{name}-{seed}"
            for step in ("advise", *arguments.plans):
                if (home / ("advised.json" if step == "advise" else f"{step}/run.json")).is_file():
                    continue
                print(f"{name}, seed {seed}: {step}", flush=True)
                child = [sys.executable, __file__, "one", str(arguments.clothing), "--out", str(arguments.out)]
                code = subprocess.run([*child, "--one", name, str(seed), step], check=False).returncode
                if code:
                    raise SystemExit(f"{name}, seed {seed}, {step} ended with {code}")


def main() -> None:
    """Run or show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "one", "table"))
    parser.add_argument("clothing", type=Path, nargs="?")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--plans", nargs="+", default=PLANS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.what == "table":
        from study_table import table

        table(arguments.out)
    elif arguments.what == "one":
        name, seed, step = arguments.one
        if step == "advise":
            advise_task(name, int(seed), arguments.clothing, arguments.out)
        else:
            train_plan(name, int(seed), step, arguments.clothing, arguments.out)
    else:
        run(arguments)


if __name__ == "__main__":
    main()
