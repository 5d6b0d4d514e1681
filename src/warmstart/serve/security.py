"""Who may ask: the name under which the server is asked, where a page that asks comes from, and the key.

A server on the loopback address is reached by every page in this machine's browser: by DNS rebinding (the page's own name suddenly
means 127.0.0.1; told by the Host header) and by forms and fetches to it (told by Origin and Sec-Fetch-Site, which a page cannot
forge). Both are refused. Programs send neither header and are let through.
"""

import hashlib
import hmac
import ipaddress
import re
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warmstart.serve.brake import Brake
from warmstart.serve.errors import ApiError
from warmstart.serve.settings import ServeSettings

COOKIE = "warmstart_key"
OPEN = ("/api/health", "/login")  # without a key
OPEN_BELOW = ("/api/health/", "/static/")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
}


def cookie_value(api_key: str) -> str:
    """What a browser keeps instead of the key."""
    return hmac.new(api_key.encode(), b"warmstart page", hashlib.sha256).hexdigest()


class Guard:
    """ASGI middleware; see the top of this file."""

    def __init__(self, app: ASGIApp, settings: ServeSettings, brake: Brake) -> None:
        self._app, self._settings, self._brake = app, settings, brake
        self._hosts = {settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
        every_address = settings.host in ("", "0", "0.0.0.0", "::")
        if settings.loopback or every_address:
            self._hosts |= _LOCAL
        if every_address:
            self._hosts |= {socket.gethostname().lower(), socket.getfqdn().lower()} - {""}
        # A page that reaches this server under a name of its own has neither key nor cookie of it.
        self._any_host = every_address and settings.api_key is not None
        self._numbers = every_address  # an address is no name that could be made to mean another

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._check(scope, headers)
        except ApiError as refusal:
            for_people = refusal.kind == "api-key" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")
            answer = RedirectResponse("/login", 303) if for_people else refusal.answer()
            await answer(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _check(self, scope: Scope, headers: Headers) -> None:
        method, path = scope["method"], scope["path"]
        host = headers.get("host", "")
        if not (self._any_host or _name(host) in self._hosts or (self._numbers and _is_address(_name(host)))):
            raise ApiError(
                403,
                "wrong-host",
                found=f"the server was asked as {host!r}",
                expected=f"one of {', '.join(sorted(self._hosts))}",
                fix="start it with --allowed-host NAME if it is to answer under that name",
            )
        if method not in _SAFE:
            origin = headers.get("origin")
            elsewhere = origin is not None and _place(origin) != host
            if elsewhere or (origin is None and headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")):
                raise ApiError(
                    403,
                    "wrong-origin",
                    found=f"a page of {origin or 'another site'} asked for a change",
                    expected="this server's own page or a program",
                    fix=f"open http://{host}/ instead",
                )
        key = self._settings.api_key
        if key is not None and path not in OPEN and not path.startswith(OPEN_BELOW):
            self._check_key(key, headers, address_of(scope))

    def _check_key(self, key: str, headers: Headers, address: str) -> None:
        if hmac.compare_digest(_cookie(headers.get("cookie", "")).encode(), cookie_value(key).encode()):
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]
        if any(given):
            self._brake.check(address)
        if any(hmac.compare_digest(one.encode(), key.encode()) for one in given):
            self._brake.right(address)
            return
        for one in filter(None, given):
            self._brake.wrong(address, one)
        raise ApiError(
            401,
            "api-key",
            found="no valid API key" if any(given) else "no API key",
            expected="the header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
            fix="use the key that the server was started with (--api-key or WARMSTART_API_KEY)",
        )


def _name(host: str) -> str:
    """Of a Host header, without the port; '' for what is none. (urlsplit takes '[::1].evil.example' for ::1.)"""
    found = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]/@\s]+))(?::\d*)?", host.lower())
    return (found[1] or found[2]) if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def address_of(scope: Scope) -> str:
    """Of whoever asks; that of a proxy where it does not say for whom (uvicorn's FORWARDED_ALLOW_IPS names those that are believed)."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _place(origin: str) -> str | None:
    """Host and port of an Origin header; None for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:  # 'http://['
        return None


def _cookie(text: str) -> str:
    """As browsers read it. (http.cookies finds nothing at all beside another local server's cookie that holds JSON.)"""
    return cookie_parser(text).get(COOKIE, "")
