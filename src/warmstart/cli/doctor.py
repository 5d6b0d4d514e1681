"""The verb `doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from warmstart.atomic import require_writable
from warmstart.cli import doctor_tables
from warmstart.cli import options as o
from warmstart.cli.option_groups import Given, Group
from warmstart.cli.tables import console
from warmstart.cli.terminal import Terminal
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings

DOCTOR = Group("doctor")


def doctor(
    *,
    data: o.Data,
    fix_list: Annotated[
        Path | None,
        typer.Option("--fix-list", metavar="CSV", help="Write every finding to this list, to edit and give to train --fixes."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a list of fixes that was edited since it was written.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Write a page of thumbnails by kind; it opens from disk.")
    ] = None,
    recipe: Annotated[Given[Plan], DOCTOR],
    settings: Annotated[Given[TrainSettings], DOCTOR],
    as_json: o.Json = False,
) -> None:
    """Find what is wrong with a data set: broken files, copies and near copies, doubtful labels, outliers, odd pictures.

    Works on what the backbone has said of each picture, which is stored, and touches no file of the data.
    """
    from warmstart.tasks.classify.doctor.examination import doctor as doctor_workflow
    from warmstart.tasks.classify.doctor.examination import write

    for option, file in (("--fix-list", fix_list), ("--page", page)):
        if file is not None:
            require_writable(option, file)
    plan, how = recipe.make(), settings.make()
    with Terminal() as terminal:
        diagnosis = doctor_workflow(data, plan, how, watcher=terminal)
        write(diagnosis, fix_list=fix_list, page=page, watcher=terminal, force=force)
    o.give(diagnosis.to_dict(), as_json, lambda: doctor_tables.diagnosis(diagnosis, console()))
