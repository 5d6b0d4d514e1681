"""How what a task says is shown to people, in a terminal, on a page, in a CSV file: grids of text, and sentences.

What stands here serves any task, made of what it says of itself as JSON. A task that can say it better has a part 'shown', a module
with the same functions.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from warmstart.evaluation.novelty import UNLIKE
from warmstart.report.run_record import RunRecord
from warmstart.task_protocol import Answer, Task
from warmstart.task_registry import part


class Loud(str):
    """A cell that is to catch the eye."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Text in rows. Columns in ``numbers`` stand to the right."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()


def shown_by(task: Task) -> Any:
    """The functions of this module, a task's own where it has them."""
    return _Shown(part(task, "shown"))


class _Shown:
    """A task's module before this one. Not by its name: `warmstart.report` is the function."""

    def __init__(self, own: ModuleType | None) -> None:
        self._own = own

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._own, name, None)
        return getattr(sys.modules[__name__], name) if own is None else own


def data(said: Mapping[str, Any]) -> str:
    """Of what the task says of its targets in a record, what follows 'N images, '; '' for nothing."""
    return ""


def choice(record: RunRecord) -> str:
    """How what was fitted was chosen, as a clause; '' for nothing."""
    return ""


def scores(by_split: Mapping[str, Any]) -> tuple[Grid, ...]:
    """A column a split, a row a score."""
    documents = {split: one.to_dict() for split, one in by_split.items()}
    names = list(dict.fromkeys(name for one in documents.values() for name, value in one.items() if _is_number(value)))
    rows = [(name.replace("_", " "), *(_score(one, name) for one in documents.values())) for name in names]
    heads = [
        split + (" (chosen on)" if one.get("used_for_choosing") and split == "val" else "") for split, one in documents.items()
    ]
    return (Grid(columns=("", *heads), rows=tuple(rows), numbers=tuple(range(1, len(heads) + 1))),)


def verdict(record: RunRecord) -> list[str]:
    """What the scores of a run come down to, in sentences; nothing for a task that does not say it."""
    return []


def worst(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> Sequence[tuple[str, str]]:
    """Test pictures that the model is farthest off on, the worst first: (path, what is to be said of it). ``rows``: of predictions.csv."""
    return ()


def matrix(record: RunRecord) -> Any:
    """What was taken for what on test, as a `report.cards.Matrix`; None for a task that does not say it."""
    return None


def plot(record: RunRecord, rows: Sequence[Mapping[str, str]], axes: Any) -> None:
    """Draw what test pictures came to onto ``axes`` of matplotlib's: here a bar for each score between 0 and 1."""
    test = record.scores.get("test")
    found = {
        name.replace("_", " "): float(value)
        for name, value in (test.to_dict() if test else {}).items()
        if _is_number(value) and isinstance(value, float) and 0 <= value <= 1
    }
    axes.barh(list(found), list(found.values()), color="#0072B2", height=0.6)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("on test pictures")
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")


def in_brief(scores: Any) -> dict[str, Any]:
    """JSON-ready: of the scores of a split what stands in a list of runs."""
    return dict(scores.to_dict())


def answers(found: Sequence[Answer], names: Sequence[str], coverage: Any, top: int) -> tuple[Grid, tuple[str, ...]]:
    """A row a picture, and what is to be said of all. ``names``: as the pictures are to be called. ``top``: how many likely ones."""
    columns = list(dict.fromkeys(name for one in found for name, _ in _flat(one.to_dict())))
    rows = [
        (name, *(_text(dict(_flat(one.to_dict())).get(c)) for c in columns)) for name, one in zip(names, found, strict=True)
    ]
    notes = (f"asked for {coverage.to_dict().get('asked')}: {coverage.to_dict()}",) if coverage is not None else ()
    return Grid(columns=("picture", *columns), rows=tuple(rows), numbers=tuple(range(1, len(columns) + 1))), notes


def table(found: Sequence[Answer], facts: Mapping[str, Any], coverage: Any) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns and rows of a CSV file of answers."""
    columns = list(dict.fromkeys(name for one in found for name, _ in _flat(one.to_dict())))
    return ("path", *columns), [(one.source, *(dict(_flat(one.to_dict())).get(name) for name in columns)) for one in found]


def parity(found: Any) -> Grid:
    """An export beside float32 PyTorch."""
    rows = [(name.replace("_", " "), _text(value)) for name, value in found.to_dict().items() if _is_number(value)]
    return Grid(columns=("", "exported"), rows=tuple(rows), numbers=(1,))


def novelty(percentile: float | None) -> str:
    """A cell: how unlike training a picture is; loud where what is said of it means little."""
    if percentile is None:
        return ""
    return Loud(f"{percentile:.1f}") if percentile >= UNLIKE else f"{percentile:.1f}"


def unlike(found: Sequence[Any]) -> list[str]:
    """What is to be said of answers with a ``novelty``: how many pictures are unlike training; nothing where none is."""
    count = sum(one.novelty is not None and one.novelty >= UNLIKE for one in found)
    if not count:
        return []
    return [
        Loud(
            f"{count:,} of {len(found):,} pictures are unlike training: farther from its pictures than {UNLIKE:g} % of these are from "
            "each other. What the model says of them means little."
        )
    ]


def _flat(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        elif name != "path":
            yield f"{before}{name}", value


def _score(document: Mapping[str, Any], name: str) -> str:
    value, interval = document.get(name), document.get(f"{name}_ci95")
    if not _is_number(value):
        return ""
    return _text(value) + (" ({}-{})".format(*map(_text, interval)) if interval else "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value[:5])) + (" …" if len(value) > 5 else "")
    return f"{value:,}" if _is_number(value) else str(value)
