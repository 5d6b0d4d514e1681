"""How a comparison of plans and a search for a learning rate look in a terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from warmstart.cli.tables import console
from warmstart.cli.terminal import printable
from warmstart.evaluation.learning_curves import AGAINST_OVERFITTING

if TYPE_CHECKING:
    from warmstart.workflows.compare import Comparison, Contestant
    from warmstart.workflows.lr_find import LearningRateSearch


def compare(result: "Comparison", *, licence: str | None = None) -> None:
    """A row a plan, the naive baseline first, then what follows in words."""
    out = console()
    first = result.contestants[0].record
    splits = first["data"]["splits"]
    out.print(
        f"[bold]{first['data']['images']:,} images, {len(first['data']['classes'])} classes[/bold] "
        f"(train {splits['train']:,}, val {splits['val']:,}, test {splits['test']:,}); "
        f"{first['plan']['image_size_px']} px where a plan's name says nothing else; {result.budget_s:,.0f} s for each plan"
    )
    table = Table(box=box.SIMPLE_HEAD)
    for header, justify in (
        ("plan", "left"),
        ("accuracy on val, %\nstart → epoch 1 → best", "right"),
        ("on test, %\n(95 % interval)", "right"),
        (f"against {escape(result.reference)},\npoints (95 %)", "right"),
        ("macro-F1\non test, %", "right"),
        ("epochs", "right"),
        ("seconds\nextract + train", "right"),
    ):
        table.add_column(header, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_row("majority class", f"{100 * result.majority_val:.1f}", f"{100 * result.majority_accuracy:.1f}")
    for contestant in result.contestants:
        table.add_row(*_row(contestant, best=contestant.name == result.best))
    out.print(table)
    out.print(f"Best by log-loss on val, without test: [bold]{escape(result.best)}[/bold]")
    for sentence in result.transfer:
        out.print(escape(sentence), soft_wrap=True)
    overfitted = [contestant for contestant in result.contestants if contestant.overfitting]
    for contestant in overfitted:
        out.print(f"[yellow]{escape(contestant.name)}: {escape(contestant.overfitting or '')}[/yellow]", soft_wrap=True)
    if overfitted:
        out.print(escape(AGAINST_OVERFITTING), soft_wrap=True)
    out.print(
        f"curves: [bold]{escape(printable(result.curves[0]))}[/bold] (and .svg); each plan's run is beside it", soft_wrap=True
    )
    if licence:
        out.print(f"Data: {licence}", style="dim")


def learning_rate(result: "LearningRateSearch") -> None:
    """The suggestion, why, and where the picture is."""
    out = console()
    out.print(
        f"suggested learning rate at {result.cut}: [bold]{result.curve.suggestion:.1e}[/bold], {result.curve.reason} "
        f"(default {result.default:.1e})",
        soft_wrap=True,
    )
    out.print(f"curve: {escape(printable(result.folder))}/lr-find.png (and .svg)", soft_wrap=True)


def _row(contestant: "Contestant", *, best: bool) -> tuple[str, ...]:
    record, shape = contestant.record, contestant.shape
    test, seconds = record["scores"]["test"], record["seconds"]
    low, high = test["accuracy_ci95"]
    name = escape(contestant.name)
    starts = [shape.start] if shape.after_first_epoch is None else [shape.start, shape.after_first_epoch, shape.asymptote]
    extracted = f"{seconds['extract']:.0f}" if record["cache"]["misses"] else "stored"
    return (
        f"[bold]{name}[/bold]" if best else name,
        " → ".join(f"{100 * accuracy:.1f}" for accuracy in starts),
        f"{100 * test['accuracy']:.1f} ({100 * low:.1f}-{100 * high:.1f})",
        "" if contestant.gain is None or contestant.gain_ci95 is None else _points(contestant.gain, contestant.gain_ci95),
        f"{100 * test['macro_f1']:.1f}",
        str(contestant.curve.points[-1].epoch) if contestant.curve.points[-1].epoch else "",
        f"{extracted} + {seconds.get('train', seconds['fit']):.0f}",
    )


def _points(gain: float, interval: tuple[float, float]) -> str:
    return f"{100 * gain:+.1f} ({100 * interval[0]:+.1f}…{100 * interval[1]:+.1f})"
