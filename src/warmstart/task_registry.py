"""The tasks that there are: ours, and those of other packages, which register theirs under the entry point group `warmstart.tasks`."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from warmstart.errors import PlugInError, UnknownNameError, UsageError, WarmstartError
from warmstart.task_protocol import Task

GROUP = "warmstart.tasks"
USUAL = "classify"  # of what names no task: there was no other

OURS: Mapping[str, str] = {
    "classify": "warmstart.tasks.classify.task:TASK",
    "multilabel": "warmstart.tasks.multilabel.task:TASK",
    "ordinal": "warmstart.tasks.ordinal.task:TASK",
    "regress": "warmstart.tasks.regress.task:TASK",
}


# Those of ours that let something be chosen: where their options are written, to be read without the task itself.
OPTIONS: Mapping[str, str] = {
    "multilabel": "warmstart.tasks.multilabel.options:LabelOptions",
    "ordinal": "warmstart.tasks.ordinal.options:OrderOptions",
    "regress": "warmstart.tasks.regress.options:NumberOptions",
}


def options_of_ours() -> dict[str, type]:
    """Task → the dataclass of its options, of our own tasks: what the command line has flags for."""
    return {name: _imported(place) for name, place in OPTIONS.items()}


def task_names() -> tuple[str, ...]:
    """All of them, ours first."""
    return (*OURS, *sorted(_theirs()))


def find_task(name: str) -> Task:
    """The task of this name. Raises UnknownNameError, or UsageError for a plug-in that cannot be used, with what provides it."""
    if name in OURS:
        ours: Task = _imported(OURS[name])
        return ours
    theirs = _theirs()
    if name not in theirs:
        raise UnknownNameError("task", name, task_names(), hint="A task may be in a package that is not installed here")
    return _loaded(theirs[name])


def part(task: Task, name: str) -> Any:
    """What a task has for something that not every task has, such as 'advice'; None where it has none."""
    place = task.parts.get(name)
    return None if place is None else _imported(place)


def provider(name: str) -> str | None:
    """'package version' that a task comes from; None for ours."""
    found = _theirs().get(name) if name not in OURS else None
    return None if found is None or found.dist is None else f"{found.dist.name} {found.dist.version}"


def _theirs() -> dict[str, EntryPoint]:
    """Raises UsageError where two packages have a task of one name, or one has a name of ours."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name in OURS or entry.name in found:
            raise UsageError(
                f"the task {entry.name!r} of {_package(entry)} has the name of another, of "
                f"{'warmstart' if entry.name in OURS else _package(found[entry.name])}: uninstall one of the two"
            )
        found[entry.name] = entry
    return found


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _loaded(entry: EntryPoint) -> Task:
    try:
        task = entry.load()
    except Exception as reason:  # whatever the import of another's package raises
        raise UsageError(
            f"the task {entry.name!r} of {_package(entry)} cannot be imported ({type(reason).__name__}: {reason}): "
            "update or uninstall that package"
        ) from reason
    missing = [name for name in _ASKED if not hasattr(task, name)]
    if missing:
        raise UsageError(
            f"the task {entry.name!r} of {_package(entry)} lacks {', '.join(missing)}, which warmstart asks of a task: update that package"
        )
    if task.name != entry.name:
        raise UsageError(f"the task {entry.name!r} of {_package(entry)} calls itself {task.name!r}: update that package")
    guarded: Any = _Guarded(task, f"the task {entry.name!r} of {_package(entry)}")
    return guarded  # type: ignore[no-any-return]


# Their errors are those of a file that anybody may have written, which whoever reads the file tells.
_READS_FILES = ("restore", "reading", "described", "read_scores")


class _Guarded:
    """A task of another package: what it raises is told as its own, not as a fault of ours."""

    def __init__(self, task: Any, who: str) -> None:
        self._task, self._who = task, who

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._task, name)
        if not callable(found) or isinstance(found, type) or name in _READS_FILES:
            return found

        @wraps(found)
        def told(*given: Any, **named: Any) -> Any:
            with told_of(self._who, name):
                return found(*given, **named)

        return told


@contextmanager
def told_of(who: str, what: str) -> Iterator[None]:
    """Raises PlugInError for whatever else than a WarmstartError another's code raises in the block."""
    try:
        yield
    except (WarmstartError, MemoryError, OSError):
        raise
    except Exception as reason:
        where = traceback.extract_tb(reason.__traceback__)[-1]
        raise PlugInError(
            f"{who} failed in {what!r} ({type(reason).__name__}: {reason}; {Path(where.filename).name} line {where.lineno}): that is for "
            "its authors to mend. Update that package, or name another task with --task"
        ) from reason


def owner_of(name: str) -> str:
    """A task in words: with the package that it comes from, if that is not ours."""
    found = provider(name)
    return f"the task {name!r}" + (f" of {found}" if found else "")


_ASKED = tuple(name for name in {**Task.__annotations__, **vars(Task)} if not name.startswith("_"))


def _imported(place: str) -> Any:
    module, colon, name = place.partition(":")
    return getattr(import_module(module), name) if colon else import_module(module)
