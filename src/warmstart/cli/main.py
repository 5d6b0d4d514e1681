"""The command line: one function a verb, each a few lines from arguments to a workflow to a table or a JSON document.

stdout carries results, stderr everything else. Exit 0 done, 1 the user's input or data, 2 usage, 3 a fault of ours, 130 Ctrl-C.
"""

import os
import sys
import traceback
from contextlib import suppress
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from warmstart.atomic import require_writable
from warmstart.cli import advice, doctor, explain, export, serving, tables, training, training_tables
from warmstart.cli.option_groups import command as opened
from warmstart.cli.option_groups import flags_typed
from warmstart.cli.options import (
    Data,
    Download,
    Exclude,
    HeatMaps,
    Json,
    ModelFolder,
    Nested,
    Runs,
    Views,
    give,
    only_beside_resume,
)
from warmstart.cli.terminal import Terminal, command, printable, stderr
from warmstart.errors import InputError, UsageError, WarmstartError
from warmstart.machine import installed_version, process_seconds, wait_asleep
from warmstart.options import read_gigabytes, read_names, read_seconds
from warmstart.refusals import explained, refusal

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Turn a folder of images into a tested, saved classifier by reusing a pretrained convolutional network.",
)

DEBUG = False

# Typer brings a copy of click along since 0.20, and installs click before: this is the base of usage errors in either.
_CLICK_ERROR: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(installed_version("warmstart"))
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    global DEBUG  # read once, by `_explain`, after the command is over
    DEBUG = debug


app.command()(opened(training.train))
app.command()(opened(training.compare))
app.command("lr-find")(opened(training.lr_find))
app.command()(opened(advice.advise))
app.command()(explain.explain)
app.command()(explain.filters)
app.command()(opened(doctor.doctor))
app.command()(export.export)
app.command()(opened(serving.serve))


@app.command()
def predict(
    model: ModelFolder,
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURES…", help="Files, folders or globs.")],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a table to this file ('-' for stdout).")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show of each picture.")] = 3,
    coverage: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Also say what holds the truth this often, for example 0.95: a set of classes, an interval, labels.",
        ),
    ] = None,
    sure: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Also say the deepest answer with this probability, above 0.5, for example 0.9: a class, or where classes are nested "
            "(animal>dog>pug) what stands above several.",
        ),
    ] = None,
    keep_damaged: Annotated[
        bool | None,
        typer.Option(
            "--keep-damaged/--no-keep-damaged",
            help="Use pictures whose files are damaged but decode. Default: as the model was trained.",
        ),
    ] = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Predict the class of pictures, and how unlike training each one is."""
    from warmstart.workflows.predict import predict as predict_workflow

    if as_json and str(csv) == "-":
        raise UsageError("--json and --csv - both want stdout: give --csv a file")
    if csv is not None and str(csv) != "-":
        require_writable("--csv", csv)
    with Terminal() as terminal:
        result = predict_workflow(
            model, pictures, coverage=coverage, sure=sure, keep_damaged=keep_damaged, download=download, watcher=terminal
        )
    if csv is not None:
        tables.write_predictions_csv(result, sys.stdout if str(csv) == "-" else csv)
    if csv is None or as_json:
        give(result.to_dict(), as_json, lambda: tables.predict(result, top))
    if not result.predictions:
        raise typer.Exit(1)


@app.command()
def evaluate(
    model: ModelFolder,
    data: Data,
    exclude: Exclude = None,
    keep_damaged: Annotated[
        bool | None,
        typer.Option(
            "--keep-damaged/--no-keep-damaged",
            help="Use pictures whose files are damaged but decode. Default: as the model was trained.",
        ),
    ] = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Score a saved model on a labelled folder; says how many of its pictures the model was trained on."""
    from warmstart.workflows.evaluate import evaluate as evaluate_workflow

    with Terminal() as terminal:
        result = evaluate_workflow(
            model, data, exclude=tuple(exclude or ()), keep_damaged=keep_damaged, download=download, watcher=terminal
        )
    give(result.to_dict(), as_json, lambda: tables.evaluate(result))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder, or the folder of a comparison.")],
    heat_maps: HeatMaps = True,
    as_json: Json = False,
) -> None:
    """Write a run's report.html again, for example after a change to its pictures."""
    from warmstart.workflows.report import report as report_workflow

    result = report_workflow(run, heat_maps=heat_maps)
    give(result.to_dict(), as_json, lambda: tables.report(result))


@app.command()
def inspect(data: Data, exclude: Exclude = None, nested: Nested = False, as_json: Json = False) -> None:
    """Show what is in a folder: classes, sizes, formats, broken files, duplicates."""
    from warmstart.workflows.inspect import inspect as inspect_workflow

    with Terminal() as terminal:
        result = inspect_workflow(data, exclude=tuple(exclude or ()), nested=nested, watcher=terminal)
    give(result.to_dict(), as_json, lambda: tables.inspect(result))


@app.command()
def backbones(
    name: Annotated[str | None, typer.Argument(help="A backbone, to see its stages (cuts), shapes and costs.")] = None,
    image_size: Annotated[int | None, typer.Option(metavar="PX", help="Shapes and costs at this input size.")] = None,
    as_json: Json = False,
) -> None:
    """List the pretrained networks, or show one."""
    from warmstart.workflows import backbones as workflow

    if name is None:
        catalogue = workflow.catalogue()
        give(catalogue, as_json, lambda: tables.catalogue(catalogue))
    else:
        details = workflow.details(name, image_size)
        give(details, as_json, lambda: tables.backbone(details))


class CacheAction(StrEnum):
    """What to do with the store."""

    LS = "ls"
    PRUNE = "prune"
    VERIFY = "verify"


@app.command()
def cache(
    action: Annotated[CacheAction, typer.Argument(help="ls, prune or verify.")] = CacheAction.LS,
    to_gb: Annotated[
        float | None, typer.Option("--to", min=0, metavar="GB", help="prune: keep at most this much; default: keep nothing.")
    ] = None,
    recipe: Annotated[
        list[str] | None, typer.Option("--recipe", metavar="KEY", help="prune: only these recipes, by key as ls shows it.")
    ] = None,
    all_files: Annotated[
        bool, typer.Option("--all", help="verify: read every file of the index again, not a sample of 200.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List, prune or verify what is stored."""
    from warmstart.workflows import cache as workflow

    if all_files and action is not CacheAction.VERIFY:
        raise UsageError(f"--all belongs to verify; cache {action.value} does nothing with it. Leave it out.")
    match action:
        case CacheAction.LS:
            document = workflow.contents()
            give(document, as_json, lambda: tables.cache(document))
        case CacheAction.PRUNE:
            pruned = workflow.prune(None if to_gb is None else read_gigabytes(to_gb), recipe)
            give(pruned, as_json, lambda: tables.pruned(pruned))
        case CacheAction.VERIFY:
            checked = workflow.verify(all_files=all_files)
            give(checked, as_json, lambda: tables.verified(checked))


@app.command()
def demo(
    context: typer.Context,
    seed: Annotated[int, typer.Option(help="Which pictures are held out.")] = 0,
    views: Views = "none",
    compare: Annotated[
        bool, typer.Option("--compare", help="Run several plans in the same time each, as the verb compare does.")
    ] = False,
    plans: Annotated[str | None, typer.Option(metavar="NAMES", help="With --compare: which; see warmstart compare.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Not a head alone, but what advise recommends for this time. With --compare: wall-clock for each plan, 10m.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Go on with a run under --budget, or a comparison, that was interrupted."),
    ] = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Find defective solar cells: trains on the pictures of the elpv-dataset package and compares with published results."""
    from warmstart.tasks.classify.demo import LICENCE, compare_demo
    from warmstart.tasks.classify.demo import demo as demo_workflow

    given = flags_typed(context)
    if resume is not None:
        only_beside_resume(context, ("compare", "as_json"))
    elif compare and "views" in given:
        raise UsageError(
            "--views cannot be chosen with --compare: the plans are read as they do best on val, trained ones over mirror images and the "
            "frozen one plain. Leave it out"
        )
    elif not compare and "plans" in given:
        raise UsageError("--plans belongs to --compare")
    elif not compare and {"budget", "views"} <= given.keys():
        raise UsageError(
            "--views is for the head that the demo fits without --budget: with it, what is advised is trained and pictures are read plain. "
            "Leave one of the two out"
        )
    if compare:
        with Terminal() as terminal:
            comparison = compare_demo(
                names=read_names(plans or ""),
                seed=seed,
                budget_s=read_seconds("10m" if budget is None else budget),
                runs=runs,
                resume_from=resume,
                watcher=terminal,
            )
        give(comparison.to_dict(), as_json, lambda: training_tables.compare(comparison, licence=f"elpv-dataset, {LICENCE}"))
        _say_what_is_next(as_json)
        return
    budget_s = None if budget is None else read_seconds(budget)
    with Terminal() as terminal:
        result = demo_workflow(
            seed=seed,
            views=views,
            runs=runs,
            budget_s=budget_s,
            resume_from=resume,
            watcher=terminal,
            seconds_before=process_seconds(),
        )
        training_tables.say_overrun(result.run.record, budget_s, terminal)
    give(result.to_dict(), as_json, lambda: tables.demo(result))
    _say_what_is_next(as_json)


def _say_what_is_next(as_json: bool) -> None:
    """After the demo: one's own pictures."""
    if not as_json:
        stderr.print(
            f"Next, with your own pictures, one folder a class:\n\n    {command()} train YOUR_FOLDER\n",
            soft_wrap=True,
            markup=False,
        )


def run(arguments: list[str] | None = None) -> None:
    """The entry point: runs a command and exits with its code; nothing escapes as a traceback unless --debug was given."""
    _have_streams()
    wait_asleep()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal's encoding lacks is shown as escapes, not a crash
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, prog_name="warmstart", standalone_mode=False) or 0
        if code == 130:  # what newer versions of Typer make of a KeyboardInterrupt
            raise KeyboardInterrupt
        with explained("standard output"):
            sys.stdout.flush()  # a reader that is gone, or a disk that is full, is noticed here, not when Python ends
    except BaseException as problem:
        code = _explain(problem)
    _let_go(sys.stdout)
    _let_go(sys.stderr)
    sys.exit(code)


def _have_streams() -> None:
    """Where a stream is closed (``>&-``, a service, pythonw) what is printed goes nowhere, and no file that is opened takes its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - until the process ends


def _let_go(stream: Any) -> None:
    """What cannot be flushed was told of; Python would tell of it once more when it ends, with a code of its own."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # ValueError: a stream without a number, as in tests
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _explain(problem: BaseException) -> int:
    """Say what went wrong, on stderr; return the exit code. The one place where errors become exit codes."""
    with suppress(OSError, ValueError):  # stderr may be full, or gone
        return _explained(problem)
    return 1


def _explained(problem: BaseException) -> int:
    if isinstance(problem, (KeyboardInterrupt, typer.Abort)):
        stderr.print("stopped; what was stored is kept")
        return 130
    if isinstance(problem, SystemExit):
        return problem.code if isinstance(problem.code, int) else 1
    if isinstance(problem, typer.Exit):
        return int(problem.exit_code)
    if DEBUG:
        traceback.print_exception(problem)
    if isinstance(problem, _CLICK_ERROR):
        problem.show()
        return int(problem.exit_code)
    if isinstance(problem, BrokenPipeError):
        return 0
    if not isinstance(problem, WarmstartError):  # the machine's refusals, also where a library wraps them
        problem = refusal(problem, getattr(problem, "filename", None), doing="used") or problem
    if isinstance(problem, UsageError):
        code = 2
    elif isinstance(problem, InputError):
        code = 1
    else:
        code = 3
    prefix = (
        "error" if code < 3 else f"a fault of warmstart's own ({type(problem).__name__}); --debug shows where. Please report it"
    )
    stderr.print(f"{prefix}: {printable(str(problem))}", markup=False, soft_wrap=True)
    return code
