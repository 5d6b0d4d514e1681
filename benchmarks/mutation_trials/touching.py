"""Which test touches which line of which module, and how long it takes: every test file once, under coverage."""

import contextlib
import functools
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
import pytest

from mutation_trials.child import Child
from mutation_trials.drawing import MODULES, ROOT, Mutant, path_of, statement

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
    "tasks",
    "workflows",
)


@dataclass(frozen=True, kw_only=True)
class Touched:
    """What the tests of one file touch, and how long they take."""

    seconds: dict[str, float]  # test or shared fixture → without the shared fixtures under it
    uses: dict[str, list[str]]  # test → shared fixtures
    lines: dict[str, dict[str, list[int]]]  # test or shared fixture → module → lines


def touched_by_tests(state: Path, until: float) -> list[Touched]:
    """Of every test file; what is known of one holds while it, what all tests share and the modules stay as they are."""
    stamp = _digest(
        [*map(path_of, MODULES), *sorted(set((ROOT / "tests").glob("*.py")) - set((ROOT / "tests").glob("test_*.py")))]
    )
    out = []
    for path in _test_files():
        own = _digest([path, *sorted(set(path.parent.glob("*.py")) - set(path.parent.glob("test_*.py")))], stamp)
        kept = state / "touched" / f"{path.parent.name}-{path.stem}-{own}.json"
        if not kept.is_file():
            if time.monotonic() > until:
                sys.exit("the time is over before every test file was looked at; asked again, it goes on")
            kept.parent.mkdir(exist_ok=True)
            begin = time.monotonic()
            child = Child(functools.partial(_look, path, kept), state, 0)
            while (code := child.ended()) is None:
                time.sleep(0.1)
            print(f"{path.relative_to(ROOT)}: {time.monotonic() - begin:.0f} s", flush=True)
            if code:
                sys.exit(f"{path} fails as it is:\n{child.log()[-3000:]}")
        out.append(Touched(**json.loads(kept.read_text("utf-8"))))
    return out


def _test_files() -> list[Path]:
    named = [ROOT / "tests" / name for name in TESTS]
    return [path for each in named for path in (sorted(each.rglob("test_*.py")) if each.is_dir() else [each])]


def _look(path: Path, kept: Path) -> int:
    watch = coverage.Coverage(data_file=None, config_file=False, include=[str(path_of(module)) for module in MODULES])
    noting = _Noting(watch)
    watch.start()
    code = int(pytest.main([str(path)], plugins=[noting]))
    watch.stop()
    lines: dict[str, dict[str, list[int]]] = defaultdict(dict)
    for module in MODULES:
        for line, contexts in watch.get_data().contexts_by_lineno(str(path_of(module))).items():
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


@dataclass(frozen=True, kw_only=True)
class Covering:
    """A test that could notice a mutant."""

    test: str
    seconds: float  # without what it shares with other tests
    fixtures: dict[tuple[str, str], float]  # (file, name) → seconds of each shared fixture under it


def covering(mutant: Mutant, touched: Sequence[Touched]) -> list[Covering]:
    """The tests that touch the statement in question, fastest first."""
    lines = statement(path_of(mutant.module).read_text("utf-8"), mutant.line)
    found: list[Covering] = []
    for file in touched:
        touching = {name for name, modules in file.lines.items() if lines & set(modules.get(mutant.module, ()))}
        for test, shared in file.uses.items():
            if test in touching or touching & set(shared):
                fixtures = {(test.partition("::")[0], name): file.seconds.get(name, 0.0) for name in shared}
                found.append(Covering(test=test, seconds=file.seconds.get(test, 0.0), fixtures=fixtures))
    return sorted(found, key=lambda one: (one.seconds + sum(one.fixtures.values()), one.test))


def _digest(paths: Sequence[Path], *more: str) -> str:
    content = hashlib.sha256("".join(more).encode())
    for path in paths:
        content.update(path.read_bytes())
    return content.hexdigest()[:12]
