"""How results look in a terminal: one function a document, stdout."""

import csv
import io
import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from warmstart.atomic import write_asked
from warmstart.cli.run_tables import advice_taken, took
from warmstart.cli.terminal import printable
from warmstart.csv_cells import cell_of
from warmstart.report.frozen import frozen_in_words
from warmstart.report.resize_modes import modes_grid
from warmstart.report.shown import Grid, Loud, shown_by
from warmstart.task_registry import find_task

if TYPE_CHECKING:
    from warmstart.records import Notice, Problem
    from warmstart.report.run_record import RunRecord
    from warmstart.strategy.resize import ResizeChoice
    from warmstart.tasks.classify.demo import Demo
    from warmstart.workflows.evaluate import Evaluation
    from warmstart.workflows.inspect import Inspection
    from warmstart.workflows.predict import Predictions
    from warmstart.workflows.report import Report

PROBLEMS_SHOWN = 10


def console() -> Console:
    """stdout, 120 columns wide where it is no terminal and so has no width."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def train(record: "RunRecord") -> None:
    """The scores, where they come from, and what it took."""
    out, shown = console(), shown_by(find_task(record.task))
    splits = record.data.splits
    what = ", ".join(filter(None, (f"{record.data.images:,} images", shown.data(record.data.of_task))))
    out.print(f"[bold]{escape(what)}[/bold] (train {splits['train']:,}, val {splits['val']:,}, test {splits['test']:,})")
    how = ", ".join(filter(None, (f"{record.plan.backbone} at {record.plan.image_size_px} px", shown.choice(record))))
    out.print(escape(how))
    for sentence in frozen_in_words(record.training):
        out.print(escape(sentence), soft_wrap=True)
    if fixes := record.data.fixes:
        dropped, relabelled = fixes["dropped"], fixes["relabelled"]
        out.print(
            f"fixes of {escape(printable(fixes['file']))}: {dropped:,} dropped, {relabelled:,} relabelled", soft_wrap=True
        )
    if together := record.data.kept_together:
        out.print(f"{together:,} near copies share the split of the picture they are copies of")
    notices(out, record.data.notices)
    modes(out, record.resize)
    problems(out, record.data.problems)
    for grid in shown.scores(record.scores):
        out.print(drawn(grid))
    advice_taken(dict(record.advice), out)
    out.print(took(record))
    out.print(f"written to [bold]{escape(printable(record.run_dir))}[/bold]", soft_wrap=True)
    out.print(
        f"predict with: warmstart predict {escape(printable(shlex.quote(record.run_dir)))} PICTURES…",
        style="dim",
        soft_wrap=True,
    )


def modes(out: Console, choice: "ResizeChoice | None") -> None:
    """Ways to show elongated pictures, where they were compared."""
    if choice is not None and choice.modes:
        out.print(drawn(modes_grid(choice)))


def predict(result: "Predictions", top: int) -> None:
    """A row a picture."""
    out, shown = console(), shown_by(find_task(result.facts.task))
    folder = _common_folder([prediction.source for prediction in result.predictions])
    names = [os.path.relpath(prediction.source, folder) if folder else prediction.source for prediction in result.predictions]
    grid, notes = shown.answers(result.predictions, names, result.coverage, top)
    if result.predictions:
        grid = replace(grid, columns=(f"picture in {folder}" if folder else "picture", *grid.columns[1:]))
        out.print(drawn(grid))
    for note in notes:
        out.print(f"[yellow]{escape(printable(note))}[/yellow]" if isinstance(note, Loud) else escape(note), soft_wrap=True)
    problems(out, result.problems)


def write_predictions_csv(result: "Predictions", target: Path | IO[str]) -> None:
    """The path and what was said of it, as the task has it."""
    if isinstance(target, Path):
        table = io.StringIO()
        write_predictions_csv(result, table)
        write_asked("--csv", target, table.getvalue().encode("utf-8", "surrogateescape"))
        return
    columns, rows = shown_by(find_task(result.facts.task)).table(result.predictions, result.facts.says, result.coverage)
    writer = csv.writer(target)
    writer.writerow(map(cell_of, columns))
    writer.writerows([cell_of(value) if isinstance(value, str) else value for value in row] for row in rows)


def report(result: "Report") -> None:
    """Where the page is, and what it lacks."""
    out = console()
    out.print(
        f"[bold]{escape(printable(result.path))}[/bold], {size(result.bytes)}, {result.thumbnails:,} thumbnails", soft_wrap=True
    )
    if result.unreadable:
        out.print(f"[yellow]{result.unreadable:,} pictures cannot be read any more; placeholders stand for them[/yellow]")
    if result.without_room:
        out.print(f"{result.without_room:,} more pictures have no thumbnail, so that the file stays small")
    for what in result.missing:
        out.print(f"[yellow]without {escape(printable(what))}[/yellow]", soft_wrap=True)


def evaluate(result: "Evaluation") -> None:
    """Scores on unseen pictures, and on all where some were seen."""
    out = console()
    if result.trained_on:
        out.print(
            f"[yellow]The model was trained on {result.trained_on:,} of these {result.images:,} pictures; "
            "scores on those flatter it.[/yellow]"
        )
    else:
        out.print(f"{result.images:,} pictures; the model was trained on none of them.")
    by_which = {"unseen": result.scores, "all, seen ones too": result.scores_with_seen}
    for grid in shown_by(find_task(result.task)).scores({name: scores for name, scores in by_which.items() if scores}):
        out.print(drawn(grid))
    notices(out, result.notices)
    problems(out, result.problems)


def inspect(result: "Inspection") -> None:
    """What is in the folder."""
    out = console()
    out.print(
        f"[bold]{result.images:,} readable images, {len(result.classes)} classes[/bold] in {escape(printable(result.source))}"
    )
    table = Table("class", box=box.SIMPLE_HEAD)
    table.add_column("images", justify="right")
    table.add_column("share", justify="right")
    for name, count in result.classes.items():
        table.add_row(escape(printable(name)), f"{count:,}", f"{count / max(1, result.images):.1%}")
    out.print(table)
    if result.splits:
        out.print("split given by the data: " + ", ".join(f"{name} {count:,}" for name, count in result.splits.items()))
    out.print("formats: " + ", ".join(f"{name} {count:,}" for name, count in result.formats.items()))
    out.print("pixels: " + ", ".join(f"{name} {count:,}" for name, count in result.modes.items()))
    for side, spread in (("width", result.width_px), ("height", result.height_px)):
        out.print(f"{side}: {spread[0]} … {spread[2]} px, median {spread[1]}")
    extra = sum(len(paths) - 1 for paths in result.duplicates)
    out.print(f"identical copies: {extra:,}" + (f" (of {len(result.duplicates):,} pictures)" if extra else ""))
    for paths in result.duplicates[:3]:
        out.print("  " + escape(printable(" = ".join(paths))), style="dim", soft_wrap=True)
    if result.seen.median is not None and result.seen.worst_tenth is not None and not result.seen.little:
        out.print(
            f"seen by the network: {100 * result.seen.median:.0f} % of the median picture, at most {100 * result.seen.worst_tenth:.0f} % "
            "of every tenth (the centre crop shows 77 % of a square)"
        )
    notices(out, result.notices)
    problems(out, result.problems)


def catalogue(document: Mapping[str, Any]) -> None:
    """The catalogue, a row a backbone."""
    table = Table(box=box.SIMPLE_HEAD)
    for name, justify in (
        ("backbone", "left"),
        ("input", "right"),
        ("parameters", "right"),
        ("weights", "left"),
        ("licence", "left"),
        ("ILSVRC top-5 error", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in document["backbones"]:
        table.add_row(
            row["name"], f"{row['input_size_px']} px", f"{row['params_millions']:.1f} M", row["weights_state"], row["licence"] or "",
            _history(row["history"]),
        )  # fmt: skip
    console().print(table)
    console().print("Stages, shapes and costs of one: warmstart backbones NAME", style="dim")


def backbone(document: Mapping[str, Any]) -> None:
    """One backbone, a row a cut."""
    out = console()
    out.print(
        f"[bold]{document['name']}[/bold] · {document['library']} {document['builder']} · {document['params_millions']:.1f} M parameters "
        f"· weights {document['weights_tag'] or 'none known'} ({document['weights_state']}, {document['licence'] or 'licence not stated'})"
    )
    if document["history"]:
        out.print(f"ILSVRC top-5 error: {_history(document['history'])}; {document['history']['source']}", style="dim")
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("cut", "alias"):
        table.add_column(name)
    for name in ("shape", "frozen parameters", "trainable", "GFLOPs to here"):
        table.add_column(name, justify="right")
    for row in document["cuts"]:
        table.add_row(
            row["cut"], row["alias"], "×".join(map(str, row["shape"])), f"{row['params_left']:,}", f"{row['params_right']:,}",
            f"{row['gflops_left']:.3f}",
        )  # fmt: skip
    out.print(table)
    out.print(
        f"at {document['size_px']} px. Parameters without the 1,000-class classifier. 1 FLOP = 1 multiply-add.", style="dim"
    )


def cache(document: Mapping[str, Any]) -> None:
    """What is stored."""
    out = console()
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("recipe", "rows", "size", "last used", "what"):
        table.add_column(name, justify="right" if name in ("rows", "size") else "left")
    for row in document["recipes"]:
        recipe = row["recipe"]
        known = (recipe.get(name) for name in ("architecture", "size_px", "resize", "engine", "precision", "format"))
        what = " ".join(str(word) for word in known if word is not None) or "description lost"
        rows = "damaged" if row["rows"] is None else f"{row['rows']:,}"
        table.add_row(row["key"][:16], rows, size(row["bytes"]), row["last_used"], what)
    if document["recipes"]:
        out.print(table)
    out.print(
        f"{size(document['bytes'])} in {escape(document['folder'])} (budget {size(document['budget_bytes'])}; "
        f"compiled graphs and measurements {size(document['graph_bytes'])})"
    )


def pruned(document: Mapping[str, Any]) -> None:
    """What was removed."""
    console().print(f"removed {len(document['removed'])} recipes, {size(document['bytes'])}")


def verified(document: Mapping[str, Any]) -> None:
    """What was damaged."""
    out = console()
    for key, rows in document["damaged"].items():
        out.print(f"[yellow]recipe {key[:16]}: {rows} damaged rows removed; they will be computed again[/yellow]")
    for key, reason in document["unreadable"].items():
        out.print(
            f"[yellow]recipe {key[:16]} cannot be read ({escape(reason)}); remove it: warmstart cache prune --recipe {key[:16]}[/yellow]"
        )
    if not document["damaged"] and not document["unreadable"]:
        out.print(f"{document['recipes']} recipes, {document['rows']:,} rows: all as they were written")
    for path in document["wrong_files"]:
        out.print(
            f"[yellow]{escape(path)} has other bytes than were noted, and nothing else changed; it is read again[/yellow]"
        )
    if not document["wrong_files"]:
        out.print(f"{document['files']:,} picture files read again: all as they were noted")


def demo(result: "Demo") -> None:
    """Our score beside the published ones."""
    record, document = result.run.record, result.to_dict()
    train(record)
    test = record.scores["test"]
    table = Table(title="Defective solar cells, 656 held out", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("method")
    table.add_column("accuracy", justify="right")
    table.add_column("macro-F1", justify="right")
    table.add_column("training", justify="right")
    low, high = test.accuracy_ci95
    what = f"trained right of {record.plan.cut}" if record.plan.trains_network else "frozen"
    table.add_row(
        f"[bold]EfficientNet-Lite0, {what}, this run[/bold]", f"[bold]{test.accuracy:.2%}[/bold] ({low:.1%}-{high:.1%})",
        f"{test.macro_f1:.2%}", f"{record.seconds['total']:.0f} s",
    )  # fmt: skip
    for name, accuracy in result.published.items():
        table.add_row(f"{name} (published)", f"{accuracy:.2%}", "", "")
    out = console()
    out.print(table)
    out.print(
        f"Published: {document['data_source']}. Sizes as published, pictures drawn with --seed {record.plan.seed}.", style="dim"
    )
    out.print(f"Data: elpv-dataset, {document['data_licence']}", style="dim")


def notices(out: Console, found: "Sequence[Notice]") -> None:
    """What pictures lose on their way into the network; nothing is left out for it."""
    for notice in found:
        out.print(f"[yellow]{escape(printable(notice.message[:1].upper() + notice.message[1:]))}[/yellow]")


def problems(out: Console, found: "Sequence[Problem]") -> None:
    """The first problems, and how many more there are."""
    if not found:
        return
    out.print(f"[yellow]{len(found):,} problem{'s' if len(found) > 1 else ''}:[/yellow]")
    for problem in found[:PROBLEMS_SHOWN]:
        out.print("  " + escape(printable(problem.message)), soft_wrap=True)
    if len(found) > PROBLEMS_SHOWN:
        out.print(f"  … and {len(found) - PROBLEMS_SHOWN:,} more; all of them with --json")


def size(count: float) -> str:
    """Bytes for people: 1.2 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    power = min(4, int(math.log10(count) // 3))
    return f"{count / 1000**power:.1f} {'BkMGT'[power]}B"


def drawn(grid: Grid) -> Table:
    """A grid in a terminal."""
    table = Table(box=box.SIMPLE_HEAD)
    last = len(grid.columns) - 1
    for i, column in enumerate(grid.columns):
        table.add_column(
            escape(printable(column)),
            justify="right" if i in grid.numbers else "left",
            overflow="ellipsis" if i in grid.numbers else "fold",
            style="dim" if i == last and column == "next" else "",
        )
    for row in grid.rows:
        table.add_row(
            *(f"[bold]{escape(printable(cell))}[/bold]" if isinstance(cell, Loud) else escape(printable(cell)) for cell in row)
        )
    return table


def _common_folder(paths: Sequence[str]) -> str:
    """What can stand in the head of a column instead of in every row; '' where there is nothing in common."""
    try:
        return os.path.commonpath([str(Path(path).parent) for path in paths])
    except ValueError:  # none, or relative and absolute ones
        return ""


def _history(entry: Mapping[str, Any] | None) -> str:
    return f"{entry['top5_error_percent']:g} % ({entry['entry']}, {entry['year']})" if entry else ""
