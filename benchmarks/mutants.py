"""Mutants: small faults planted one at a time in what chooses, calibrates, scores, splits and forecasts. How many do the tests notice?

    modules → mutmut's mutants → a seeded draw ────────────┐
    tests, once, under coverage → lines that each touches ─┴→ for each mutant its tests, fastest first → killed │ survived

    make mutants                                    200 mutants, or as many as --minutes allow; asked again, it goes on
    .venv/bin/python benchmarks/mutants.py --again  only those that survived, after tests were added

mutmut makes the mutants. It cannot draw by a seed and tests them in a copy of the tree, so drawing and running are done here: nothing is
written to the source, an import hook hands the mutant to a forked process that tests it. A fork costs little, as torch and the other
libraries are loaded before it. Not mutated: what stands outside functions, decorated functions (mutmut's rule), texts of several words.
"""

import argparse
import importlib
import json
import os
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mutation_trials.drawing import ROOT, SOURCE, draw
from mutation_trials.touching import touched_by_tests
from mutation_trials.trying import Outcome, tried

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
LIBRARIES = (
    "scipy.special",
    "PIL.Image",
    "sklearn.svm",
    "torch",
    "torchvision",
    "timm",
    "openvino",
    "lmdb",
    "hypothesis",
    "matplotlib",
)


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=200, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--minutes", type=float, default=600.0, help="time after which no further mutant is begun")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tested at the same time")
    parser.add_argument("--state", type=Path, default=ROOT / "runs" / "mutants", help="where results are kept")
    parser.add_argument("--again", action="store_true", help="test once more those that survived")
    parser.add_argument("--map-only", action="store_true", help="only look which test touches what")
    asked = parser.parse_args()
    until = time.monotonic() + 60 * asked.minutes
    state: Path = asked.state.resolve()
    state.mkdir(parents=True, exist_ok=True)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(state / "hypothesis")
    os.chdir(ROOT)
    sys.path.insert(0, str(SOURCE))
    os.environ["WARMSTART_TEST_GRAPHS"] = str(state / "graphs")
    (state / "graphs").mkdir(exist_ok=True)
    os.environ["PYTHONPATH"] = str(SOURCE)
    for name in LIBRARIES:
        importlib.import_module(name)
    touched = touched_by_tests(state, until)
    if asked.map_only:
        return
    drawn = draw(asked.mutants, asked.seed)
    known = _read(state / "outcomes.jsonl")
    todo = [m for m in drawn if m.name not in known or (asked.again and known[m.name].outcome == "survived")]
    for outcome in tried(todo, touched, state, asked.jobs, until):
        known[outcome.name] = outcome
        with (state / "outcomes.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
        done = sum(m.name in known for m in drawn)
        print(
            f"{done:>4} of {len(drawn)}  {outcome.outcome:<8} {outcome.seconds:6.1f} s  {outcome.module}:{outcome.line}  {outcome.by}",
            flush=True,
        )
    _tell([known[m.name] for m in drawn if m.name in known], len(drawn))


def _tell(outcomes: Sequence[Outcome], drawn: int) -> None:
    from warmstart.evaluation.intervals import wilson

    known = {(e["module"], e["diff"].strip()): e["why"] for e in tomllib.loads(EQUIVALENT.read_text("utf-8")).get("mutant", ())}
    same = [o for o in outcomes if o.outcome == "survived" and (o.module, o.diff) in known]
    survived = [o for o in outcomes if o.outcome == "survived" and o not in same]
    noticed = [o for o in outcomes if o.outcome != "survived"]
    for outcome in same:
        print(f"\nthe same program: {outcome.module}:{outcome.line}\n{outcome.diff}\n    {known[outcome.module, outcome.diff]}")
    for outcome in survived:
        reached = f"{outcome.tests} tests touch it" + (
            f", {outcome.left_out} slower ones were left out" if outcome.left_out else ""
        )
        print(f"\nSURVIVED {outcome.module}:{outcome.line} ({reached})\n{outcome.diff}")
    endless = sum(o.outcome == "timeout" for o in noticed)
    print(f"\n{len(outcomes)} of {drawn} mutants tried: {len(noticed)} killed, {endless} of them by taking too long;")
    print(f"{len(survived)} survived; {len(same)} make no difference ({EQUIVALENT.name} says why).")
    for what, of in (
        ("killed, of those that make a difference", len(noticed) + len(survived)),
        ("killed, of all", len(outcomes)),
    ):
        if of:
            low, high = wilson(len(noticed), of)
            print(f"{what}: {len(noticed)} of {of}, {len(noticed) / of:.1%} (95 % interval {low:.1%} to {high:.1%})")


def _read(path: Path) -> dict[str, Outcome]:
    if not path.is_file():
        return {}
    found = (Outcome(**json.loads(line)) for line in path.read_text("utf-8").splitlines())
    return {outcome.name: outcome for outcome in found}


if __name__ == "__main__":
    main()
