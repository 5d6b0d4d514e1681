"""What `advice_study.py` found: regret of the advice and of fixed rules, gains of the plans over the probe, forecasts against truth.

python benchmarks/advice_study.py table [--out study]
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

RESAMPLES = 1000
WITHIN = 1.5  # a forecast counts as right when truth is within this factor

Correct = dict[str, np.ndarray]  # plan → bool (N,), the same pictures in the same order


def table(out: Path) -> None:
    """Print all of it."""
    cases = {home.name: case for home in sorted(out.iterdir()) if (case := _case(home))}
    console = Console(width=120)
    console.print(_accuracies(cases))
    console.print(_regrets(cases))
    console.print(_forecasts(cases))


def advised_plan(document: dict[str, Any]) -> str:
    """The name of the plan that the advice recommends."""
    plan = document["plan"]
    return {"pooled": "frozen", "pixels": "full"}.get(plan["cut"], plan["cut"])


def regret(correct: Correct, chosen: str, *, pool: Sequence[str]) -> float:
    """Points by which the best plan in hindsight is ahead, picked on one half of test, scored on the other, both ways round."""
    n = len(correct[chosen])
    half = np.random.default_rng(0).permutation(n) < n // 2
    losses = []
    for picked_on in (half, ~half):
        best = max(pool, key=lambda name: correct[name][picked_on].mean())
        losses.append(correct[best][~picked_on].mean() - correct[chosen][~picked_on].mean())
    return float(100 * np.mean(losses))


def _case(home: Path) -> dict[str, Any] | None:
    runs = {path.parent.name: path.parent for path in home.glob("*/run.json") if ".partial" not in path.parent.name}
    if not (home / "advised.json").is_file() or not runs:
        return None
    correct = {name: _correct(run) for name, run in runs.items()}
    records = {name: json.loads((run / "run.json").read_text("utf-8")) for name, run in runs.items()}
    return {"advised": json.loads((home / "advised.json").read_text("utf-8")), "correct": correct, "records": records}


def _correct(run: Path) -> np.ndarray:
    with (run / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted((row["path"], row["true"] == row["predicted"]) for row in csv.DictReader(file))
    return np.array([right for _, right in rows])


def _accuracies(cases: dict[str, dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for case in cases.values() for name in case["correct"]))
    shown = Table("task-seed", *names, "advised", title="Accuracy on test, %")
    for task, case in cases.items():
        accuracy = {name: f"{100 * right.mean():.1f}" for name, right in case["correct"].items()}
        shown.add_row(task, *(accuracy.get(name, "") for name in names), advised_plan(case["advised"]))
    return shown


def _regrets(cases: dict[str, dict[str, Any]]) -> Table:
    shown = Table("choice", "mean regret", "95 %", "per task", title="Regret, points (bootstrap over tasks and test pictures)")
    rules = {
        "advice": lambda case: advised_plan(case["advised"]),
        "advised run": lambda _: "advised",
        "always the textbook's head": lambda _: "head",
        "always the probe": lambda _: "frozen",
        "always fine-tune everything": lambda _: "full",
        "always stage5": lambda _: "stage5",
    }
    for rule, choose in rules.items():
        known = [case for case in cases.values() if choose(case) in case["correct"] and len(case["correct"]) >= 5]
        if not known:
            continue
        pools = [[name for name in case["correct"] if name != "advised"] for case in known]
        values = [regret(case["correct"], choose(case), pool=pool) for case, pool in zip(known, pools, strict=True)]
        low, high = _interval([(case["correct"], choose(case), pool) for case, pool in zip(known, pools, strict=True)])
        shown.add_row(rule, f"{np.mean(values):.2f}", f"{low:.2f} … {high:.2f}", " ".join(f"{value:.1f}" for value in values))
    return shown


def _interval(choices: Sequence[tuple[Correct, str, Sequence[str]]]) -> tuple[float, float]:
    """Tasks are drawn with replacement, and in each its test pictures."""
    random = np.random.default_rng(1)
    means = []
    for _ in range(RESAMPLES):
        values = []
        for i in random.integers(0, len(choices), len(choices)):
            correct, chosen, pool = choices[i]
            n = len(correct[chosen])
            drawn = random.integers(0, n, n)
            values.append(regret({name: right[drawn] for name, right in correct.items()}, chosen, pool=pool))
        means.append(np.mean(values))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _forecasts(cases: dict[str, dict[str, Any]]) -> Table:
    shown = Table(
        "task-seed", "plan", "forecast, s", "measured, s", "measured / forecast", title="Forecast made before the run"
    )
    factors = []
    for task, case in cases.items():
        for name, record in case["records"].items():
            if not record["forecast"]:
                continue
            before, after = record["forecast"]["seconds"]["total"], record["seconds"]["total"]
            factors.append(after / before)
            shown.add_row(task, name, f"{before:.0f}", f"{after:.0f}", f"{after / before:.2f}")
    right = sum(1 / WITHIN <= factor <= WITHIN for factor in factors)
    shown.caption = f"{right} of {len(factors)} within a factor of {WITHIN}"
    return shown
