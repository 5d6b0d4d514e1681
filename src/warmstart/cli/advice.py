"""The verb `advise`."""

from pathlib import Path
from typing import Annotated

import typer

from warmstart import machine
from warmstart.cli import advice_tables
from warmstart.cli import options as o
from warmstart.cli.option_groups import Given, Group
from warmstart.cli.tables import console
from warmstart.cli.terminal import Terminal
from warmstart.options import read_names
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings

ADVISE = Group("advise", helps={"budget_s": "What the run may take at most, such as 90s or 10m; default 10m."})


def advise(
    *,
    data: o.Data,
    backbones: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Let these compete, joined by ','; NAME@random is one with random weights."),
    ] = None,
    plan_out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the recommended plan here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Draw the depth profile into this folder, as PNG and SVG.")
    ] = None,
    recipe: Annotated[Given[Plan], ADVISE],
    settings: Annotated[Given[TrainSettings], ADVISE],
    as_json: o.Json = False,
) -> None:
    """Measure how much data there is and how much of the network it uses, then say where to cut, why, and how long it takes.

    Everything is measured on train pictures, at most 1,200 of them. What is computed is stored, and a run of the plan finds it.
    """
    from warmstart.tasks.classify.advice.advise import advise as advise_workflow

    plan, how = recipe.make(), settings.make()
    with Terminal() as terminal:
        result = advise_workflow(
            data,
            plan,
            how,
            backbones=read_names(backbones or ""),
            plan_out=plan_out,
            plot=plot,
            watcher=terminal,
            seconds_before=machine.process_seconds(),
        )
    o.give(result.to_dict(), as_json, lambda: advice_tables.advice(result, console()))
