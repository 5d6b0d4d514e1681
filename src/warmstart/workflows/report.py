"""report: a run folder or that of a comparison as one page, report.html, written beside what it shows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from warmstart.atomic import write_bytes
from warmstart.errors import InputError
from warmstart.model.predictor import Model
from warmstart.records import read_json
from warmstart.report.page import Page
from warmstart.report.run_record import NO_RECORD, RunRecord
from warmstart.report.task_page import task_page
from warmstart.task_protocol import Task
from warmstart.task_registry import USUAL, find_task, part

REPORT = "report.html"
COMPARISON = "compare.json"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Where the page is, and what it had to do with or without."""

    path: str
    bytes: int
    thumbnails: int
    unreadable: int  # pictures whose file is gone or broken by now: the page has a placeholder
    without_room: int  # pictures left without a thumbnail, so that the page stays small
    missing: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def report(
    folder: Path,
    *,
    model: Model | None = None,
    in_memory: Mapping[str, Any] | None = None,
    heat_maps: bool = True,
    limit_s: float | None = None,
) -> Report:
    """Write FOLDER/report.html, replacing one that is there. Raises InputError where there is neither run nor comparison, MachineError.

    model: the run's, when it is in memory. in_memory: name → picture, of those that lie in no file. heat_maps: of a few test pictures, as
    many as ``limit_s`` seconds last for (None: little at the end of a run, whose model is in memory, and enough otherwise).
    """
    created = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    missing: tuple[str, ...] = ()
    if (folder / COMPARISON).is_file():
        page: Page = part(find_task(USUAL), "comparison report")(_comparison(folder / COMPARISON), created)
    else:
        task = _task_of(folder)
        make = part(task, "report")
        if make is None:
            page, missing = task_page(folder, created, task, in_memory or {})
        else:
            page, missing = make(folder, created, model=model, in_memory=in_memory or {}, heat_maps=heat_maps, limit_s=limit_s)
    path = folder / REPORT
    content = page.html.encode("utf-8", "backslashreplace")
    write_bytes(path, content)
    return Report(
        path=str(path),
        bytes=len(content),
        thumbnails=page.thumbnails,
        unreadable=page.unreadable,
        without_room=page.without_room,
        missing=missing,
    )


def _task_of(folder: Path) -> Task:
    """The task of a run, by which alone its record can be read; of a folder that is none, the usual one, which says what is wrong."""
    try:
        name = read_json(folder / "run.json", errors="surrogateescape")["plan"].get("task", USUAL)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        name = USUAL
    return find_task(name)


def _comparison(path: Path) -> dict[str, Any]:
    """compare.json, its records typed."""
    try:
        document = dict(read_json(path, errors="surrogateescape"))
        contestants = [{**one, "record": RunRecord.from_dict(one["record"])} for one in document["contestants"]]
        contestants[0]
    except (*NO_RECORD, IndexError) as reason:
        raise InputError(f"{path} is not the result of a comparison ({type(reason).__name__}: {reason}).") from reason
    return document | {"contestants": contestants}
