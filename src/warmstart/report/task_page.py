"""The report of a run of a task that has no page of its own: its scores, its drawings, its worst pictures, its data.

    run.json, predictions.csv → what the task says of them (`report.shown`, its part 'figures') → template

Nothing here knows what is learnt.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from warmstart.csv_cells import text_of
from warmstart.data.files import found_again
from warmstart.errors import InputError
from warmstart.records import read_json
from warmstart.report.frozen import frozen_in_words
from warmstart.report.line_charts import Line, learning
from warmstart.report.page import Page, environment
from warmstart.report.shown import shown_by
from warmstart.report.thumbnails import Thumbnails
from warmstart.task_protocol import Task
from warmstart.task_registry import part

PROBLEMS_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One of a task's own."""

    heading: str
    drawing: Markup
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a task's part 'figures' makes of a run: a function (record, rows of predictions.csv) → Figures."""

    drawings: tuple[Drawing, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()  # (path, what is to be said of it): those that are worth a look
    pictures_note: str = ""


@dataclass(frozen=True)
class _Record:
    """run.json, to be read by attributes as the record of a run in memory is."""

    document: Mapping[str, Any]
    scores: Mapping[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return self.document.get(name, {})


def task_page(folder: Path, created: str, task: Task) -> tuple[Page, tuple[str, ...]]:
    """The page, and what it has to do without. Raises InputError for a folder that is no run."""
    record = _read(folder)
    rows = _rows(folder / "predictions.csv")
    missing = () if rows is not None else ("the test pictures: there is no readable predictions.csv",)
    shown, figures = shown_by(task), part(task, "figures")
    drawn: Figures = figures(record, rows or []) if figures else Figures()
    data = record["data"]
    thumbnails = Thumbnails(locate=lambda path: found_again(path, data.get("working_folder")))
    thumbnails.add(path for path, _ in drawn.pictures)
    scores = {split: task.read_scores(one) for split, one in record["scores"].items() if one}
    problems = data.get("problems", [])
    html = environment().get_template("task.html").render(
        title=Path(str(data.get("source", folder.name))).name,
        created=created,
        task=task.name,
        record=record,
        data=shown.data(data),
        missing=missing,
        verdict=shown.verdict(record),
        grids=shown.scores(scores) if scores else (),
        drawings=drawn.drawings,
        curves=_curves(record),
        pictures=[(thumbnails.images.get(path), said) for path, said in drawn.pictures],
        pictures_note=drawn.pictures_note,
        thumbnails=thumbnails,
        notices=[str(notice["message"]) for notice in data.get("notices", ())],
        problems=problems[:PROBLEMS_SHOWN],
        problems_in_all=len(problems),
        plan=_made(record, shown.choice(_Record(record))),
    )  # fmt: skip
    page = Page(
        html=html,
        thumbnails=len(thumbnails.images),
        unreadable=len(thumbnails.unreadable),
        without_room=len(thumbnails.without_room),
    )
    return page, missing


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        record = dict(read_json(path, errors="surrogateescape"))
        record["data"]["images"], record["plan"]["backbone"], record["scores"].items()
    except FileNotFoundError as reason:
        raise InputError(f"{folder} is not a finished run: there is no run.json in it") from reason
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise InputError(
            f"{path} is not the record of a run ({type(reason).__name__}: {reason}). Copy it again, or train again."
        ) from reason
    return {"seconds": {}, "engine": {}, "training": {}, "choice": {}, "versions": {}} | record


def _rows(path: Path) -> list[dict[str, str]] | None:
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return [{name: text_of(value) for name, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _curves(record: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """(heading, drawing) of what was measured on val, epoch by epoch; nothing where no network was trained."""
    epochs = (record.get("training") or {}).get("epochs", ())
    if len(epochs) < 2:
        return []
    names = [name for name in epochs[0] if name.startswith("val_") and isinstance(epochs[0][name], int | float)]
    out = []
    for name in names:
        points = [(float(i), float(row[name])) for i, row in enumerate(epochs)]
        words = name.removeprefix("val_").replace("_", " ")
        line = [Line(name="val", points=points)]
        out.append((f"{words} on val", learning(line, x_label="epochs", y_label=words, shares=False)))
    return out


def _made(record: Mapping[str, Any], choice: str) -> list[str]:
    plan, training = record["plan"], record["training"]
    out = [f"Network {plan['backbone']}, pictures at {plan.get('image_size_px')} px, seed {plan.get('seed')}."]
    out += [f"{choice[:1].upper()}{choice[1:]}."] if choice else []
    if training:
        out.append(
            f"Trained right of {plan['cut']}; of the epochs number {training['best_epoch']} was best on val; {training['end']}."
        )
        out += frozen_in_words(training)
    return out
