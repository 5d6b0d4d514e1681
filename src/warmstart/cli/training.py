"""The verbs that train: train, compare, lr-find."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from warmstart.cli import options as o
from warmstart.cli import tables, training_tables
from warmstart.cli.option_groups import Given, Group, Groups, pairs
from warmstart.cli.terminal import Terminal
from warmstart.errors import UsageError
from warmstart.machine import process_seconds
from warmstart.options import read_names, tagged
from warmstart.plan import ADVISED, BY_ADVICE, Plan
from warmstart.session.run_folder import read_plan
from warmstart.session.settings import TrainSettings
from warmstart.task_registry import options_of_ours

TRAIN = Group(
    "train",
    defaults={"cut": None},
    helps={
        "cut": "Where the frozen part ends: 'pooled', a stage, 'pixels' (nothing is frozen), or 'auto': probe, then what advise "
        "recommends. Default: auto, or pooled where another part of the recipe is given.",
    },
)
COMPARE = Group("compare", defaults={"budget_s": "10m"}, helps={"budget_s": "Wall-clock for each plan: 90s, 10m, 1h."})
LR_FIND = Group(
    "lr-find",
    defaults={"cut": None},
    helps={
        "cut": "Where the frozen part ends: a stage, or 'pixels': nothing is frozen. Default: as --freeze has it, or stage5."
    },
)


def train(
    context: typer.Context,
    *,
    data: o.DataOrNot = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A plan.json of a run or of advise: the recipe, instead of options.")
    ] = None,
    recipe: Annotated[Given[Plan], TRAIN],
    of_tasks: Annotated[Mapping[str, Given[Any]], Groups("train", options_of_ours)],
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of a task of another package; repeatable.")
    ] = None,
    settings: Annotated[Given[TrainSettings], TRAIN],
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Instead of DATA: go on with a run whose training was interrupted.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Train on a folder of class folders, or on a table of pictures with labels or numbers, and write a run folder.

    Without a recipe: first a head on the frozen network, then, if the time allows, what advise recommends; the best on val is kept.
    With --cut before 'pooled' and the linear head, the network right of the cut is trained as well; with another head, or
    --epochs 0, that head reads the frozen stage.
    """
    from warmstart.workflows.train import resume as resume_workflow
    from warmstart.workflows.train import train as train_workflow

    _one_of(data, resume, "RUN")
    if resume is not None:
        o.only_beside_resume(context, ("download", "as_json"))
        download = settings.make().download
        with Terminal() as terminal:
            run = resume_workflow(resume, watcher=terminal, download=download, seconds_before=process_seconds())
        o.give(run.record.to_dict(), as_json, lambda: tables.train(run.record))
        return
    options = pairs("--option", option or ()) | {name: v for given in of_tasks.values() for name, v in given.values.items()}
    beside = [
        *(["--option"] if option else []),
        *(flag for given in of_tasks.values() for f in given.typed.values() for flag in f),
    ]
    asked = recipe.make(cut=_cut(recipe), options=options) if plan is None else _from_file(plan, recipe, beside)
    how = settings.make()
    with Terminal() as terminal:
        run = train_workflow(data, asked, how, watcher=terminal, seconds_before=process_seconds())
        training_tables.say_overrun(run.record, how.budget_s, terminal)
    o.give(run.record.to_dict(), as_json, lambda: tables.train(run.record))


def compare(
    context: typer.Context,
    *,
    data: o.DataOrNot = None,
    plans: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What to compare: frozen, a cut (stage5), full, scratch, each with +AUGMENT and @PX if wanted (full+flip@128), "
            "joined by ','. Default: frozen, a cut two thirds down, full, scratch.",
        ),
    ] = None,
    recipe: Annotated[Given[Plan], COMPARE],
    settings: Annotated[Given[TrainSettings], COMPARE],
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Instead of DATA: go on with a comparison that was interrupted.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Run several plans in the same time each and compare them: majority class, frozen, partly trained, full, from scratch."""
    from warmstart.tasks.classify.compare import compare as compare_workflow
    from warmstart.tasks.classify.compare import resume as resume_workflow

    _one_of(data, resume, "FOLDER")
    with Terminal() as terminal:
        if resume is not None:
            o.only_beside_resume(context, ("download", "as_json"))
            result = resume_workflow(resume, watcher=terminal, download=settings.make().download)
        else:
            result = compare_workflow(data, read_names(plans or ""), recipe.make(), settings.make(), watcher=terminal)
    o.give(result.to_dict(), as_json, lambda: training_tables.compare(result))


def lr_find(
    *,
    data: o.Data,
    recipe: Annotated[Given[Plan], LR_FIND],
    of_tasks: Annotated[Mapping[str, Given[Any]], Groups("lr-find", options_of_ours)],
    lowest: Annotated[float, typer.Option(help="The smallest rate that is tried.")] = 1e-6,
    highest: Annotated[float, typer.Option(help="The largest rate that is tried.")] = 1.0,
    steps: Annotated[int, typer.Option(help="How many rates are tried, a step of training each.")] = 100,
    settings: Annotated[Given[TrainSettings], LR_FIND],
    as_json: o.Json = False,
) -> None:
    """Find a learning rate: train a copy for a few steps under a growing rate, draw the curve, suggest one."""
    from warmstart.workflows.lr_find import lr_find as workflow

    default_cut = "pooled" if "freeze" in recipe.typed else "stage5"
    options = {name: value for given in of_tasks.values() for name, value in given.values.items()}
    plan, how = recipe.make(cut=recipe.values.get("cut") or default_cut, options=options), settings.make()
    with Terminal() as terminal:
        result = workflow(data, plan, how, lowest=lowest, highest=highest, steps=steps, watcher=terminal)
    o.give(result.to_dict(), as_json, lambda: training_tables.learning_rate(result))


def _from_file(file: Path, recipe: Given[Plan], more: Sequence[str]) -> Plan:
    """The plan of the file. Raises UsageError where a part of the recipe was typed beside it, even with the same value."""
    beside = [*(flag for flags in recipe.typed.values() for flag in flags), *more]
    if beside:
        raise UsageError(
            f"--plan {file} is the whole recipe, and {', '.join(beside)} was given beside it: edit the file instead"
        )
    return read_plan(file)


def _cut(recipe: Given[Plan]) -> str:
    """As typed; else 'auto', or 'pooled' where another part of the recipe was typed. Raises UsageError for such a part beside 'auto'."""
    cut: str | None = recipe.values.get("cut")
    parts = [flag for field in tagged(Plan, BY_ADVICE) for flag in recipe.typed.get(field.name, ())]
    if cut == ADVISED and parts:
        raise UsageError(
            f"--cut auto leaves the recipe to what is measured, and {', '.join(parts)} was given: name a cut instead, such as --cut pooled"
        )
    if cut == "pooled" and "freeze" in recipe.typed:
        raise UsageError(
            "--cut pooled trains nothing of the network, and --freeze names what is not trained of it. Leave --cut out, and it stands "
            "before the first layer that learns; or leave --freeze out"
        )
    return ("pooled" if parts else ADVISED) if cut is None else cut


def _one_of(data: Any, resume: Path | None, what: str) -> None:
    if (data is None) == (resume is None):
        raise UsageError(f"give DATA to start, or --resume {what} to go on: one of the two")
