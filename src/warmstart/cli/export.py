"""The verb `export`."""

from pathlib import Path
from typing import Annotated

import typer

from warmstart.cli import export_tables
from warmstart.cli import options as o
from warmstart.cli.terminal import Terminal


def export(
    model: o.ModelFolder,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="onnx, openvino or torch-export.")] = "onnx",
    precision: Annotated[str, typer.Option(help="fp32, fp16, bf16 or int8.")] = "fp32",
    resize_inside: Annotated[
        bool,
        typer.Option(
            "--resize-inside",
            help="The file takes one picture of any size, uint8 (1, H, W, 3), and resizes it as warmstart does.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write; default: exports/FORMAT-PRECISION in the run folder.")
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Held-out pictures to prove the file on; default: the test pictures of the run."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="int8: where the training pictures are now; default: where train found them."),
    ] = None,
    proof_pictures: Annotated[int, typer.Option(min=1, metavar="N", help="Prove it on at most so many pictures.")] = 1000,
    force: Annotated[bool, typer.Option("--force", help="Keep a file that is not proved; it is marked so.")] = False,
    download: o.Download = False,
    as_json: o.Json = False,
) -> None:
    """Write a model as one file for other programs, and prove on held-out pictures that it says the same."""
    from warmstart.workflows.export import ExportSettings
    from warmstart.workflows.export import export as export_workflow

    settings = ExportSettings(
        format=to,
        precision=precision,
        resize_inside=resize_inside,
        out=out,
        pictures=pictures,
        data=data,
        proof_pictures=proof_pictures,
        force=force,
    )
    with Terminal() as terminal:
        result = export_workflow(model, settings, download=download, watcher=terminal)
    o.give(result.to_dict(), as_json, lambda: export_tables.export(result))
