"""What comes in is bounded before a route sees it: the bytes of the header, the pace of the body, and the size and depth of JSON.

Bodies of pictures and data sets are passed on piece by piece, for `serve.body` to count; every other body is read here, as a whole.
"""

import asyncio
import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warmstart.serve.errors import ApiError
from warmstart.serve.settings import Limits

STREAMED = (
    "multipart/form-data",
    "application/zip",
    "application/x-zip-compressed",
    "application/x-zip",
    "application/octet-stream",
)
CHECKED_HERE_BYTES = 64_000  # a longer one would hold up all others


class Intake:
    """ASGI middleware; see the top of this file."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        receive = _Paced(receive, self._limits)
        try:
            self._check_header(scope)
            if not _is_streamed(scope):
                receive = _again(await self._whole(scope, receive), receive)
        except ApiError as refusal:
            await refusal.answer()(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_header(self, scope: Scope) -> None:
        """The parser's own limit counts only what has not come in one piece."""
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        size += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if size > self._limits.header_bytes:
            raise ApiError(
                431, "header-too-large", found=f"a header of {size:,} bytes", expected=f"at most {self._limits.header_bytes:,}"
            )

    async def _whole(self, scope: Scope, receive: Receive) -> bytes:
        most, pieces, size, more = self._limits.json_bytes, list[bytes](), 0, True
        announced = Headers(scope=scope).get("content-length", "")
        too_long = ApiError(
            413, "too-large", found="a body that is longer", expected=f"at most {most:,} bytes", fix="send less at once"
        )
        if announced.isascii() and announced.isdigit() and int(announced) > most:
            raise too_long
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ApiError(
                    400, "truncated-upload", found="the connection ended before the request did", fix="send it again"
                )
            pieces.append(message.get("body", b""))
            size, more = size + len(pieces[-1]), message.get("more_body", False)
            if size > most:
                raise too_long
        body = b"".join(pieces)
        if size > CHECKED_HERE_BYTES:
            await run_in_threadpool(check_json, body, self._limits.json_depth)
        else:
            check_json(body, self._limits.json_depth)
        return body


def check_json(body: bytes, deepest: int) -> None:
    """Raises ApiError 422 for JSON that is nested deeper, or names a key twice: readers differ in which of the two counts.

    What is no JSON is left to whoever reads it.
    """
    try:
        value = json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        raise _unfit(f"JSON that is nested deeper than {deepest}", f"at most {deepest}") from None
    except (ValueError, MemoryError):
        return
    level, depth = [value], 0
    while level := [inner for outer in level for inner in _inside(outer)]:
        depth += 1
        if depth > deepest:
            raise _unfit(f"JSON that is nested deeper than {deepest}", f"at most {deepest}")


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _unfit(f"the key {twice[:100]!r} twice in one object", "every key once")
    return found


def _unfit(found: str, expected: str) -> ApiError:
    return ApiError(422, "request", found=f"the request does not fit: {found}", expected=expected)


def _is_streamed(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    return kind in STREAMED or kind.startswith("image/")


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read, once more; then what else comes: the end of the connection."""
    given = False

    async def once_more() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once_more


class _Paced:
    """Waits for the pieces of a body as long as they come fast enough; only the waiting counts, not what is done with them."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self._bytes, self._waited_s, self._ended = 0, 0.0, False

    async def __call__(self) -> Message:
        if self._ended:
            return await self._receive()
        clock = asyncio.get_running_loop().time
        begin = clock()
        allowed_s = self._limits.body_s + self._bytes / self._limits.body_bytes_per_s
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, allowed_s - self._waited_s))
        except TimeoutError:
            raise ApiError(
                408,
                "too-slow",
                found=f"a body of which {self._bytes:,} bytes came in {allowed_s:.0f} s",
                expected=f"its first bytes within {self._limits.body_s:g} s, and {self._limits.body_bytes_per_s:,} a second from then on",
                fix="send it again",
            ) from None
        self._waited_s += clock() - begin
        self._bytes += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        return message
