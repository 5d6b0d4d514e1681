"""What a notebook shows of a run, a model, a diagnosis: one small card of HTML, which asks for nothing and fits a light and a dark page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmstart.predicting import ModelFacts
from warmstart.report.page import environment
from warmstart.report.run_record import RunRecord
from warmstart.report.shown import Grid, shown_by
from warmstart.report.thumbnails import Thumbnails
from warmstart.task_registry import find_task

WORST = 8  # pictures
GRID_ROWS = 12  # of a grid; more are counted


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Counts of (true, said), with the names of rows and columns."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def shade(self, i: int, j: int) -> float:
        """0 … 1: a cell's share of its row."""
        return self.counts[i][j] / max(1, sum(self.counts[i]))


def card(
    title: str,
    *,
    kind: str = "",
    sentences: Sequence[str] = (),
    grids: Sequence[Grid] = (),
    matrix: Matrix | None = None,
    pictures: Sequence[tuple[str | None, str]] = (),
    pictures_heading: str = "",
    in_a_row: int | None = None,
    places: Mapping[str, str] | None = None,
) -> str:
    """HTML. pictures: (JPEG as base64, or None where it cannot be read; what is to be said of it). in_a_row: so many of them; None: as
    many as there is room for. places: what → where it lies.
    """
    shown = [Grid(columns=grid.columns, rows=grid.rows[:GRID_ROWS], numbers=grid.numbers) for grid in grids]
    return (
        environment()
        .get_template("card.html")
        .render(
            title=title,
            kind=kind,
            sentences=[sentence for sentence in sentences if sentence],
            grids=list(zip(shown, [max(0, len(grid.rows) - GRID_ROWS) for grid in grids], strict=True)),
            matrix=matrix,
            pictures=pictures,
            pictures_heading=pictures_heading,
            in_a_row=in_a_row,
            places=places or {},
        )
    )


def picture_cells(sources: Sequence[tuple[Any, str]]) -> list[tuple[str | None, str]]:
    """(picture as `data.memory` takes it, what is to be said of it) as `card` takes them."""
    thumbnails = Thumbnails(locate=lambda name: sources[int(name)][0])
    thumbnails.add(str(i) for i in range(len(sources)))
    return [(thumbnails.images.get(str(i)), words) for i, (_, words) in enumerate(sources)]


def counts_grid(what: str, counts: Mapping[Any, int]) -> Grid:
    """Two columns: what, and how many."""
    return Grid(columns=(what, "pictures"), rows=tuple((str(name), f"{n:,}") for name, n in counts.items()), numbers=(1,))


def run_card(record: RunRecord, folder: Path, rows: Sequence[Mapping[str, str]], locate: Callable[[str], Any]) -> str:
    """Of a run: how good it is, what it takes for what, its worst test pictures, where everything lies. ``rows``: of predictions.csv."""
    shown = shown_by(find_task(record.task))
    worst = shown.worst(record, rows)[:WORST]
    counts = f"{record.data.images:,} pictures"
    said = shown.data(record.data.of_task)
    return card(
        Path(record.data.source or folder.name).name,
        kind=f"run · {record.task} · {counts}{f', {said}' if said else ''} · {record.plan.backbone}, cut {record.plan.cut}",
        sentences=shown.verdict(record),
        grids=shown.scores(record.scores)[:1] if record.scores else (),
        matrix=shown.matrix(record),
        pictures=picture_cells([(locate(path), words) for path, words in worst]),
        pictures_heading="Test pictures that it is farthest off on",
        places={"report": str(folder / "report.html"), "model": str(folder / "model"), "folder": str(folder)},
    )


def model_card(facts: ModelFacts, place: str, task: Any) -> str:
    """Of a model, trained or exported: what it takes, what it says of itself, how good it was when it was made."""
    about = facts.about
    weights, plan, trained = (about.get(name) or {} for name in ("weights", "plan", "scores"))
    told = [(name, _in_short(value)) for name, value in facts.says.items()]
    learnt = len(about.get("trained_on") or ())
    of_network = [f"{facts.backbone}, cut {plan['cut']}" if facts.backbone and plan.get("cut") else facts.backbone or ""]
    kind = [
        "model",
        facts.task,
        *of_network,
        f"{facts.size_px} × {facts.size_px} px",
        f"learnt from {learnt:,} pictures" if learnt else "",
    ]
    test = trained.get("test")
    return card(
        Path(place).name,
        kind=" · ".join(filter(None, kind)),
        sentences=[f"Licence of the weights it began with: {weights['licence']}."] if weights.get("licence") else (),
        grids=[
            Grid(columns=("it says of itself", ""), rows=tuple(told)),
            *(shown_by(task).scores({"test, when it was made": task.read_scores(test)})[:1] if test else ()),
        ],
        places={"made": str(about["created"])} | {"folder": place} if about.get("created") else {"place": place},
    )


def _in_short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value[:GRID_ROWS])) + (f" … {len(value):,} in all" if len(value) > GRID_ROWS else "")
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
