"""How an explanation looks in a terminal: what was explained, the nearest training pictures, where the pictures are."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from warmstart.cli.tables import console
from warmstart.cli.terminal import printable

if TYPE_CHECKING:
    from warmstart.tasks.classify.explain.explanation import Explanation
    from warmstart.workflows.filters import FilterPicture


def explanation(result: "Explanation") -> None:
    """The prediction, the heat-map in a sentence, the neighbours."""
    out, prediction = console(), result.prediction
    out.print(
        f"[bold]{escape(printable(prediction.class_name))}[/bold] {prediction.probability:.1%}: {_shown(prediction.source)}"
    )
    heat = result.heat
    out.print(
        f"evidence for {escape(printable(result.class_name))} "
        f"({prediction.probabilities[result.class_name]:.1%}) by {heat.method} at {heat.layer}, "
        f"{heat.values.shape[0]}×{heat.values.shape[1]} positions, of: {result.quantity}"
    )
    if result.neighbours:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("nearest training picture", overflow="fold")
        table.add_column("class")
        table.add_column("distance", justify="right")
        for neighbour in result.neighbours:
            table.add_row(_shown(neighbour.path), escape(printable(neighbour.class_name)), f"{neighbour.distance:.3f}")
        out.print(table)
    for note in result.notes:
        out.print(f"[yellow]{escape(printable(note))}[/yellow]", soft_wrap=True)
    _files(out, result.files)


def filters(result: "FilterPicture") -> None:
    """What was drawn, and where to."""
    out = console()
    count, _, height, width = result.filters.weights.shape
    out.print(f"{escape(result.filters.backbone)}: {count} filters of {height}×{width} at {escape(result.filters.path)}")
    _files(out, result.files)


def _files(out: Console, files: tuple[str, ...]) -> None:
    for path in files:
        if path.endswith(".png"):
            out.print(f"written: [bold]{_shown(path)}[/bold] (and .svg)", soft_wrap=True)


def _shown(path: str) -> str:
    return escape(printable(path))
