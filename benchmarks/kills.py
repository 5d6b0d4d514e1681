"""`kill -9` at random moments of an extraction, then a run to the end: what is lost, and are the scores the same?

    python benchmarks/kills.py DATA [--kills 10] [--seed 0]

Each run is a process of its own that writes how many rows it has computed to a file after every batch, so that also rows that
were computed and not yet committed when it died are counted.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.store.cache import Store
from warmstart.workflows.train import train


class Counter:
    """A watcher that keeps the number of computed rows on disk."""

    def __init__(self, path: str) -> None:
        self._path = path

    def progress(self, phase: str, done: int, total: int) -> None:
        """Written at once: the process may die in the next moment."""
        if phase == "extracting":
            with Path(self._path).open("a") as file:  # appended, since a kill may fall between truncating and writing
                file.write(f"{done}\n")

    def say(self, sentence: str) -> None:
        """Not wanted here."""


def start(data: str, work: Path, number: int, cache: str) -> subprocess.Popen[str]:
    """A training run in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, data, "--child", str(work / f"computed-{number}"), str(work / "runs")]
    return subprocess.Popen(command, env=os.environ | {"WARMSTART_CACHE": cache}, stdout=subprocess.PIPE, text=True)


def computed(work: Path, number: int) -> int:
    """How many rows that run has computed so far."""
    path = work / f"computed-{number}"
    lines = path.read_text().split() if path.is_file() else []
    return int(lines[-1]) if lines else 0


def stored(cache: str) -> int:
    """Rows that survived, every one of them verified."""
    with Store(Path(cache) / "store") as store:
        checked = store.verify()
    assert not any(recipe.damaged or recipe.unreadable for recipe in checked), "a kill damaged the store"
    return sum(recipe.rows for recipe in checked)


def main() -> None:
    """Run, kill, run to the end, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run = train(options.data, Plan(), TrainSettings(runs=Path(options.child[1])), watcher=Counter(options.child[0]))
        print(json.dumps({"scores": run.record.to_dict()["scores"], "images": run.record.data["images"]}))
        return

    random.seed(options.seed)
    table = Table(title=f"{options.kills} kills, seed {options.seed}")
    for column in ("run", "rows computed", "rows in the store afterwards"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        whole = json.loads(start(options.data, work, -1, f"{temporary}/whole").communicate()[0])
        images, total = whole["images"], 0
        for number in range(options.kills):
            child = start(options.data, work, number, f"{temporary}/killed")
            while not computed(work, number) and child.poll() is None:
                time.sleep(0.01)
            time.sleep(random.uniform(0, images / options.kills / 200))  # about a tenth of the whole each, at 200 images/s
            child.send_signal(signal.SIGKILL)
            child.wait()
            total += computed(work, number)
            table.add_row(f"killed {number + 1}", f"{computed(work, number):,}", f"{stored(f'{temporary}/killed'):,}")
        last = json.loads(start(options.data, work, options.kills, f"{temporary}/killed").communicate()[0])
        total += computed(work, options.kills)
        table.add_row("to the end", f"{computed(work, options.kills):,}", f"{stored(f'{temporary}/killed'):,}")
    console = Console(width=110)
    console.print(table)
    limit = images + options.kills * 256
    kept = "kept" if total <= limit else "BROKEN"
    console.print(f"computed in all {total:,}; {images:,} images + {options.kills} commits of 256 = {limit:,}: {kept}")
    console.print(f"scores equal to an undisturbed run: {'yes' if last['scores'] == whole['scores'] else 'NO'}")
    sys.exit(0 if total <= limit and last["scores"] == whole["scores"] else 1)


if __name__ == "__main__":
    main()
