"""The verbs that train: train, compare, lr-find."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from warmstart.cli import options as o
from warmstart.cli import tables, training_tables
from warmstart.cli.terminal import Terminal
from warmstart.errors import UsageError
from warmstart.machine import process_seconds
from warmstart.records import ADVISED, Plan
from warmstart.workflows.run_folder import read_plan

# What may stand beside --plan: where, how strictly and how long, but nothing of the recipe. And what --cut auto leaves to the advice.
BESIDE_PLAN = {
    "data", "plan", "budget", "exclude", "runs", "strict", "download", "cache_gb", "fixes", "group_duplicates", "heat_maps", "findings",
    "as_json",
}  # fmt: skip
ADVICE_DECIDES = ("taps", "head", "views", "unfreeze", "freeze", "augment", "epochs", "learning_rate", "training")

Cut = Annotated[
    str | None,
    typer.Option(
        help="Where the frozen part ends: a stage, or 'pixels': nothing is frozen. Default: as --freeze has it, or stage5."
    ),
]


def train(
    context: typer.Context,
    data: o.DataOrNot = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A plan.json of a run or of advise: the recipe, instead of options.")
    ] = None,
    backbone: o.Backbone = "efficientnet_lite0",
    weights: o.Weights = "default",
    cut: Annotated[
        str | None,
        typer.Option(
            help="Where the frozen part ends: 'pooled', a stage, 'pixels' (nothing is frozen), or 'auto': probe, then what advise "
            "recommends. Default: auto, or pooled where another part of the recipe is given.",
        ),
    ] = None,
    taps: o.Taps = "auto",
    head: Annotated[str, typer.Option(help="linear, svm, svm-rbf, ridge, knn or mlp.")] = "linear",
    image_size: o.ImageSize = None,
    resize: o.ResizeMode = o.Resize.CROP,
    keep_damaged: o.KeepDamaged = False,
    views: o.Views = "none",
    engine: o.Engine = "auto",
    precision: o.Precision = "auto",
    class_weight: o.ClassWeight = "none",
    positive: o.Positive = None,
    threshold: Annotated[
        float | None, typer.Option(help="Probability from which --positive is predicted; default 0.5.")
    ] = None,
    split: o.Shares = "70/15/15",
    unfreeze: Annotated[
        str | None,
        typer.Option(
            metavar="CUTS", help="Gradual unfreezing: cuts to train from before --cut, later ones first: stage6,stage5."
        ),
    ] = None,
    freeze: o.Freeze = None,
    augment: o.Augment = "none",
    augment_views: o.AugmentViews = 4,
    batch_size: o.BatchSize = 32,
    epochs: o.Epochs = None,
    learning_rate: o.LearningRate = None,
    training: o.Training = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Wall-clock in which training is to end (90s, 10m, 1h): fewer epochs if need be. With --cut auto 2m if not given.",
        ),
    ] = None,
    seed: o.Seed = 0,
    exclude: o.Exclude = None,
    runs: o.Runs = Path("runs"),
    strict: o.Strict = False,
    download: o.Download = False,
    cache_gb: o.CacheSize = None,
    fixes: o.Fixes = None,
    group_duplicates: o.GroupDuplicates = None,
    heat_maps: o.HeatMaps = True,
    findings: o.Findings = True,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Instead of DATA: go on with a run whose training was interrupted.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Train a classifier on a folder of class folders and write a run folder.

    Without a recipe: first a head on the frozen network, then, if the time allows, what advise recommends; the best on val is kept.
    With --cut before 'pooled' and the linear head, the network right of the cut is trained as well; with another head, or
    --epochs 0, that head reads the frozen stage.
    """
    from warmstart.workflows.settings import TrainSettings
    from warmstart.workflows.train import resume as resume_workflow
    from warmstart.workflows.train import train as train_workflow

    _one_of(data, resume, "RUN")
    if resume is not None:
        o.only_beside_resume(context, ("download", "as_json"))
        with Terminal() as terminal:
            run = resume_workflow(resume, watcher=terminal, download=download, seconds_before=process_seconds())
        o.give(run.record.to_dict(), as_json, lambda: tables.train(run.record))
        return
    given = o.typed(context)
    if plan is not None:
        recipe = _from_file(plan, given)
    else:
        recipe = Plan(
            backbone=backbone,
            weights=weights,
            cut=_cut(cut, given),
            taps=taps,
            head=head,
            image_size_px=image_size,
            resize=resize.value,
            keep_damaged=keep_damaged,
            views=views,
            engine=engine,
            precision=precision,
            class_weight=class_weight,
            positive=positive,
            threshold=threshold,
            fractions=o.shares(split),
            seed=seed,
            unfreeze=o.names(unfreeze),
            freeze=o.names(freeze),
            augment=augment,
            augment_views=augment_views,
            batch_size=batch_size,
            training=o.training_given(epochs, learning_rate, training),
        )
    settings = TrainSettings(
        exclude=tuple(exclude or ()),
        runs=runs,
        strict=strict,
        download=download,
        store_bytes=o.size_bytes(cache_gb),
        fixes=fixes,
        group_duplicates=group_duplicates,
        heat_maps=heat_maps,
        findings=findings,
        budget_s=None if budget is None else o.seconds(budget),
    )
    with Terminal() as terminal:
        run = train_workflow(data, recipe, settings, watcher=terminal, seconds_before=process_seconds())
        training_tables.say_overrun(run.record, settings.budget_s, terminal)
    o.give(run.record.to_dict(), as_json, lambda: tables.train(run.record))


def compare(
    context: typer.Context,
    data: o.DataOrNot = None,
    plans: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="What to compare: frozen, a cut (stage5), full, scratch, each with +AUGMENT and @PX if wanted (full+flip@128), "
            "joined by ','. Default: frozen, a cut two thirds down, full, scratch.",
        ),
    ] = None,
    budget: Annotated[str, typer.Option(metavar="TIME", help="Wall-clock for each plan: 90s, 10m, 1h.")] = "10m",
    backbone: o.Backbone = "efficientnet_lite0",
    weights: o.Weights = "default",
    taps: o.Taps = "auto",
    image_size: o.ImageSize = None,
    resize: o.ResizeMode = o.Resize.CROP,
    keep_damaged: o.KeepDamaged = False,
    views: o.Views = "none",
    class_weight: o.ClassWeight = "none",
    positive: o.Positive = None,
    split: o.Shares = "70/15/15",
    augment: o.Augment = "none",
    augment_views: o.AugmentViews = 4,
    batch_size: o.BatchSize = 32,
    epochs: o.Epochs = None,
    learning_rate: o.LearningRate = None,
    training: o.Training = None,
    seed: o.Seed = 0,
    exclude: o.Exclude = None,
    runs: o.Runs = Path("runs"),
    strict: o.Strict = False,
    download: o.Download = False,
    fixes: o.Fixes = None,
    group_duplicates: o.GroupDuplicates = None,
    heat_maps: o.HeatMaps = True,
    findings: o.Findings = True,
    resume: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Instead of DATA: go on with a comparison that was interrupted.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Run several plans in the same time each and compare them: majority class, frozen, partly trained, full, from scratch."""
    from warmstart.workflows.compare import compare as compare_workflow
    from warmstart.workflows.compare import resume as resume_workflow
    from warmstart.workflows.settings import TrainSettings

    _one_of(data, resume, "FOLDER")
    if resume is not None:
        o.only_beside_resume(context, ("download", "as_json"))
    with Terminal() as terminal:
        if resume is not None:
            result = resume_workflow(resume, watcher=terminal, download=download)
        else:
            plan = Plan(
                backbone=backbone,
                weights=weights,
                taps=taps,
                image_size_px=image_size,
                resize=resize.value,
                keep_damaged=keep_damaged,
                views=views,
                class_weight=class_weight,
                positive=positive,
                fractions=o.shares(split),
                seed=seed,
                augment=augment,
                augment_views=augment_views,
                batch_size=batch_size,
                training=o.training_given(epochs, learning_rate, training),
            )
            settings = TrainSettings(
                exclude=tuple(exclude or ()),
                runs=runs,
                strict=strict,
                download=download,
                fixes=fixes,
                group_duplicates=group_duplicates,
                heat_maps=heat_maps,
                findings=findings,
                budget_s=o.seconds(budget),
            )
            result = compare_workflow(data, o.names(plans), plan, settings, watcher=terminal)
    o.give(result.to_dict(), as_json, lambda: training_tables.compare(result))


def lr_find(
    data: o.Data,
    backbone: o.Backbone = "efficientnet_lite0",
    weights: o.Weights = "default",
    cut: Cut = None,
    freeze: o.Freeze = None,
    taps: o.Taps = "auto",
    image_size: o.ImageSize = None,
    resize: o.ResizeMode = o.Resize.CROP,
    keep_damaged: o.KeepDamaged = False,
    class_weight: o.ClassWeight = "none",
    split: o.Shares = "70/15/15",
    augment: o.Augment = "none",
    augment_views: o.AugmentViews = 4,
    batch_size: o.BatchSize = 32,
    training: o.Training = None,
    lowest: Annotated[float, typer.Option(help="The smallest rate that is tried.")] = 1e-6,
    highest: Annotated[float, typer.Option(help="The largest rate that is tried.")] = 1.0,
    steps: Annotated[int, typer.Option(help="How many rates are tried, a step of training each.")] = 100,
    seed: o.Seed = 0,
    exclude: o.Exclude = None,
    runs: o.Runs = Path("runs"),
    download: o.Download = False,
    fixes: o.Fixes = None,
    group_duplicates: o.GroupDuplicates = None,
    as_json: o.Json = False,
) -> None:
    """Find a learning rate: train a copy for a few steps under a growing rate, draw the curve, suggest one."""
    from warmstart.workflows.lr_find import lr_find as workflow
    from warmstart.workflows.settings import TrainSettings

    plan = Plan(
        backbone=backbone,
        weights=weights,
        cut=cut or ("pooled" if freeze else "stage5"),
        freeze=o.names(freeze),
        taps=taps,
        image_size_px=image_size,
        resize=resize.value,
        keep_damaged=keep_damaged,
        class_weight=class_weight,
        fractions=o.shares(split),
        seed=seed,
        augment=augment,
        augment_views=augment_views,
        batch_size=batch_size,
        training=o.training_given(None, None, training),
    )
    settings = TrainSettings(
        exclude=tuple(exclude or ()), runs=runs, download=download, fixes=fixes, group_duplicates=group_duplicates
    )
    with Terminal() as terminal:
        result = workflow(data, plan, settings, lowest=lowest, highest=highest, steps=steps, watcher=terminal)
    o.give(result.to_dict(), as_json, lambda: training_tables.learning_rate(result))


def _from_file(file: Path, given: Mapping[str, str]) -> Plan:
    """The plan of the file. Raises UsageError where a part of the recipe was typed beside it, even with the same value."""
    beside = [option for name, option in given.items() if name not in BESIDE_PLAN]
    if beside:
        raise UsageError(
            f"--plan {file} is the whole recipe, and {', '.join(beside)} was given beside it: edit the file instead"
        )
    return read_plan(file)


def _cut(cut: str | None, given: Mapping[str, str]) -> str:
    """As typed; else 'auto', or 'pooled' where another part of the recipe was typed. Raises UsageError for such a part beside 'auto'."""
    parts = [given[name] for name in ADVICE_DECIDES if name in given]
    if cut == ADVISED and parts:
        raise UsageError(
            f"--cut auto leaves the recipe to what is measured, and {', '.join(parts)} was given: name a cut instead, such as --cut pooled"
        )
    if cut == "pooled" and "freeze" in given:
        raise UsageError(
            "--cut pooled trains nothing of the network, and --freeze names what is not trained of it. Leave --cut out, and it stands "
            "before the first layer that learns; or leave --freeze out"
        )
    return ("pooled" if parts else ADVISED) if cut is None else cut


def _one_of(data: Any, resume: Path | None, what: str) -> None:
    if (data is None) == (resume is None):
        raise UsageError(f"give DATA to start, or --resume {what} to go on: one of the two")
