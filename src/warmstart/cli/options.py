"""Options that several verbs have, each with its one help text, and how what was typed becomes settings."""

import json
import math
import re
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from warmstart.errors import UsageError
from warmstart.records import to_json


class Resize(StrEnum):
    """How a picture is brought to the network's square input."""

    CROP = "crop"
    SQUASH = "squash"
    PAD = "pad"


Data = Annotated[
    str, typer.Argument(metavar="DATA", help="Folder of class folders, or a CSV/TSV manifest with path and label.")
]
DataOrNot = Annotated[
    str | None, typer.Argument(metavar="DATA", help="Folder of class folders, or a CSV/TSV manifest with path and label.")
]
ModelFolder = Annotated[str, typer.Argument(metavar="MODEL", help="Model or run folder, exported file, or imagenet:BACKBONE.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="PATTERN", help="Leave out class folders or paths; repeatable.")
]
Download = Annotated[
    bool, typer.Option("--download", help="Allow fetching weights from their hub; size and licence are shown.")
]

Backbone = Annotated[str, typer.Option(help="Pretrained network; the names: warmstart backbones.")]
Weights = Annotated[str, typer.Option(help="'default', 'random', or a .safetensors/.pth file.")]
Taps = Annotated[
    str, typer.Option(help="'auto' (chosen on val), a named set (pooled, last, middle, all), or names joined by ','.")
]
Freeze = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Layers that stay as they are: stages or the network's own names, also as patterns, joined by ',': stem,stage[1-3],*.bn*. "
        "Without --cut the cut stands before the first layer that learns.",
    ),
]
ImageSize = Annotated[int | None, typer.Option(metavar="PX", help="Side of the network's input; default: the backbone's own.")]
ResizeMode = Annotated[Resize, typer.Option(help="crop the centre, squash to a square, or pad.")]
Views = Annotated[
    str,
    typer.Option(
        help="none, flip, mirrors or dihedral: predictions are averaged over the picture and its mirror images (and turns)."
    ),
]
Engine = Annotated[str, typer.Option(help="auto, openvino or pytorch.")]
Precision = Annotated[str, typer.Option(help="auto, bf16 or f32.")]
ClassWeight = Annotated[str, typer.Option(help="none, or balanced: rare classes count as much as frequent ones.")]
Positive = Annotated[str | None, typer.Option(metavar="CLASS", help="Of two classes, the one that counts as found.")]
Shares = Annotated[
    str, typer.Option("--split", metavar="TRAIN/VAL/TEST", help="Shares in percent, where the data brings no split.")
]
Augment = Annotated[
    str, typer.Option(help="Views to train the network on: none, flip, mirrors, dihedral, standard, unmirrored or strong.")
]
AugmentViews = Annotated[int, typer.Option(help="How many views of each picture are stored, the plain one included.")]
BatchSize = Annotated[int, typer.Option(help="Pictures per batch when the network is trained.")]
Epochs = Annotated[int | None, typer.Option(help="Epochs of training right of an earlier cut; 0: only a head on that stage.")]
LearningRate = Annotated[float | None, typer.Option(help="Each stage further left gets less of it, and so does the head.")]
Training = Annotated[
    list[str] | None,
    typer.Option(
        "--training",
        metavar="NAME=VALUE",
        help="Any other setting of training, as docs/training.md lists them; repeatable.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of splits and of everything random.")]
Runs = Annotated[Path, typer.Option(help="Folder in which the run folder is made.")]
KeepDamaged = Annotated[
    bool, typer.Option("--keep-damaged", help="Use pictures whose files are damaged but decode; by default they are left out.")
]
Strict = Annotated[bool, typer.Option("--strict", help="A picture that cannot be used is an error.")]
Fixes = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV", help="A list of fixes (doctor --fix-list) to apply first: keep, drop or relabel. No file is touched."
    ),
]
GroupDuplicates = Annotated[
    bool | None,
    typer.Option(
        "--group-duplicates/--no-group-duplicates",
        help="Near copies of a picture stay on one side of the split. Default: where the data brings no split and some would not.",
    ),
]
HeatMaps = Annotated[
    bool,
    typer.Option(
        "--heat-maps/--no-heat-maps", help="Show in the report where the model looked, on a few test pictures: some 2 s."
    ),
]
Findings = Annotated[
    bool,
    typer.Option(
        "--findings/--no-findings",
        help="Look for copies, doubtful labels and outliers when the run is done, for the report: at most some 10 s.",
    ),
]
CacheSize = Annotated[
    float | None,
    typer.Option("--cache-gb", min=0, metavar="GB", help="Size budget of the store; default: a share of the free disk."),
]


def give(document: Any, as_json: bool, draw: Callable[[], None]) -> None:
    """The result of a verb: one JSON document on stdout, or a table."""
    if as_json:
        sys.stdout.write(to_json(document))
    else:
        draw()


def typed(context: typer.Context) -> dict[str, str]:
    """Parameters that stand on the command line, also with their usual value: name → the option as it is spelt, or the argument."""
    found = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name and source is not None and source.name == "COMMANDLINE":
            negated = parameter.secondary_opts and context.params[parameter.name] is False
            found[parameter.name] = (parameter.secondary_opts if negated else parameter.opts)[0]
    return found


def only_beside_resume(context: typer.Context, allowed: Iterable[str]) -> None:
    """What was interrupted goes on as it was begun. Raises UsageError naming the options beside --resume that would change nothing."""
    given = typed(context)
    idle = [option for name, option in given.items() if name not in {"resume", *allowed}]
    if idle:
        raise UsageError(
            f"--resume goes on with what was begun, as it was begun: {', '.join(idle)} would change nothing. Leave "
            f"{'it' if len(idle) == 1 else 'them'} out, or start anew without --resume"
        )


def shares(text: str) -> tuple[float, float, float]:
    """'70/15/15' → (0.7, 0.15, 0.15). Raises UsageError."""
    try:
        train, val, test = (float(part) / 100 for part in text.split("/"))
    except ValueError:
        raise UsageError(f"--split {text!r} is not of the form TRAIN/VAL/TEST in percent, for example 70/15/15") from None
    return train, val, test


def training_given(epochs: int | None, learning_rate: float | None, others: list[str] | None) -> dict[str, Any]:
    """Settings of training that were given; numbers and null as JSON, anything else as text. Raises UsageError."""
    given: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate}
    given = {name: value for name, value in given.items() if value is not None}
    for pair in others or ():
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--training {pair!r} is not of the form NAME=VALUE, for example label_smoothing=0.1")
        try:
            given[name] = json.loads(text)
        except ValueError:
            given[name] = text
    return given


def names(text: str | None) -> tuple[str, ...]:
    """'a, b' → ('a', 'b'); nothing for nothing."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def seconds(text: str) -> float:
    """'90s', '10m', '1.5h', or a number of seconds. Raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no time; give seconds, minutes or hours, for example 90s, 10m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def size_bytes(gigabytes: float | None) -> int | None:
    """GB → bytes. Raises UsageError."""
    if gigabytes is not None and not math.isfinite(gigabytes):
        raise UsageError(f"{gigabytes} is no size in GB, expected a number such as 2.5")
    return None if gigabytes is None else int(gigabytes * 1e9)
