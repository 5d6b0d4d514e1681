"""The verb `advise`."""

from pathlib import Path
from typing import Annotated

import typer

from warmstart import machine
from warmstart.cli import advice_tables
from warmstart.cli import options as o
from warmstart.cli.tables import console
from warmstart.cli.terminal import Terminal
from warmstart.plan import Plan


def advise(
    data: o.Data,
    backbone: o.Backbone = "efficientnet_lite0",
    backbones: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Let these compete, joined by ','; NAME@random is one with random weights."),
    ] = None,
    plan_out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the recommended plan here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Draw the depth profile into this folder, as PNG and SVG.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="What the run may take at most, such as 90s or 10m; default 10m.")
    ] = None,
    image_size: o.ImageSize = None,
    resize: o.ResizeMode = o.Resize.CROP,
    keep_damaged: o.KeepDamaged = False,
    split: o.Shares = "70/15/15",
    seed: o.Seed = 0,
    exclude: o.Exclude = None,
    download: o.Download = False,
    fixes: o.Fixes = None,
    group_duplicates: o.GroupDuplicates = None,
    as_json: o.Json = False,
) -> None:
    """Measure how much data there is and how much of the network it uses, then say where to cut, why, and how long it takes.

    Everything is measured on train pictures, at most 1,200 of them. What is computed is stored, and a run of the plan finds it.
    """
    from warmstart.workflows.advise import advise as advise_workflow
    from warmstart.workflows.settings import TrainSettings

    plan = Plan(
        backbone=backbone,
        image_size_px=image_size,
        resize=resize.value,
        keep_damaged=keep_damaged,
        fractions=o.shares(split),
        seed=seed,
    )
    settings = TrainSettings(
        exclude=tuple(exclude or ()),
        download=download,
        fixes=fixes,
        group_duplicates=group_duplicates,
        budget_s=o.seconds(budget) if budget is not None else None,
    )
    with Terminal() as terminal:
        result = advise_workflow(
            data,
            plan,
            settings,
            backbones=o.names(backbones),
            plan_out=plan_out,
            plot=plot,
            watcher=terminal,
            seconds_before=machine.process_seconds(),
        )
    o.give(result.to_dict(), as_json, lambda: advice_tables.advice(result, console()))
