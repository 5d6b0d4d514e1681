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
import ast
import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import shutil
import signal
import sys
import time
import tomllib
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import coverage
import pytest
from mutmut.mutation.file_mutation import create_mutations

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")

# What chooses, calibrates, scores, splits and forecasts.
MODULES = (
    "warmstart.data.splitting",
    "warmstart.evaluation.calibration",
    "warmstart.evaluation.conformal",
    "warmstart.evaluation.intervals",
    "warmstart.evaluation.metrics",
    "warmstart.evaluation.novelty",
    "warmstart.evaluation.trust",
    "warmstart.heads.folds",
    "warmstart.heads.selection",
    "warmstart.inspection.competition",
    "warmstart.inspection.evidence",
    "warmstart.inspection.learning_curve",
    "warmstart.inspection.probing",
    "warmstart.strategy.advice",
    "warmstart.strategy.forecast",
    "warmstart.strategy.taps",
    "warmstart.training.pace",
    "warmstart.training.validation",
    "warmstart.workflows.advised",
    "warmstart.workflows.candidates",
    "warmstart.session.dataset",
    "warmstart.workflows.evaluate",
    "warmstart.session.forecasting",
    "warmstart.workflows.held_out",
    "warmstart.session.near_copies",
    "warmstart.session.outcome",
    "warmstart.session.probe",
    "warmstart.session.calibration",
)
TESTS = (  # that could notice: files and folders
    "data/test_splitting.py",
    "evaluation",
    "heads",
    "inspection",
    "strategy",
    "training",
    "model/test_trust.py",
    "export/test_held_out_pictures.py",
    "session",
    "workflows",
)
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
LONGEST_S = 150.0  # of tests by what they took under coverage; slower ones of a mutant are left out, and counted
PATIENCE, SPARE_S = (
    12.0,
    120.0,
)  # a mutant has so many times as long as its tests took, and so much more, before it counts as endless


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One module with one fault."""

    module: str
    line: int  # of the module as it is
    diff: str
    source: str

    @property
    def name(self) -> str:
        """The same as long as the module is."""
        return hashlib.sha256(f"{self.module}\n{self.source}".encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Touched:
    """What the tests of one file touch, and how long they take."""

    seconds: dict[str, float]  # test or shared fixture → without the shared fixtures under it
    uses: dict[str, list[str]]  # test → shared fixtures
    lines: dict[str, dict[str, list[int]]]  # test or shared fixture → module → lines


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the tests made of a mutant."""

    name: str
    module: str
    line: int
    diff: str
    outcome: str  # killed, survived, timeout
    by: str  # the first test that failed
    tests: int
    left_out: int  # tests that would have taken too long
    seconds: float


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
    touched = _touched(state, until)
    if asked.map_only:
        return
    drawn = draw(asked.mutants, asked.seed)
    known = _read(state / "outcomes.jsonl")
    todo = [m for m in drawn if m.name not in known or (asked.again and known[m.name].outcome == "survived")]
    for outcome in _tried(todo, touched, state, asked.jobs, until):
        known[outcome.name] = outcome
        with (state / "outcomes.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
        done = sum(m.name in known for m in drawn)
        print(
            f"{done:>4} of {len(drawn)}  {outcome.outcome:<8} {outcome.seconds:6.1f} s  {outcome.module}:{outcome.line}  {outcome.by}",
            flush=True,
        )
    _tell([known[m.name] for m in drawn if m.name in known], len(drawn))


def draw(n: int, seed: int) -> list[Mutant]:
    """``n`` of all mutants of `MODULES`, each as likely as any other, in an order that hangs on the seed alone."""
    places = [(module, i) for module in MODULES for i in range(len(_mutations(module)[1]))]
    chosen = random.Random(seed).sample(places, min(n, len(places)))
    return [_mutant(module, i) for module, i in chosen]


def covering(mutant: Mutant, touched: Sequence[Touched]) -> list[tuple[float, str]]:
    """(expected seconds, test) of the tests that touch the statement in question, fastest first."""
    lines = _statement(_path(mutant.module).read_text("utf-8"), mutant.line)
    found: list[tuple[float, str]] = []
    for file in touched:
        touching = {name for name, modules in file.lines.items() if lines & set(modules.get(mutant.module, ()))}
        for test, shared in file.uses.items():
            if test in touching or touching & set(shared):
                found.append((sum(file.seconds.get(name, 0.0) for name in (test, *shared)), test))
    return sorted(found)


# Mutants.


@functools.cache
def _mutations(module: str) -> tuple[Any, list[Any]]:
    path = _path(module)
    tree, mutations, _, _ = create_mutations(str(path), path.read_text("utf-8"))
    return tree, [m for m in mutations if m.contained_by_top_level_function and not _is_prose(m.original_node)]


def _mutant(module: str, i: int) -> Mutant:
    tree, mutations = _mutations(module)
    before = _path(module).read_text("utf-8")
    after: str = tree.deep_replace(mutations[i].original_node, mutations[i].mutated_node).code
    changed = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    line = int(changed[0].split()[1].lstrip("-").split(",")[0])
    return Mutant(module=module, line=line, diff="\n".join(changed[1:]), source=after)


def _is_prose(node: Any) -> bool:
    return type(node).__name__ == "SimpleString" and " " in node.value.strip("\"'f ")


def _path(module: str) -> Path:
    return SOURCE / Path(*module.split(".")).with_suffix(".py")


def _statement(source: str, line: int) -> set[int]:
    """The lines of the innermost statement that the line belongs to; of a compound one its head, of a function's head all of it."""
    innermost: ast.stmt | None = None
    for node in ast.walk(ast.parse(source)):
        inside = isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
        if inside and (innermost is None or node.lineno >= innermost.lineno):
            innermost = node
    if innermost is None:
        return {line}
    body = getattr(innermost, "body", None)
    whole = not body or isinstance(innermost, ast.FunctionDef)
    return set(range(innermost.lineno, (innermost.end_lineno or line) + 1 if whole else body[0].lineno))


class _Handed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An import hook that hands out the mutant for its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Of the module in question alone."""
        return importlib.util.spec_from_loader(name, self, origin=str(_path(name))) if name == self.mutant.module else None

    def exec_module(self, module: ModuleType) -> None:
        """The mutant, as if it stood in the file."""
        path = str(_path(self.mutant.module))
        module.__file__ = path
        code: CodeType = compile(self.mutant.source, path, "exec")
        exec(code, module.__dict__)


# Which test touches what.


def _touched(state: Path, until: float) -> list[Touched]:
    """Of every test file; what is known of one holds while it, what all tests share and the modules stay as they are."""
    stamp = _digest(
        [*map(_path, MODULES), *sorted(set((ROOT / "tests").glob("*.py")) - set((ROOT / "tests").glob("test_*.py")))]
    )
    out = []
    for path in _test_files():
        own = _digest([path, *path.parent.glob("conftest.py")], stamp)
        kept = state / "touched" / f"{path.parent.name}-{path.stem}-{own}.json"
        if not kept.is_file():
            if time.monotonic() > until:
                sys.exit("the time is over before every test file was looked at; asked again, it goes on")
            kept.parent.mkdir(exist_ok=True)
            begin = time.monotonic()
            child = _Child(functools.partial(_look, path, kept), state, 0)
            while (code := child.ended()) is None:
                time.sleep(0.1)
            print(f"{path.relative_to(ROOT)}: {time.monotonic() - begin:.0f} s", flush=True)
            if code:
                sys.exit(f"{path} fails as it is:\n{child.log()[-3000:]}")
        out.append(Touched(**json.loads(kept.read_text("utf-8"))))
    return out


def _test_files() -> list[Path]:
    named = [ROOT / "tests" / name for name in TESTS]
    return [path for each in named for path in (sorted(each.glob("test_*.py")) if each.is_dir() else [each])]


def _look(path: Path, kept: Path) -> int:
    watch = coverage.Coverage(data_file=None, config_file=False, include=[str(_path(module)) for module in MODULES])
    noting = _Noting(watch)
    watch.start()
    code = int(pytest.main([str(path)], plugins=[noting]))
    watch.stop()
    lines: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for module in MODULES:
        for line, contexts in watch.get_data().contexts_by_lineno(str(_path(module))).items():
            for context in filter(None, contexts):
                lines[context].setdefault(module, []).append(line)
    if code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):  # the latter: skipped as a whole, here
        kept.write_text(json.dumps({"seconds": noting.seconds, "uses": noting.uses, "lines": lines}), "utf-8")
        return 0
    return code


class _Noting:
    """Tells coverage whose lines come next, and notes how long each takes: a test, or a fixture that several tests share."""

    def __init__(self, watch: coverage.Coverage) -> None:
        self.watch = watch
        self.inside: list[str] = []
        self.since = 0.0
        self.seconds: dict[str, float] = defaultdict(float)
        self.uses: dict[str, list[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """A test, its own fixtures included."""
        known = item._fixtureinfo.name2fixturedefs
        fixtures = [known[name][-1] for name in item.fixturenames if name in known]
        self.uses[item.nodeid] = [_name(fixture) for fixture in fixtures if fixture.scope != "function"]
        with self._counted(item.nodeid):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """A fixture; those of a test alone are part of the test."""
        if fixturedef.scope == "function":
            return (yield)
        with self._counted(_name(fixturedef)):
            return (yield)

    @contextlib.contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        self._turn()
        self.inside.append(name)
        self.watch.switch_context(name)
        try:
            yield
        finally:
            self._turn()
            self.inside.pop()
            self.watch.switch_context(self.inside[-1] if self.inside else "")

    def _turn(self) -> None:
        now = time.monotonic()
        if self.inside:
            self.seconds[self.inside[-1]] += now - self.since
        self.since = now


def _name(fixture: Any) -> str:
    return f"fixture {fixture.baseid}::{fixture.argname}"


# Running.


def _tried(mutants: Sequence[Mutant], touched: Sequence[Touched], state: Path, jobs: int, until: float) -> Iterator[Outcome]:
    """Each mutant, ``jobs`` at once, in the order in which they end."""
    waiting = list(reversed(mutants))
    running: dict[int, _Trial] = {}
    while running or (waiting and time.monotonic() < until):
        for place in range(jobs):
            if place not in running and waiting and time.monotonic() < until:
                running[place] = _Trial(waiting.pop(), touched, state, place)
        for place, trial in list(running.items()):
            if outcome := trial.outcome():
                del running[place]
                yield outcome
        time.sleep(0.05)


class _Trial:
    """A mutant whose tests run."""

    def __init__(self, mutant: Mutant, touched: Sequence[Touched], state: Path, place: int) -> None:
        self.mutant, self.begin = mutant, time.monotonic()
        found = covering(mutant, touched)
        self.chosen, expected, seen = [], 0.0, set[str]()
        for seconds, test in found:
            # A shared fixture is paid for once; to count it for each test errs on the side of leaving out.
            if expected + seconds > LONGEST_S and self.chosen:
                break
            expected += seconds
            self.chosen.append(test)
            seen.add(test)
        self.left_out = len(found) - len(self.chosen)
        self.deadline = self.begin + PATIENCE * expected + SPARE_S
        self.child = _Child(self._test, state, place) if self.chosen else None

    def outcome(self) -> Outcome | None:
        """None while they run."""
        code = self.child.ended() if self.child else 0
        if code is None and self.child and time.monotonic() > self.deadline:
            self.child.kill()
            return self._outcome("timeout", "")
        if code is None:
            return None
        return self._outcome("killed" if code else "survived", self.child.failed() if self.child and code else "")

    def _test(self) -> int:
        sys.meta_path.insert(0, _Handed(self.mutant))
        return int(pytest.main(["-x", *self.chosen], plugins=[_InOrder(self.chosen)]))

    def _outcome(self, outcome: str, by: str) -> Outcome:
        mutant = self.mutant
        return Outcome(
            name=mutant.name,
            module=mutant.module,
            line=mutant.line,
            diff=mutant.diff,
            outcome=outcome,
            by=by,
            tests=len(self.chosen),
            left_out=self.left_out,
            seconds=round(time.monotonic() - self.begin, 1),
        )


class _InOrder:
    """Tests in a given order, whatever a conftest says."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.place = {test: i for i, test in enumerate(tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """By the place in the order."""
        items.sort(key=lambda item: self.place.get(item.nodeid, len(self.place)))


class _Child:
    """A forked process that calls a function and ends with what it returns; what it says lies in a file."""

    def __init__(self, call: Callable[[], int], state: Path, place: int) -> None:
        self.said, self.temporary = state / f"log-{place}.txt", state / f"temporary-{place}"
        shutil.rmtree(self.temporary, ignore_errors=True)
        sys.stdout.flush()
        self.id = os.fork()
        if self.id:
            return
        code = 1
        try:
            os.setsid()
            self.temporary.mkdir()
            os.environ["PYTEST_ADDOPTS"] = f"--basetemp={self.temporary / 'pytest'} --assert=plain"
            os.environ["TMPDIR"] = str(self.temporary)
            with self.said.open("w", encoding="utf-8") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = call()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def ended(self) -> int | None:
        """The exit status; None while it runs."""
        done, status = os.waitpid(self.id, os.WNOHANG)
        return (abs(os.waitstatus_to_exitcode(status))) if done else None

    def kill(self) -> None:
        """And all that it started."""
        os.killpg(self.id, signal.SIGKILL)
        os.waitpid(self.id, 0)

    def log(self) -> str:
        """What it said."""
        return self.said.read_text("utf-8", errors="replace")

    def failed(self) -> str:
        """The first test that failed, as far as can be told."""
        lines = [line for line in self.log().splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return lines[0].split(" - ")[0].split(" ", 1)[1] if lines else "not a test: the process"


# Telling.


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


def _digest(paths: Sequence[Path], *more: str) -> str:
    content = hashlib.sha256("".join(more).encode())
    for path in paths:
        content.update(path.read_bytes())
    return content.hexdigest()[:12]


if __name__ == "__main__":
    main()
