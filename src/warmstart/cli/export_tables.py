"""How an export looks in a terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from warmstart.cli.tables import console
from warmstart.cli.terminal import printable

if TYPE_CHECKING:
    from warmstart.export.parity import Parity
    from warmstart.workflows.export import Export


def export(result: "Export") -> None:
    """Where it is, how it compares with PyTorch, and what to do with it."""
    out = console()
    if result.parity is None:
        out.print(f"[bold]{result.format} {result.precision}[/bold], not proved: there was no picture to compare on")
    else:
        out.print(_title(result.parity))
        out.print(_table(result.parity))
        for failure in result.parity.failures:
            out.print(f"beyond the limit: {failure}", style="red")
        for worst in result.parity.worst if result.parity.failures else ():
            out.print(
                f"  {escape(printable(worst.path))}: {escape(worst.expected)} → {escape(worst.found)} ({worst.difference:.2g})",
                soft_wrap=True,
            )
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


def _table(parity: "Parity") -> Table:
    table = Table(box=box.SIMPLE)
    table.add_column("")
    table.add_column("PyTorch float32", justify="right")
    table.add_column("exported", justify="right")
    table.add_row("accuracy", _share(parity.accuracy_before), _share(parity.accuracy_after))
    table.add_row("same class", "", f"{parity.agreement:.1%}" + (f" ({parity.ties} ties left out)" if parity.ties else ""))
    table.add_row("largest difference of a probability", "", f"{parity.difference:.1e}")
    table.add_row("images/s, from files", _number(parity.images_per_second_before), _number(parity.images_per_second))
    table.add_row("size", "", "-" if parity.bytes is None else f"{parity.bytes / 1e6:.1f} MB")
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
