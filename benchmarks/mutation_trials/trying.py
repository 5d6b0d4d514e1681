"""Each mutant with the tests that touch it, fastest first, until one fails."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from mutation_trials.child import Child
from mutation_trials.drawing import Mutant, path_of
from mutation_trials.touching import Touched, covering

LONGEST_S = 150.0  # of tests by what they took under coverage; slower ones of a mutant are left out, and counted
PATIENCE, SPARE_S = (
    12.0,
    120.0,
)  # a mutant has so many times as long as its tests took, and so much more, before it counts as endless


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


def tried(mutants: Sequence[Mutant], touched: Sequence[Touched], state: Path, jobs: int, until: float) -> Iterator[Outcome]:
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
        self.chosen: list[str] = []
        expected, made = 0.0, set[tuple[str, str]]()
        for one in found:
            # A shared fixture is paid for once.
            cost = one.seconds + sum(seconds for name, seconds in one.fixtures.items() if name not in made)
            if expected + cost > LONGEST_S and self.chosen:
                continue
            expected += cost
            self.chosen.append(one.test)
            made |= one.fixtures.keys()
        self.left_out = len(found) - len(self.chosen)
        self.deadline = self.begin + PATIENCE * expected + SPARE_S
        self.child = Child(self._test, state, place) if self.chosen else None

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


class _Handed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An import hook that hands out the mutant for its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Of the module in question alone."""
        return importlib.util.spec_from_loader(name, self, origin=str(path_of(name))) if name == self.mutant.module else None

    def exec_module(self, module: ModuleType) -> None:
        """The mutant, as if it stood in the file."""
        path = str(path_of(self.mutant.module))
        module.__file__ = path
        code: CodeType = compile(self.mutant.source, path, "exec")
        exec(code, module.__dict__)
