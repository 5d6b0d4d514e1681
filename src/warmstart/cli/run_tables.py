"""What a run took and what was expected, and which plans of the advice were tried."""

from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from warmstart.report.run_record import RunRecord


def duration(seconds: float) -> str:
    """For people: 8 s, 12 min, 1.5 h."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def took(record: "RunRecord") -> str:
    """Where the time went, and what had been expected."""
    s = record.seconds
    speed = (
        f"{record.cache.misses:,} rows computed at {record.images_per_second:.0f} images/s"
        if record.images_per_second
        else "nothing computed"
    )
    trained = record.training if "train" in s else None
    training = f", training {s['train']:.1f} s at {trained.images_per_second:.0f} images/s" if trained else ""
    expected = f" (expected {duration(record.forecast['seconds']['total'])})" if record.forecast else ""
    return (
        f"{s['total']:.1f} s in all{expected}: features {s['extract']:.1f} s ({speed}, {record.cache.hits:,} from the store), "
        f"head {s['fit']:.1f} s{training} · {record.engine['name']} {record.engine['precision']}, proved on your pictures"
    )


def advice_taken(advice: "dict[str, Any]", out: Console) -> None:
    """The case, the probe, and what became of each plan beside it. Nothing for a run whose plan was given."""
    if not advice:
        return
    scenario = advice["advice"]["scenario"]
    out.print(
        f"[bold]Advice[/bold]: {scenario['size']} and {scenario['similarity']}; textbook: {escape(scenario['textbook'])}. "
        "Why: warmstart advise"
    )
    if not advice["tried"]:
        out.print("The head on frozen features is all that this data can be advised.", style="dim")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("plan", "expected", "took", "accuracy on val", "log-loss on val"):
        table.add_column(name, justify="left" if name == "plan" else "right")
    table.add_column("", overflow="fold")
    probe = advice["probe"]
    table.add_row("head on frozen features", "", "", f"{probe['val_accuracy']:.3f}", f"{probe['val_log_loss']:.3f}", "")
    for one in advice["tried"]:
        measured = one["measured_s"] is not None
        table.add_row(
            f"trained right of {one['cut']}",
            duration(one["forecast_s"]),
            duration(one["measured_s"]) if measured else "",
            f"{one['val_accuracy']:.3f}" if measured else "",
            f"{one['val_log_loss']:.3f}" if measured else "",
            escape(one["outcome"]),
            style="" if measured else "dim",
        )
    out.print(table)
    waiting = [one["forecast_s"] for one in advice["tried"] if one["outcome"].startswith("does not fit")]
    if waiting:
        spent = advice["budget_s"]
        out.print(
            f"With more time these are tried as well, for example --budget {minutes(spent + min(waiting))}m.",
            style="dim",
        )


def minutes(seconds: float) -> int:
    """Whole ones, rounded up: for --budget."""
    return max(1, -int(-seconds // 60))
