"""How a comparison of plans and a search for a learning rate look in a terminal."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.table import Table

from warmstart.cli.tables import console
from warmstart.cli.terminal import printable

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
        f"(train {splits['train']:,}, val {splits['val']:,}, test {splits['test']:,}), {result.budget_s:,.0f} s for each plan"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("plan")
    table.add_column("trained", justify="right")
    table.add_column("val: start\n→ epoch 1 → best", justify="right")
    table.add_column("test accuracy\n(95 %)", justify="right")
    table.add_column(f"points against\n{escape(result.reference)} (95 %)", justify="right")
    table.add_column("macro-F1", justify="right")
    table.add_column("epochs", justify="right")
    table.add_column("seconds: extract\n+ train = all", justify="right")
    majority = f"{result.majority_accuracy:.1%}"
    table.add_row("majority class", "", "", majority, "", "", "", "")
    for contestant in result.contestants:
        table.add_row(*_row(contestant, best=contestant.name == result.best))
    out.print(table)
    out.print(f"Best by log-loss on val, without test: [bold]{escape(result.best)}[/bold]")
    for sentence in result.transfer:
        out.print(escape(sentence), soft_wrap=True)
    for contestant in result.contestants:
        if contestant.overfitting:
            out.print(f"[yellow]{escape(contestant.name)}: {escape(contestant.overfitting)}[/yellow]", soft_wrap=True)
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
    return (
        f"[bold]{name}[/bold]" if best else name,
        _trained(record),
        " → ".join(f"{accuracy:.1%}" for accuracy in starts),
        f"{test['accuracy']:.1%} ({low:.1%}-{high:.1%})",
        "" if contestant.gain is None or contestant.gain_ci95 is None else _points(contestant.gain, contestant.gain_ci95),
        f"{test['macro_f1']:.1%}",
        str(contestant.curve.points[-1].epoch) if contestant.curve.points[-1].epoch else "",
        f"{seconds['extract']:.0f} + {seconds.get('train', seconds['fit']):.0f} = {seconds['total']:.0f}",
    )


def _trained(record: Mapping[str, Any]) -> str:
    stages = record["training"].get("trained_stages")
    return (
        f"{stages[0]} … {stages[-1]}, {record['plan']['image_size_px']} px"
        if stages
        else f"head, {record['plan']['image_size_px']} px"
    )


def _points(gain: float, interval: tuple[float, float]) -> str:
    return f"{100 * gain:+.1f} ({100 * interval[0]:+.1f} … {100 * interval[1]:+.1f})"
