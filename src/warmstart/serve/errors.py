"""Errors as answers: the one place where an error becomes an HTTP status.

    {"error": {"kind": "unknown-model", "message": "…", "found": "…", "expected": "…", "fix": "…"}}

``message`` is a whole sentence; the three parts stand beside it where they are known apart.
"""

import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from warmstart.errors import (
    BackboneError,
    DataError,
    InputError,
    MachineError,
    ModelFileError,
    PictureError,
    StoreError,
    UnknownNameError,
    UsageError,
    WarmstartError,
)
from warmstart.refusals import NO_ROOM
from warmstart.serve.database import FILE, trouble

LOG = logging.getLogger(__name__)

# The first that fits counts. 422: understood, and cannot be done with what was given.
STATUS: tuple[tuple[type[WarmstartError], int, str], ...] = (
    (UnknownNameError, 422, "unknown-name"),
    (UsageError, 422, "usage"),
    (PictureError, 422, "picture"),
    (DataError, 422, "data"),
    (BackboneError, 422, "backbone"),
    (ModelFileError, 422, "model"),
    (StoreError, 507, "store"),
    (InputError, 422, "input"),
    (WarmstartError, 500, "fault"),
)
# What a machine refuses: a disk, its rights, a limit on files.
MACHINE_CODES = (
    *("EIO", "EACCES", "EPERM", "EROFS", "EMFILE", "ENFILE", "ENOMEM", "ENXIO", "ENODEV"),
    *("ESTALE", "ENOENT", "ENOTDIR", "EFBIG", "EBUSY", "ETIMEDOUT"),
)
MACHINE = frozenset(getattr(errno, name) for name in MACHINE_CODES if hasattr(errno, name))
RETRY_S = 5
Hide = Callable[[str], str]
PICTURE_STATUS = {"too-large": 413, "not-a-picture": 415, "unsupported": 415}


class ApiError(Exception):
    """A refusal that only makes sense over HTTP: what was found, what was expected, how to put it right."""

    def __init__(
        self, status: int, kind: str, *, found: str, expected: str = "", fix: str = "", retry_after_s: int | None = None
    ) -> None:
        message = found + (f"; expected {expected}" if expected else "") + (f": {fix}" if fix else "")
        super().__init__(message)
        self.status, self.kind, self.retry_after_s = status, kind, retry_after_s
        self.found, self.expected, self.fix = found, expected, fix

    def answer(self, hide: Hide = str) -> JSONResponse:
        """As HTTP has it; ``hide`` takes the places of the server's disk out of a text."""
        parts = {"found": self.found, "expected": self.expected, "fix": self.fix}
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return _answer(self.status, self.kind, hide(str(self)), {k: hide(v) for k, v in parts.items() if v}, headers)


def not_found(what: str, name: str, known: list[str]) -> ApiError:
    """404 with the nearest names."""
    hint = UnknownNameError(what, name, known)
    return ApiError(
        404,
        f"unknown-{what.replace(' ', '-')}",
        found=f"there is no {what} {name!r}",
        expected=("one of " + ", ".join(known[:20])) if known else "",
        fix=f"did you mean {hint.nearest[0]!r}?" if hint.nearest else "",
    )


def disk_is_full(error: Exception) -> bool:
    """Whether there was no room, or no more of what this user may have."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, (OSError, MachineError)) and error.errno in NO_ROOM


def of_machine(error: Exception) -> ApiError | None:
    """What a disk, a database or memory refuses, told without a place of the server's disk; None for what may be a fault of ours."""
    if disk_is_full(error):
        return ApiError(
            507,
            "disk-full",
            found="the server's disk is full",
            expected="room for what was asked for",
            fix="make room under the server's --home and ask again",
        )
    if isinstance(error, sqlite3.Error):
        what, fix = trouble(error)
        return ApiError(503, "database", found=f"{FILE} in the server's --home {what}", fix=fix, retry_after_s=RETRY_S)
    if isinstance(error, MemoryError):
        return ApiError(
            503, "memory", found="the server has too little memory for it", fix="send less at once", retry_after_s=RETRY_S
        )
    if isinstance(error, MachineError):  # where on the server's disk is for its log, not for whoever asks
        return ApiError(
            503,
            "disk",
            found=f"a file of the server cannot be used ({os.strerror(error.errno or 0)})",
            fix="look at the disk and the rights of the server's --home, and ask again",
            retry_after_s=RETRY_S,
        )
    if isinstance(error, OSError) and error.errno in MACHINE:
        name = f" {os.path.basename(os.fsdecode(error.filename))!r}" if error.filename else ""  # noqa: PTH119 - perhaps bytes
        return ApiError(
            503,
            "disk",
            found=f"a file{name} of the server cannot be used ({error.strerror})",
            fix="look at the disk and the rights of the server's --home, and ask again",
            retry_after_s=RETRY_S,
        )
    return None


def of_error(error: WarmstartError, hide: Hide = str) -> JSONResponse:
    """The answer for an error of the tree."""
    status, kind = next((status, kind) for cls, status, kind in STATUS if isinstance(error, cls))
    if isinstance(error, PictureError):
        status, kind = PICTURE_STATUS.get(error.kind, status), error.kind
    extra = {"nearest": error.nearest} if isinstance(error, UnknownNameError) else {}
    return _answer(status, kind, hide(str(error)), extra)


def install(app: FastAPI) -> None:
    """Every error of this app is answered here."""

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        return error.answer(request.app.state.server.places.hide)

    @app.exception_handler(WarmstartError)
    async def known(request: Request, error: WarmstartError) -> Response:
        return of_error(error, request.app.state.server.places.hide)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, error: ClientDisconnect) -> Response:
        return _answer(400, "truncated-upload", "the connection ended before the request did: send it again", {})

    @app.exception_handler(OSError)
    @app.exception_handler(MachineError)
    @app.exception_handler(sqlite3.Error)
    @app.exception_handler(MemoryError)
    async def not_now(request: Request, error: OSError | MachineError | sqlite3.Error | MemoryError) -> Response:
        refusal = of_machine(error)
        if refusal is None:
            raise error
        LOG.error("%s %s: %s (%s)", request.method, request.url.path, refusal, error)
        return refusal.answer(request.app.state.server.places.hide)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)  # of a body that a route reads itself
    async def malformed(_: Request, error: RequestValidationError | ValidationError) -> Response:
        problems = [f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in error.errors()]
        return _answer(422, "request", f"the request does not fit: {'; '.join(problems)}", {})

    @app.exception_handler(HTTPException)
    async def ordinary(_: Request, error: HTTPException) -> Response:
        kinds = {404: "unknown-address", 405: "method"}
        kind = kinds.get(error.status_code, "http")
        return _answer(error.status_code, kind, f"{error.detail}: see /api/openapi.json", {}, error.headers or {})

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> Response:
        return _answer(500, "fault", f"a fault of warmstart's own ({type(error).__name__}); the server's log says more", {})


def _answer(
    status: int, kind: str, message: str, extra: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    text = message.encode("utf-8", "backslashreplace").decode("utf-8")  # a name that is not UTF-8
    return JSONResponse({"error": {"kind": kind, "message": text, **extra}}, status, dict(headers or {}))
