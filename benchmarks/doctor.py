"""Faults planted in a data set, and how many of them the doctor finds.

    python benchmarks/doctor.py DATA WORK [--seeds 0-4] [--sheet]

60 flipped labels, 40 exact copies and 40 near copies across splits, 10 strangers a seed (`planted.py`). Each seed runs twice in a process
of its own: once to store the features of what was planted, then warm, which is what is timed. A seed that is done is not run again.
--sheet draws every near copy that nobody planted, to be looked at.
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from planted import EXACT, FLIPPED, KINDS, NEAR, STRANGERS, Planted, plant
from warmstart.tasks.classify.doctor.examination import Diagnosis, doctor

SUSPECTS, OUTLIERS = 120, 40  # how far down the lists we look


def measure(planted: Planted, diagnosis: Diagnosis) -> dict[str, object]:
    """What was found of what was planted."""
    exact = {frozenset(f.paths) for f in diagnosis.of("copy")}
    near = [frozenset(f.paths) for f in diagnosis.of("near-copy")]
    found = {pair for pair in planted.near if any(pair <= group for group in near)}
    judged = diagnosis.judged
    assert judged is not None
    names = sorted(diagnosis.classes)
    given = judged.plain[np.arange(len(judged.plain)), [names.index(e.class_name) for e in diagnosis.examples]]
    plain = [diagnosis.examples[i].path for i in np.argsort(given, kind="stable")[:SUSPECTS]]
    suspects = [f.paths[0] for f in diagnosis.of("label")[:SUSPECTS]]
    strangers = [f.paths[0] for f in diagnosis.of("outlier")[:OUTLIERS]]
    right = [f for f in diagnosis.of("label")[:SUSPECTS] if f.paths[0] in planted.flipped]
    return {
        "exact": len(planted.exact & exact),
        "near": len(found),
        "near_by_kind": {kind: sum(planted.near[pair] == kind for pair in found) for kind in KINDS},
        "missed": [sorted(pair) for pair in planted.near if pair not in found],
        "unplanted": [sorted(group) for group in near if not any(pair <= group for pair in planted.near)],
        "flipped": len(set(suspects) & planted.flipped),
        "flipped_by_plain_self_confidence": len(set(plain) & planted.flipped),
        "true_class_named": sum(Path(f.paths[0]).parent.name == f.new_label for f in right),
        "strangers": len(set(strangers) & planted.strangers),
        "counts": diagnosis.counts(),
        "seconds": dict(diagnosis.seconds),
    }


def child(data: str, folder: Path, seed: int) -> dict[str, object]:
    """One run of the doctor on planted faults."""
    planted = plant(data, folder, seed)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    diagnosis = doctor(str(planted.manifest))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime
    return measure(planted, diagnosis) | {"cpu_seconds": cpu}


def sheet(pairs: list[list[str]], target: Path, height_px: int = 160) -> None:
    """A row a group of copies."""
    page = Image.new("RGB", (4 * (height_px + 8), max(1, len(pairs)) * (height_px + 8)), "white")
    for row, paths in enumerate(pairs):
        for column, path in enumerate(paths[:4]):
            picture = Image.open(path).convert("RGB")
            picture.thumbnail((height_px, height_px))
            page.paste(picture, (column * (height_px + 8), row * (height_px + 8)))
    page.save(target)


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--sheet", action="store_true")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(child(options.data, options.work / f"planted-{options.child}", options.child)))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    first, _, last = options.seeds.partition("-")
    results = {}
    for seed in range(int(first), int(last or first) + 1):
        result = options.work / f"seed-{seed}.json"
        if not result.is_file():
            command = [sys.executable, "-W", "ignore", __file__, options.data, str(options.work), "--child", str(seed)]
            for _ in range(2):
                done = subprocess.run(command, env=os.environ, stdout=subprocess.PIPE, text=True, check=True)
            result.write_text(done.stdout)
        results[seed] = json.loads(result.read_text())
    table = Table(
        title=f"{FLIPPED} flipped labels, {EXACT} exact and {NEAR} near copies, {STRANGERS} strangers among the pictures of {options.data}"
    )
    headings = (
        "seed",
        "exact",
        "near",
        *KINDS,
        "unplanted",
        f"flipped in {SUSPECTS}",
        "plain",
        f"strangers in {OUTLIERS}",
        "warm s",
        "CPU s",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for seed, r in results.items():
        table.add_row(
            *map(
                str,
                (seed, r["exact"], r["near"], *(r["near_by_kind"][kind] for kind in KINDS), len(r["unplanted"]), r["flipped"]),
            ),
            *map(str, (r["flipped_by_plain_self_confidence"], r["strangers"])),
            f"{r['seconds']['total']:.1f}",
            f"{r['cpu_seconds']:.1f}",
        )
    Console(width=150).print(table)
    unplanted = {tuple(group) for r in results.values() for group in r["unplanted"]}
    with (options.work / "unplanted.csv").open("w", newline="") as file:
        csv.writer(file).writerows(sorted(unplanted))
    if options.sheet:
        sheet([list(group) for group in sorted(unplanted)], options.work / "unplanted.png")


if __name__ == "__main__":
    main()
