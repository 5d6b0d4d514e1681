"""How an export looks in a terminal."""

from typing import TYPE_CHECKING

from rich.markup import escape

from warmstart.cli.tables import console, drawn
from warmstart.cli.terminal import printable
from warmstart.report.shown import shown_by
from warmstart.task_registry import find_task

if TYPE_CHECKING:
    from warmstart.task_protocol import Parity
    from warmstart.workflows.export import Export


def export(result: "Export") -> None:
    """Where it is, how it compares with PyTorch, and what to do with it."""
    out = console()
    if result.parity is None:
        out.print(f"[bold]{result.format} {result.precision}[/bold], not proved: there was no picture to compare on")
    else:
        out.print(_title(result.parity))
        out.print(drawn(shown_by(find_task(result.task)).parity(result.parity)))
        for failure in result.parity.failures:
            out.print(f"beyond the limit: {failure}", style="red")
        for worst in result.parity.worst_in_words() if result.parity.failures else ():
            out.print(f"  {escape(printable(worst))}", soft_wrap=True)
    for note in result.notes:
        out.print(f"note: {escape(printable(note))}", soft_wrap=True)
    if not result.proven:
        out.print("kept because of --force, and marked unproven in the file", style="yellow")
    out.print(f"written to [bold]{escape(printable(str(result.file)))}[/bold] in {result.seconds:.0f} s", soft_wrap=True)
    if result.format != "torch-export":
        out.print(
            f"predict with: warmstart predict {escape(printable(str(result.file)))} PICTURES…", style="dim", soft_wrap=True
        )


def _title(parity: "Parity") -> str:
    verdict = "proved" if parity.proven else "NOT proved"
    return f"[bold]{parity.format} {parity.precision}[/bold], {verdict} on {parity.pictures:,} held-out picture files"
