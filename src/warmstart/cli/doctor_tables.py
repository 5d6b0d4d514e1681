"""How the doctor's findings look in a terminal."""

import os
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from warmstart.cli.tables import notices
from warmstart.cli.terminal import printable
from warmstart.inspection.findings import KINDS

if TYPE_CHECKING:
    from warmstart.inspection.findings import Finding
    from warmstart.tasks.classify.doctor.examination import Diagnosis

SHOWN = 5  # of each kind


def diagnosis(result: "Diagnosis", out: Console) -> None:
    """How many of each kind, then the first of each."""
    out.print(
        f"[bold]{result.images:,} readable images, {len(result.classes)} classes[/bold] in {escape(printable(result.source))}"
    )
    if result.labels:
        out.print(
            f"a held-out probe agrees with {result.labels['accuracy']:.1%} of the labels; confident learning counts "
            f"{result.labels['confident_errors']:,} that the data contradicts"
        )
    for note in result.notes:
        out.print(f"[yellow]{escape(printable(note))}[/yellow]", soft_wrap=True)
    notices(out, result.notices)
    counts = result.counts()
    if not counts:
        out.print("nothing found")
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("finding")
    table.add_column("number", justify="right")
    table.add_column("across splits", justify="right")
    table.add_column("across classes", justify="right")
    for kind, count in counts.items():
        across = [sum(where in finding.across for finding in result.of(kind)) for where in ("splits", "classes")]
        table.add_row(KINDS[kind].title, f"{count:,}", *(f"{number:,}" if number else "" for number in across))
    out.print(table)
    folder = _folder(result)
    if folder:
        out.print(f"in {escape(printable(folder))}:", style="dim", soft_wrap=True)
    for kind in counts:
        found = result.of(kind)
        out.print(f"[bold]{KINDS[kind].title}[/bold]")
        for finding in found[:SHOWN]:
            out.print("  " + escape(printable(_line(finding, folder))), soft_wrap=True)
        if len(found) > SHOWN:
            out.print(f"  … and {len(found) - SHOWN:,} more; all of them with --fix-list, --page or --json", style="dim")
    out.print(f"{result.seconds['total']:.1f} s", style="dim")


def _line(finding: "Finding", folder: str) -> str:
    names = " = ".join(os.path.relpath(path, folder) if folder else path for path in finding.paths)
    if finding.kind == "broken" or not names:
        return finding.detail
    return f"{names}: {finding.detail}"


def _folder(result: "Diagnosis") -> str:
    """What all pictures lie in; '' where that is nothing."""
    paths = [os.path.dirname(path) for path in result.pictures]  # noqa: PTH120
    try:
        return os.path.commonpath(paths)
    except ValueError:  # none, or relative and absolute ones
        return ""
