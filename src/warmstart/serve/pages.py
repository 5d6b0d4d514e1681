"""The web page: rendered here, with a little JavaScript in static/ and no build step. It asks this server for everything."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from warmstart.serve.state import Server

STATIC = Path(__file__).parent / "static"

router = APIRouter(include_in_schema=False)
_environment = Environment(
    loader=PackageLoader("warmstart.serve"), autoescape=select_autoescape(), undefined=StrictUndefined, trim_blocks=True
)


def page(template: str, **values: Any) -> HTMLResponse:
    """A template of templates/, everything in it escaped."""
    return HTMLResponse(_environment.get_template(template).render(**values))


@router.get("/")
def home(server: Server) -> HTMLResponse:
    """What there is."""
    return page("home.html", title="warmstart", models=server.models.describe())
