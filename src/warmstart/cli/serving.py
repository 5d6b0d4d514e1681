"""The verb that serves."""

from importlib.util import find_spec
from typing import Annotated

import typer

from warmstart.cli.option_groups import Given, Group
from warmstart.cli.terminal import printable, stderr
from warmstart.errors import UsageError
from warmstart.serve.settings import Limits, ServeSettings

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")


SERVE = Group("serve")


def serve(
    *,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]…", help="Model or run folders, or imagenet:BACKBONE; NAME=MODEL to serve one under another name."
        ),
    ] = None,
    settings: Annotated[Given[ServeSettings], SERVE],
    limits: Annotated[Given[Limits], SERVE],
) -> None:
    """Serve models over HTTP, with a web page for training and trying them. Loopback only, unless --host says otherwise."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f'the server needs {", ".join(missing)}, which is not installed: pip install "warmstart[serve]"')
    from warmstart.serve.server import serve as run

    asked = settings.make(models=tuple(models or ()), limits=limits.make())
    run(asked, say=lambda sentence: stderr.print(printable(sentence), markup=False, soft_wrap=True))
