"""What all trials share: an outcome, a place with a data set, a model and a cache that are made once, and commands run in it."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from drawn_shapes import draw_folder

MAIN = "import sys; sys.argv[0] = 'warmstart'; from warmstart.cli.main import run; run()"
SMALL = ("--image-size", "64")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one trial ended."""

    scenario: str
    number: int
    seed: int
    held: bool
    end: str  # a word or two, counted in the table
    detail: str = ""  # what did not hold

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


class Place:
    """A folder of its own for every trial, beside what they all start from."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed

    def random(self, scenario: str, number: int) -> random.Random:
        """Draws of one trial, whatever was tried before."""
        return random.Random(f"{self.seed} {scenario} {number}")

    def new(self, name: str) -> Path:
        """An empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @cached_property
    def shapes(self) -> Path:
        """90 drawn pictures in three classes."""
        return draw_folder(self.folder / "shapes", 30)

    @cached_property
    def cache(self) -> Path:
        """A cache with graphs, proofs and rows; made together with the model."""
        return self.model.parent.parent.parent / "cache"

    @cached_property
    def model(self) -> Path:
        """The run folder of a frozen model."""
        base = self.new("base")
        done = warmstart("train", self.shapes, "--cut", "pooled", *SMALL, "--runs", base / "runs", cache=base / "cache")
        assert done.returncode == 0, done.stderr
        return next((base / "runs").iterdir()) / "model"

    def close(self) -> None:
        """Nothing to let go of but files, which the caller removes."""


def start(*arguments: object, cache: Path, cwd: Path | None = None, **environment: str) -> "subprocess.Popen[str]":
    """The command line in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", MAIN, *map(str, arguments)],
        env=os.environ | {"WARMSTART_CACHE": str(cache)} | environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def warmstart(
    *arguments: object, cache: Path, cwd: Path | None = None, timeout_s: float = 600
) -> "subprocess.CompletedProcess[str]":
    """The command line, to its end."""
    process = start(*arguments, cache=cache, cwd=cwd)
    out, err = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def fault_of_ours(done: "subprocess.CompletedProcess[str]", allowed: tuple[int, ...] = (0, 1)) -> str:
    """Why this ending is none that a user should see; empty where it is fine."""
    if done.returncode not in allowed:
        return f"exit {done.returncode}: {done.stderr[-600:]}"
    if "Traceback" in done.stderr + done.stdout:
        return f"a traceback: {done.stderr[-600:]}"
    return "" if done.returncode == 0 or done.stderr.strip() else "failed without a word"
