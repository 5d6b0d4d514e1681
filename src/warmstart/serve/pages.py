"""The web page: rendered here, with a little JavaScript in static/ and no build step. It asks this server for everything."""

import hmac
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from warmstart.serve.body import read_bytes
from warmstart.serve.guard import COOKIE, cookie_value
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


@router.get("/login")
def login(server: Server) -> HTMLResponse:
    """Where a browser gives the key."""
    return page("login.html", title="warmstart: key", wrong=False)


@router.post("/login")
async def check_login(server: Server, request: Request) -> Response:
    """A cookie instead of the key, that no script and no other site's page can use."""
    fields = parse_qs((await read_bytes(request, 10_000)).decode("utf-8", "replace"))
    key, given = server.settings.api_key, fields.get("key", [""])[0]
    if key is None or not hmac.compare_digest(given.encode("utf-8", "replace"), key.encode()):
        return HTMLResponse(page("login.html", title="warmstart: key", wrong=True).body, 401)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(COOKIE, cookie_value(key), max_age=30 * 86400, httponly=True, samesite="strict")
    return answer
