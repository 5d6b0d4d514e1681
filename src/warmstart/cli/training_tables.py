"""How a comparison of plans and a search for a learning rate look in a terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from warmstart.cli.run_tables import duration
from warmstart.cli.tables import console, notices
from warmstart.cli.terminal import Terminal, printable
from warmstart.evaluation.learning_curves import AGAINST_OVERFITTING

if TYPE_CHECKING:
    from warmstart.report.run_record import RunRecord
    from warmstart.tasks.classify.compare import Comparison, Contestant
    from warmstart.workflows.lr_find import LearningRateSearch


def compare(result: "Comparison", *, licence: str | None = None) -> None:
    """A row a plan, the naive baseline first: how it went on val, what it can do on test; then what follows in words."""
    out = console()
    first = result.contestants[0].record
    splits = first.data.splits
    out.print(
        f"[bold]{first.data.images:,} images, {len(first.data.of_task['classes'])} classes[/bold] "
        f"(train {splits['train']:,}, val {splits['val']:,}, test {splits['test']:,}); "
        f"{first.plan.image_size_px} px where a plan's name says nothing else; {result.budget_s:,.0f} s for each plan"
    )
    notices(out, first.data.notices)
    course = _table("accuracy on val, %\nstart → epoch 1 → best", "epochs", "seconds\nextract + train")
    course.add_row("majority class", f"{100 * result.majority_val:.1f}")
    results = _table(
        "accuracy on test, %\n(95 % interval)", f"against {escape(result.reference)},\npoints (95 %)", "macro-F1\non test, %"
    )
    results.add_row("majority class", f"{100 * result.majority_accuracy:.1f}")
    for contestant in result.contestants:
        style = "bold" if contestant.name == result.best else ""
        course.add_row(escape(contestant.name), *_course(contestant), style=style)
        results.add_row(escape(contestant.name), *_results(contestant), style=style)
    out.print(course)
    out.print(results)
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


def say_overrun(record: "RunRecord", budget_s: float | None, terminal: Terminal) -> None:
    """That a run took longer than it was given, and what of it did; nothing where it kept to its time."""
    total = record.seconds["total"]
    if budget_s is None or total <= budget_s or duration(total) == duration(budget_s):
        return
    probe_only = record.advice and all(one["measured_s"] is None for one in record.advice["tried"])
    what = "the first model alone" if probe_only else "the run"
    terminal.say(f"the budget of {duration(budget_s)} could not be met: {what} took {duration(total)}")


def learning_rate(result: "LearningRateSearch") -> None:
    """The suggestion, why, and where the picture is."""
    out = console()
    out.print(
        f"suggested learning rate at {result.cut}: [bold]{result.curve.suggestion:.1e}[/bold], {result.curve.reason} "
        f"(default {result.default:.1e})",
        soft_wrap=True,
    )
    out.print(f"curve: {escape(printable(result.folder))}/lr-find.png (and .svg)", soft_wrap=True)


def _table(*headers: str) -> Table:
    """A row a plan. Two of these stand one below the other: in one, names and intervals would be cut at 120 columns."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("plan", overflow="fold")
    for header in headers:
        table.add_column(header, justify="right", overflow="fold")
    return table


def _course(contestant: "Contestant") -> tuple[str, str, str]:
    """How training went on val, and what it took."""
    shape, seconds = contestant.shape, contestant.record.seconds
    starts = [shape.start] if shape.after_first_epoch is None else [shape.start, shape.after_first_epoch, shape.asymptote]
    extracted = f"{seconds['extract']:.0f}" if contestant.record.cache.misses else "stored"
    return (
        " → ".join(f"{100 * accuracy:.1f}" for accuracy in starts),
        str(contestant.curve.points[-1].epoch) if contestant.curve.points[-1].epoch else "",
        f"{extracted} + {seconds.get('train', seconds['fit']):.0f}",
    )


def _results(contestant: "Contestant") -> tuple[str, str, str]:
    """What it can do on test."""
    test = contestant.record.scores["test"]
    low, high = test.accuracy_ci95
    return (
        f"{100 * test.accuracy:.1f} ({100 * low:.1f}-{100 * high:.1f})",
        "" if contestant.gain is None or contestant.gain_ci95 is None else _points(contestant.gain, contestant.gain_ci95),
        f"{100 * test.macro_f1:.1f}",
    )


def _points(gain: float, interval: tuple[float, float]) -> str:
    return f"{100 * gain:+.1f} ({100 * interval[0]:+.1f}…{100 * interval[1]:+.1f})"
