"""What holds when things break: kills, mutated pictures, tampered models, full disks, hostile archives. A table "tried / held".

    python benchmarks/faults.py [--only kills,pictures,models,disks,zips] [--share 1.0] [--seed 0] [--state FILE]

Every trial is drawn from the seed and its number, writes one line into the state file, and is not tried again when the file
has it: stop and go on as you like. A trial holds when nothing is lost, nothing is silently wrong, no traceback and no foreign
exception is seen, and no request takes 10 s. About 40 minutes on two quiet cores; `--share 0.1` tries a tenth.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fault_trials import disks, kills, models, pictures, zips
from fault_trials.trial import Outcome, Place

# Name → (what is tried, how often, trials): `trials(place, numbers)` yields an outcome for each number.
KINDS = {
    "kills": (kills.SCENARIOS, kills.trials),
    "pictures": (pictures.SCENARIOS, pictures.trials),
    "models": (models.SCENARIOS, models.trials),
    "disks": (disks.SCENARIOS, disks.trials),
    "zips": (zips.SCENARIOS, zips.trials),
}


def main() -> None:
    """Try what is not in the state file yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=Path("faults.jsonl"))
    options = parser.parse_args()
    known = {(o.scenario, o.number): o for o in _read(options.state) if o.seed == options.seed}
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder, options.state.open("a") as state:
        place = Place(Path(folder), options.seed)
        for name in options.only.split(","):
            scenarios, trials = KINDS[name]
            for scenario, times in scenarios.items():
                wanted = range(max(1, round(times * options.share)))
                left = [number for number in wanted if (scenario, number) not in known]
                for outcome in trials(place, scenario, left) if left else ():
                    known[scenario, outcome.number] = outcome
                    state.write(outcome.to_json() + "\n")
                    state.flush()
                    if not outcome.held:
                        console.print(f"[red]{scenario} {outcome.number}: {outcome.detail[:300]}[/red]", markup=True)
        place.close()
    console.print(_table(list(known.values())))
    sys.exit(0 if all(outcome.held for outcome in known.values()) else 1)


def _read(state: Path) -> Iterator[Outcome]:
    for line in state.read_text().splitlines() if state.is_file() else ():
        try:
            yield Outcome(**json.loads(line))
        except (ValueError, TypeError):  # the line under way when it was stopped
            continue


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(title="What was broken, and what held")
    for column in ("", "tried", "held", "how it ended"):
        table.add_column(column, justify="right" if column in ("tried", "held") else "left")
    for scenario in dict.fromkeys(outcome.scenario for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.scenario == scenario]
        ends = Counter(outcome.end for outcome in mine)
        told = ", ".join(f"{end} {count}" for end, count in ends.most_common(4))
        table.add_row(scenario, f"{len(mine):,}", f"{sum(o.held for o in mine):,}", told)
    return table


if __name__ == "__main__":
    main()
