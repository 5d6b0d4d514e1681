"""The verbs `explain` and `filters`."""

from pathlib import Path
from typing import Annotated

import typer

from warmstart.cli import explain_tables
from warmstart.cli import options as o
from warmstart.cli.terminal import Terminal

Out = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where to write the pictures; default: a new one in runs/.")]


def explain(
    model: o.ModelFolder,
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture to explain.")],
    class_name: Annotated[
        str | None, typer.Option("--class", metavar="NAME", help="The class to explain; default: the predicted one.")
    ] = None,
    method: Annotated[str, typer.Option(help="occlusion: any head; grad-cam: any head but knn.")] = "occlusion",
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE",
            help="Where to make heat-map and feature maps: a stage, or the library's path of it; default: the last that counts.",
        ),
    ] = None,
    neighbours: Annotated[int, typer.Option(min=0, help="How many of the nearest training pictures to show.")] = 5,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Where the training pictures are now; default: where train found them.")
    ] = None,
    out: Out = None,
    download: o.Download = False,
    as_json: o.Json = False,
) -> None:
    """Show where in a picture the evidence for a class lies, what the stages see, and the training pictures most like it."""
    from warmstart.session.run_folder import new_run_folder
    from warmstart.tasks.classify.explain.explanation import ExplainSettings, draw
    from warmstart.tasks.classify.explain.explanation import explain as explain_workflow

    settings = ExplainSettings(class_name=class_name, method=method, layer=layer, neighbours=neighbours, data=data)
    with Terminal() as terminal:
        result = explain_workflow(model, picture, settings, download=download, watcher=terminal)
    result = draw(result, out or new_run_folder(Path("runs"), f"{picture.stem}-explain"))
    o.give(result.to_dict(), as_json, lambda: explain_tables.explanation(result))


def filters(
    name: Annotated[str, typer.Argument(metavar="BACKBONE|MODEL", help="A backbone by name, or a model or run folder.")],
    weights: o.Weights = "default",
    out: Out = None,
    download: o.Download = False,
    as_json: o.Json = False,
) -> None:
    """Draw the filters of the first convolution in colour."""
    from warmstart.session.run_folder import new_run_folder
    from warmstart.workflows.filters import draw
    from warmstart.workflows.filters import filters as filters_workflow

    with Terminal() as terminal:
        result = filters_workflow(name, weights=weights, download=download, watcher=terminal)
    result = draw(result, out or new_run_folder(Path("runs"), "filters"))
    o.give(result.to_dict(), as_json, lambda: explain_tables.filters(result))
