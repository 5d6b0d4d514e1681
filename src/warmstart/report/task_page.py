"""The report of a run of a task that has no page of its own: its scores, its drawings, its worst pictures, its data.

    run.json, predictions.csv → what the task says of them (`report.shown`, its part 'figures') → template

Nothing here knows what is learnt.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from warmstart.csv_cells import text_of
from warmstart.data.files import found_again
from warmstart.report.frozen import frozen_in_words
from warmstart.report.line_charts import Line, learning
from warmstart.report.page import Page, environment
from warmstart.report.resize_modes import modes_grid
from warmstart.report.run_record import RunRecord, read_record
from warmstart.report.shown import shown_by
from warmstart.report.thumbnails import Thumbnails
from warmstart.task_protocol import Task
from warmstart.task_registry import part

PREDICTIONS = "predictions.csv"
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


def task_page(
    folder: Path, created: str, task: Task, in_memory: Mapping[str, Any] | None = None
) -> tuple[Page, tuple[str, ...]]:
    """The page, and what it has to do without. Raises InputError for a folder that is no run."""
    record = read_record(folder)
    rows = read_table(folder / PREDICTIONS)
    missing = () if rows is not None else ("the test pictures: there is no readable predictions.csv",)
    shown, figures = shown_by(task), part(task, "figures")
    drawn: Figures = figures(record, rows or []) if figures else Figures()
    data = record.data
    thumbnails = Thumbnails(locate=located(data.working_folder, in_memory or {}))
    thumbnails.add(path for path, _ in drawn.pictures)
    html = environment().get_template("task.html").render(
        title=Path(data.source or folder.name).name,
        created=created,
        task=task.name,
        record=record,
        data=shown.data(data.of_task),
        missing=missing,
        verdict=shown.verdict(record),
        grids=shown.scores(record.scores) if record.scores else (),
        drawings=drawn.drawings,
        curves=_curves(record),
        pictures=[(thumbnails.images.get(path), said) for path, said in drawn.pictures],
        pictures_note=drawn.pictures_note,
        thumbnails=thumbnails,
        notices=[notice.message for notice in data.notices],
        problems=data.problems[:PROBLEMS_SHOWN],
        problems_in_all=len(data.problems),
        modes=modes_grid(record.resize) if record.resize and record.resize.modes else None,
        plan=_made(record, shown.choice(record) if record.choice else ""),
    )  # fmt: skip
    page = Page(
        html=html,
        thumbnails=len(thumbnails.images),
        unreadable=len(thumbnails.unreadable),
        without_room=len(thumbnails.without_room),
    )
    return page, missing


def located(working_folder: str | None, in_memory: Mapping[str, Any]) -> Callable[[str], Any]:
    """From the name of a picture in a record to where it is: a path, or the picture itself."""
    return lambda path: in_memory[path] if path in in_memory else found_again(path, working_folder)


def read_table(path: Path) -> list[dict[str, str]] | None:
    """The rows of predictions.csv; None where it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return [{name: text_of(value) for name, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _curves(record: RunRecord) -> list[tuple[str, Markup]]:
    """(heading, drawing) of what was measured on val, epoch by epoch; nothing where no network was trained."""
    epochs = record.training.epochs if record.training else ()
    if len(epochs) < 2:
        return []
    out = []
    for name in ("loss", *epochs[0].val):
        points = [(float(i), row.val_loss if name == "loss" else row.val[name]) for i, row in enumerate(epochs)]
        words = name.replace("_", " ")
        line = [Line(name="val", points=points)]
        out.append((f"{words} on val", learning(line, x_label="epochs", y_label=words, shares=False)))
    return out


def _made(record: RunRecord, choice: str) -> list[str]:
    plan, training = record.plan, record.training
    out = [f"Network {plan.backbone}, pictures at {plan.image_size_px} px, seed {plan.seed}."]
    out += [f"{choice[:1].upper()}{choice[1:]}."] if choice else []
    if training:
        out.append(f"Trained right of {plan.cut}; of the epochs number {training.best_epoch} was best on val; {training.end}.")
        out += frozen_in_words(training)
    return out
