"""Arguments and options that several verbs have, each with its one help text, and what is done with what was typed."""

import sys
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from warmstart.cli.option_groups import flag_of, flags_typed
from warmstart.errors import UsageError
from warmstart.plan import Plan
from warmstart.records import to_json
from warmstart.session.settings import TrainSettings

Data = Annotated[
    str, typer.Argument(metavar="DATA", help="Folder of class folders, or a CSV/TSV manifest with path and label.")
]
DataOrNot = Annotated[
    str | None, typer.Argument(metavar="DATA", help="Folder of class folders, or a CSV/TSV manifest with path and label.")
]
ModelFolder = Annotated[str, typer.Argument(metavar="MODEL", help="Model or run folder, exported file, or imagenet:BACKBONE.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]

Exclude: Any = flag_of(TrainSettings, "exclude")
Download: Any = flag_of(TrainSettings, "download")
HeatMaps: Any = flag_of(TrainSettings, "heat_maps")
Runs: Any = flag_of(TrainSettings, "runs")
Nested: Any = flag_of(Plan, "nested")
Views: Any = flag_of(Plan, "views")
Weights: Any = flag_of(Plan, "weights")


def give(document: Any, as_json: bool, draw: Callable[[], None]) -> None:
    """The result of a verb: one JSON document on stdout, or a table."""
    if as_json:
        sys.stdout.write(to_json(document))
    else:
        draw()


def only_beside_resume(context: typer.Context, allowed: Iterable[str]) -> None:
    """What was interrupted goes on as it was begun. Raises UsageError naming the options beside --resume that would change nothing."""
    given = flags_typed(context)
    idle = [option for name, option in given.items() if name not in {"resume", *allowed}]
    if idle:
        raise UsageError(
            f"--resume goes on with what was begun, as it was begun: {', '.join(idle)} would change nothing. Leave "
            f"{'it' if len(idle) == 1 else 'them'} out, or start anew without --resume"
        )
