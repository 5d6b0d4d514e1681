"""The verb that serves."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from warmstart.cli.options import Download
from warmstart.cli.terminal import printable, stderr
from warmstart.errors import UsageError

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]…", help="Model or run folders, or imagenet:BACKBONE; NAME=MODEL to serve one under another name."
        ),
    ] = None,
    models_folder: Annotated[
        Path | None, typer.Option("--models", metavar="FOLDER", help="Serve every model in it, also those that come later.")
    ] = None,
    home: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where data sets, runs, corrections and the list of jobs are kept.")
    ] = Path("warmstart-home"),
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8000,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", envvar="WARMSTART_API_KEY", help="What every request must bring.")
    ] = None,
    root: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Folders in here may be trained on; repeatable. Default: none.")
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name that the server is asked under, behind a proxy; repeatable."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Until a prediction must be answered; later than that it is refused with 503."),
    ] = 8.0,
    queue: Annotated[int, typer.Option(metavar="PICTURES", help="How many may wait; more are refused with 503.")] = 256,
    batch: Annotated[int, typer.Option(metavar="PICTURES", help="How many of those waiting run together; 1: none.")] = 64,
    max_body_mb: Annotated[float, typer.Option(metavar="MB", help="Size of a request with pictures.")] = 64,
    max_megapixels: Annotated[
        float, typer.Option(metavar="MEGAPIXELS", help="Size of a picture, read before it is decoded.")
    ] = 50,
    max_upload_mb: Annotated[float, typer.Option(metavar="MB", help="Size of an uploaded data set.")] = 4000,
    max_unpacked_mb: Annotated[float, typer.Option(metavar="MB", help="Size of all that an uploaded zip unpacks to.")] = 16_000,
    max_files: Annotated[int, typer.Option(metavar="FILES", help="How many an uploaded data set may have.")] = 100_000,
    download: Download = False,
) -> None:
    """Serve models over HTTP, with a web page for training and trying them. Loopback only, unless --host says otherwise."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f'the server needs {", ".join(missing)}, which is not installed: pip install "warmstart[serve]"')
    from warmstart.serve.server import serve as run
    from warmstart.serve.settings import Limits, ServeSettings

    settings = ServeSettings(
        models=tuple(models or ()),
        models_folder=models_folder,
        home=home,
        host=host,
        port=port,
        api_key=api_key,
        roots=tuple(root or ()),
        allowed_hosts=tuple(allowed_host or ()),
        download=download,
        limits=Limits(
            request_s=timeout,
            pictures_waiting=queue,
            batch=batch,
            body_bytes=int(max_body_mb * 1e6),
            picture_pixels=int(max_megapixels * 1e6),
            upload_bytes=int(max_upload_mb * 1e6),
            unpacked_bytes=int(max_unpacked_mb * 1e6),
            upload_files=max_files,
        ),
    )
    run(settings, say=lambda sentence: stderr.print(printable(sentence), markup=False, soft_wrap=True))
