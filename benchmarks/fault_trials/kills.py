"""`kill -9` at a random moment of a command, then: is every file the old one or the new one, and does running it again end well?"""

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from fault_trials.trial import SMALL, Outcome, Place, fault_of_ours, start, warmstart
from warmstart.errors import WarmstartError
from warmstart.model.predictor import load

FROZEN, TUNED, EXPORT, PRUNE, FIXES, SERVER = (
    "kill in train, frozen",
    "kill in train, with a cut",
    "kill in export",
    "kill in cache prune",
    "kill in doctor --fix-list",
    "kill of a server with a job",
)
SCENARIOS = {FROZEN: 30, TUNED: 30, EXPORT: 15, PRUNE: 10, FIXES: 10, SERVER: 5}


def trials(place: Place, scenario: str, numbers: Sequence[int]) -> Iterator[Outcome]:
    """One kill a number, at a moment drawn evenly from the time the whole takes."""
    if scenario == SERVER:
        from fault_trials.kills_of_servers import server_trials

        yield from server_trials(place, scenario, numbers)
        return
    whole = _Command(place, scenario, "whole")
    begin = time.perf_counter()
    done = whole.run()
    seconds = time.perf_counter() - begin
    assert done.returncode == 0, done.stderr
    expected = whole.result()
    for number in numbers:
        command = _Command(place, scenario, f"killed-{number}")
        process = command.start()
        time.sleep(seconds * place.random(scenario, number).random())
        finished = process.poll() is not None
        if not finished:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        wrong = command.broken_files()
        again = command.run(again=True)
        wrong = wrong or fault_of_ours(again, allowed=(0,)) or command.broken_files()
        if not wrong and command.result() != expected:
            wrong = "another result than an undisturbed run"
        shutil.rmtree(command.folder)
        yield Outcome(
            scenario=scenario,
            number=number,
            seed=place.seed,
            held=not wrong,
            end="was done already" if finished else "run again, same result",
            detail=wrong,
        )


class _Command:
    """A command in a folder of its own, with a copy of the cache that a training has filled."""

    def __init__(self, place: Place, scenario: str, name: str) -> None:
        self.scenario = scenario
        self.folder = place.new(name)
        self.cache, self.runs = self.folder / "cache", self.folder / "runs"
        shutil.copytree(place.cache, self.cache)
        self.data, self.model = place.shapes, place.model
        if scenario in (FROZEN, TUNED):  # extraction is part of it
            shutil.rmtree(self.cache / "store", ignore_errors=True)

    def arguments(self, again: bool) -> tuple[object, ...]:
        if self.scenario == FROZEN:
            return ("train", self.data, "--cut", "pooled", *SMALL, "--runs", self.runs)
        if self.scenario == TUNED:
            begun = [run for run in self.runs.glob("*") if (run / "start.json").is_file()]
            unfinished = [run for run in begun if not (run / "run.json").is_file()]
            if again and unfinished:
                return ("train", "--resume", unfinished[0])
            return ("train", self.data, "--cut", "stage6", "--epochs", "4", *SMALL, "--runs", self.runs)
        if self.scenario == EXPORT:
            return (
                "export",
                self.model.parent,
                "--to",
                "openvino",
                "--out",
                self.folder / "exported",
                *(("--force",) if again else ()),
            )
        if self.scenario == PRUNE:
            return ("cache", "prune")
        return ("doctor", self.data, *SMALL, "--fix-list", self.folder / "fixes.csv", *(("--force",) if again else ()))

    def start(self) -> "subprocess.Popen[str]":
        return start(*self.arguments(again=False), cache=self.cache, cwd=self.folder)

    def run(self, *, again: bool = False) -> "subprocess.CompletedProcess[str]":
        return warmstart(*self.arguments(again), cache=self.cache, cwd=self.folder)

    def broken_files(self) -> str:
        """The first file that is neither whole nor absent."""
        for path in sorted(self.folder.rglob("*")):
            if self.cache in path.parents or not path.is_file() or path.name.startswith("."):
                continue
            try:
                if path.suffix == ".json":
                    json.loads(path.read_text("utf-8"))
                elif path.suffix == ".html" and not path.read_text("utf-8").rstrip().endswith("</html>"):
                    return f"{path.name} ends in the middle"
                elif path.suffix == ".csv":
                    widths = {len(row) for row in csv.reader(path.open(encoding="utf-8", newline=""))}
                    if len(widths) != 1 or not path.read_bytes().endswith(b"\n"):
                        return f"{path.name} is not whole: rows of {sorted(widths)} cells"
            except ValueError as reason:
                return f"{path.name} is not whole: {reason}"
        for model in self.folder.rglob("model"):
            if model.is_dir() and self.cache not in model.parents:
                try:
                    load(model)
                except WarmstartError as reason:
                    return f"a model that does not load: {reason}"
        listed = warmstart("cache", "ls", "--json", cache=self.cache)
        return fault_of_ours(listed, allowed=(0,))

    def result(self) -> object:
        """What an undisturbed run gives, too."""
        if self.scenario in (FROZEN, TUNED):
            finished = [run for run in sorted(self.runs.iterdir()) if (run / "run.json").is_file()]
            return (finished[-1] / "predictions.csv").read_text("utf-8")
        if self.scenario == EXPORT:
            return sorted(path.name for path in (self.folder / "exported").iterdir())
        if self.scenario == PRUNE:
            return json.loads(warmstart("cache", "ls", "--json", cache=self.cache).stdout)["recipes"]
        return Path(self.folder / "fixes.csv").read_text("utf-8")
