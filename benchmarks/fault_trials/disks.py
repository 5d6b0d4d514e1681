"""A disk that is full after so many bytes: a sentence and exit 1, no signal; and with room again the same command ends well."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from fault_trials.trial import SMALL, Outcome, Place, fault_of_ours, warmstart

FULL = "disk full in train"
SCENARIOS = {FULL: 20}

_MIB = 2**20


def trials(place: Place, scenario: str, numbers: Sequence[int]) -> Iterator[Outcome]:
    """Disks of 64 KiB to what a run needs, in geometric steps, each a memory file system of that size."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        for number in numbers:
            yield Outcome(scenario=scenario, number=number, seed=place.seed, held=True, end="not tried: may not mount")
        return
    for number in numbers:
        size = int(64 * 1024 * (64 * _MIB / (64 * 1024)) ** (number / 19))
        disk = place.new(f"disk-{number}")
        _mount(disk, f"size={size}")
        try:
            wrong = _fill(place, disk)
            ended = wrong or ""
            _mount(disk, f"remount,size={512 * _MIB}")
            whole = warmstart(*_train(place, disk), cache=disk / "cache")
            wrong = wrong or fault_of_ours(whole, allowed=(0,))
        finally:
            subprocess.run(["umount", str(disk)], check=True)
        end = "fits" if ended == "" and size > 32 * _MIB else "said, then done"
        yield Outcome(
            scenario=scenario, number=number, seed=place.seed, held=not wrong, end=end, detail=f"{size:,} bytes: {wrong}"
        )


def _fill(place: Place, disk: Path) -> str:
    """Train, look, clear: each an answer or a sentence. What was wrong."""
    done = warmstart(*_train(place, disk), cache=disk / "cache")
    wrong = fault_of_ours(done)
    for verb in ("ls", "prune"):
        wrong = wrong or fault_of_ours(warmstart("cache", verb, cache=disk / "cache"))
    halves = [run for run in (disk / "runs").glob("*") if not (run / "model" / "model.json").is_file()]
    resumable = [run for run in halves if (run / "plan.json").is_file()]
    return wrong or (f"a run without a model: {halves[0].name}" if len(halves) > len(resumable) else "")


def _train(place: Place, disk: Path) -> tuple[object, ...]:
    return ("train", place.shapes, "--cut", "pooled", *SMALL, "--runs", disk / "runs")


def _mount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)
