"""The command line: one function a verb, each a few lines from arguments to a workflow to a table or a JSON document.

stdout carries results, stderr everything else. Exit 0 done, 1 the user's input or data, 2 usage, 3 a fault of ours, 130 Ctrl-C.
"""

import json
import math
import os
import sys
import traceback
from collections.abc import Callable
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer

from warmstart.cli import tables
from warmstart.cli.terminal import Terminal, printable, stderr
from warmstart.errors import InputError, UsageError
from warmstart.machine import process_seconds
from warmstart.records import Plan, to_json

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


class Resize(StrEnum):
    """How a picture is brought to the network's square input."""

    CROP = "crop"
    SQUASH = "squash"
    PAD = "pad"


Data = Annotated[
    str, typer.Argument(metavar="DATA", help="Folder of class folders, or a CSV/TSV manifest with path and label.")
]
ModelFolder = Annotated[str, typer.Argument(metavar="MODEL", help="Model or run folder, or imagenet:BACKBONE.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Leave out class folders or paths; repeatable.")
]
Download = Annotated[
    bool, typer.Option("--download", help="Allow fetching weights from their hub; size and licence are shown.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        print(installed("warmstart"))
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


@app.command()
def train(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Folder of class folders, or a CSV/TSV manifest with path and label.")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Pretrained network; the names: warmstart backbones.")] = "efficientnet_lite0",
    weights: Annotated[str, typer.Option(help="'default', 'random', or a .safetensors/.pth file.")] = "default",
    cut: Annotated[
        str, typer.Option(help="Where the frozen part ends: 'pooled', or a stage, whose mean is then the features.")
    ] = "pooled",
    taps: Annotated[
        str, typer.Option(help="'auto' (chosen on val), a named set (pooled, last, middle, all), or names joined by ','.")
    ] = "auto",
    head: Annotated[str, typer.Option(help="linear, svm, svm-rbf, ridge, knn or mlp.")] = "linear",
    image_size: Annotated[
        int | None, typer.Option(metavar="PX", help="Side of the network's input; default: the backbone's own.")
    ] = None,
    resize: Annotated[Resize, typer.Option(help="crop the centre, squash to a square, or pad.")] = Resize.CROP,
    views: Annotated[
        str,
        typer.Option(help="none, flip or dihedral: features are averaged over the picture and its mirror images and turns."),
    ] = "none",
    engine: Annotated[str, typer.Option(help="auto, openvino or pytorch.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, bf16 or f32.")] = "auto",
    class_weight: Annotated[str, typer.Option(help="none, or balanced: rare classes count as much as frequent ones.")] = "none",
    positive: Annotated[str | None, typer.Option(metavar="CLASS", help="Of two classes, the one that counts as found.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Probability from which --positive is predicted; default 0.5.")
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="TRAIN/VAL/TEST", help="Shares in percent, where the data brings no split.")
    ] = "70/15/15",
    augment: Annotated[
        str, typer.Option(help="Views to train the network on: none, flip, standard, strong or dihedral.")
    ] = "none",
    augment_views: Annotated[int, typer.Option(help="How many views of each picture are stored, the plain one included.")] = 4,
    batch_size: Annotated[int, typer.Option(help="Pictures per batch when the network is trained.")] = 32,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of training right of an earlier cut; 0: only a head on that stage.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the head; stages further left get less.")] = None,
    training: Annotated[
        list[str] | None,
        typer.Option(
            "--training",
            metavar="NAME=VALUE",
            help="Any other setting of training, as docs/training.md lists them; repeatable.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of splits and of everything random.")] = 0,
    exclude: Exclude = None,
    runs: Annotated[Path, typer.Option(help="Folder in which the run folder is made.")] = Path("runs"),
    strict: Annotated[bool, typer.Option("--strict", help="A picture that cannot be used is an error.")] = False,
    download: Download = False,
    cache_gb: Annotated[
        float | None, typer.Option(min=0, metavar="GB", help="Size budget of the store; default: a share of the free disk.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Instead of DATA: go on with a run whose training was interrupted.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a classifier on a folder of class folders and write a run folder.

    With --cut before 'pooled' and the linear head, the network right of the cut is trained as well; with another head, or
    --epochs 0, that head reads the frozen stage.
    """
    from warmstart.workflows.settings import TrainSettings
    from warmstart.workflows.train import resume as resume_workflow
    from warmstart.workflows.train import train as train_workflow

    if (data is None) == (resume is None):
        raise UsageError("give DATA to start a run, or --resume RUN to go on with one: one of the two")
    if resume is not None:
        with Terminal() as terminal:
            run = resume_workflow(resume, watcher=terminal, download=download, seconds_before=process_seconds())
        _give(run.record.to_dict(), as_json, lambda: tables.train(run.record))
        return
    assert data is not None
    plan = Plan(
        backbone=backbone,
        weights=weights,
        cut=cut,
        taps=taps,
        head=head,
        image_size_px=image_size,
        resize=resize.value,
        views=views,
        engine=engine,
        precision=precision,
        class_weight=class_weight,
        positive=positive,
        threshold=threshold,
        fractions=_fractions(split),
        seed=seed,
        augment=augment,
        augment_views=augment_views,
        batch_size=batch_size,
        training=_training(epochs, learning_rate, training or []),
    )
    settings = TrainSettings(
        exclude=tuple(exclude or ()), runs=runs, strict=strict, download=download, store_bytes=_bytes(cache_gb)
    )
    with Terminal() as terminal:
        run = train_workflow(data, plan, settings, watcher=terminal, seconds_before=process_seconds())
    _give(run.record.to_dict(), as_json, lambda: tables.train(run.record))


@app.command()
def predict(
    model: ModelFolder,
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURES…", help="Files, folders or globs.")],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a table to this file ('-' for stdout).")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show of each picture.")] = 3,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Predict the class of pictures."""
    from warmstart.workflows.predict import predict as predict_workflow

    if as_json and str(csv) == "-":
        raise UsageError("--json and --csv - both want stdout: give --csv a file")
    with Terminal() as terminal:
        result = predict_workflow(model, pictures, download=download, watcher=terminal)
    if csv is not None:
        tables.write_predictions_csv(result, sys.stdout if str(csv) == "-" else csv)
    if csv is None or as_json:
        _give(result.to_dict(), as_json, lambda: tables.predict(result, top))
    if not result.predictions:
        raise typer.Exit(1)


@app.command()
def evaluate(
    model: ModelFolder,
    data: Data,
    exclude: Exclude = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Score a saved model on a labelled folder; says how many of its pictures the model was trained on."""
    from warmstart.workflows.evaluate import evaluate as evaluate_workflow

    with Terminal() as terminal:
        result = evaluate_workflow(model, data, exclude=tuple(exclude or ()), download=download, watcher=terminal)
    _give(result.to_dict(), as_json, lambda: tables.evaluate(result))


@app.command()
def inspect(data: Data, exclude: Exclude = None, as_json: Json = False) -> None:
    """Show what is in a folder: classes, sizes, formats, broken files, duplicates."""
    from warmstart.workflows.inspect import inspect as inspect_workflow

    with Terminal() as terminal:
        result = inspect_workflow(data, exclude=tuple(exclude or ()), watcher=terminal)
    _give(result.to_dict(), as_json, lambda: tables.inspect(result))


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
        _give(catalogue, as_json, lambda: tables.catalogue(catalogue))
    else:
        details = workflow.details(name, image_size)
        _give(details, as_json, lambda: tables.backbone(details))


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
    as_json: Json = False,
) -> None:
    """List, prune or verify what is stored."""
    from warmstart.workflows import cache as workflow

    match action:
        case CacheAction.LS:
            document = workflow.contents()
            _give(document, as_json, lambda: tables.cache(document))
        case CacheAction.PRUNE:
            pruned = workflow.prune(_bytes(to_gb), recipe)
            _give(pruned, as_json, lambda: tables.pruned(pruned))
        case CacheAction.VERIFY:
            checked = workflow.verify()
            _give(checked, as_json, lambda: tables.verified(checked))


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Which pictures are held out.")] = 0,
    views: Annotated[
        str,
        typer.Option(help="none, flip or dihedral: features are averaged over the picture and its mirror images and turns."),
    ] = "none",
    runs: Annotated[Path, typer.Option(help="Folder in which the run folder is made.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """Find defective solar cells: trains on the pictures of the elpv-dataset package and compares with published results."""
    from warmstart.workflows.demo import demo as demo_workflow

    with Terminal() as terminal:
        result = demo_workflow(seed=seed, views=views, runs=runs, watcher=terminal, seconds_before=process_seconds())
    _give(result.to_dict(), as_json, lambda: tables.demo(result))


def run(arguments: list[str] | None = None) -> None:
    """The entry point: runs a command and exits with its code; nothing escapes as a traceback unless --debug was given."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal's encoding lacks is shown as escapes, not a crash
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, prog_name="warmstart", standalone_mode=False) or 0
        if code == 130:  # what newer versions of Typer make of a KeyboardInterrupt
            raise KeyboardInterrupt
        sys.stdout.flush()  # a reader that is gone is noticed here, not when Python ends
    except BaseException as problem:
        code = _explain(problem)
    sys.exit(code)


def _explain(problem: BaseException) -> int:
    """Say what went wrong, on stderr; return the exit code. The one place where errors become exit codes."""
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at its end
        return 0
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


def _give(document: Any, as_json: bool, draw: Callable[[], None]) -> None:
    """The result of a verb: one JSON document on stdout, or a table."""
    if as_json:
        sys.stdout.write(to_json(document))
    else:
        draw()


def _fractions(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) / 100 for part in text.split("/"))
    except ValueError:
        raise UsageError(f"--split {text!r} is not of the form TRAIN/VAL/TEST in percent, for example 70/15/15") from None
    return train, val, test


def _training(epochs: int | None, learning_rate: float | None, others: list[str]) -> dict[str, Any]:
    """Settings of training that were given; numbers and null as JSON, anything else as text."""
    given: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate}
    given = {name: value for name, value in given.items() if value is not None}
    for pair in others:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--training {pair!r} is not of the form NAME=VALUE, for example label_smoothing=0.1")
        try:
            given[name] = json.loads(text)
        except ValueError:
            given[name] = text
    return given


def _bytes(gigabytes: float | None) -> int | None:
    if gigabytes is not None and not math.isfinite(gigabytes):
        raise UsageError(f"{gigabytes} is no size in GB, expected a number such as 2.5")
    return None if gigabytes is None else int(gigabytes * 1e9)
