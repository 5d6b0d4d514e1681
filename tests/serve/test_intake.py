"""What comes in is bounded before a route sees it: headers, the pace of bodies, JSON, connections that say nothing, streams of events."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from patience import PATIENCE_S
from warmstart.serve import run_routes
from warmstart.serve.connection import Connection
from warmstart.serve.errors import ApiError
from warmstart.serve.intake import Intake, check_json
from warmstart.serve.server import _listen, config_of
from warmstart.serve.settings import Limits, ServeSettings

PATIENT: dict[str, float] = {"header_s": PATIENCE_S, "body_s": PATIENCE_S, "request_s": PATIENCE_S, "stuck_s": PATIENCE_S}
QUICK = Limits(**PATIENT | {"body_s": 0.2})  # type: ignore[arg-type]


# JSON


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"dataset": "a", "dataset": "b"}', "the key 'dataset' twice"),
        ('{"dataset": "a", "plan": {"cut": "stage5", "\\u0063ut": "pooled"}}', "the key 'cut' twice"),
        ('{"plan": ' + "[" * 40 + "]" * 40 + "}", "nested deeper than 32"),
        ('{"plan": ' + '{"a":' * 100_000 + "1" + "}" * 100_001, "nested deeper than 32"),
        ("[" * 3_000_000, "nested deeper than 32"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_json_that_is_ambiguous_or_too_deep_is_refused(served: TestClient, body: str, said: str, encoding: str) -> None:
    for method, address in (("POST", "/api/runs"), ("PATCH", "/api/datasets/x/fixes"), ("POST", "/api/datasets")):
        answer = served.request(method, address, content=body.encode(encoding), headers={"Content-Type": "application/json"})
        assert answer.status_code in (413, 422), answer.text
        assert said in answer.json()["error"]["message"] or answer.status_code == 413


def test_json_of_many_bytes_is_refused_whether_it_says_so_or_not(served: TestClient) -> None:
    long = b'"' + bytes(8_000_000).replace(b"\0", b"x") + b'"'
    announced = served.post("/api/runs", content=long, headers={"Content-Type": "application/json"})
    in_pieces = served.post(
        "/api/runs", content=iter([long[:5_000_000], long[5_000_000:]]), headers={"Content-Type": "application/json"}
    )
    for answer in (announced, in_pieces):
        assert (answer.status_code, answer.json()["error"]["kind"]) == (413, "too-large")
        assert "at most 8,000,000 bytes" in answer.text


def test_what_is_no_json_is_left_to_whoever_reads_it() -> None:
    for body in (b"", b"{", b"key=value", b"\xff\xfe", b"[" + b"1" * 5000 + b"]"):
        check_json(body, 3)
    check_json(json.dumps([[[1]], {"a": {"b": 1}}]).encode(), 3)
    with pytest.raises(ApiError):
        check_json(b"[[[[1]]]]", 3)


# The pace of a body, without a network


def test_a_body_that_stops_coming_is_refused_and_one_that_is_slow_to_be_used_is_not() -> None:
    """``app`` takes its time between the pieces; the sender is at once ready with each."""
    used = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            await asyncio.sleep(0.15)  # longer, over all pieces, than a sender may take
            used.append(len(message["body"]))
            if not message["more_body"]:
                break

    async def ask(pieces: list[bytes], stop: bool) -> None:
        waiting = iter(pieces)

        async def receive() -> Any:
            piece = next(waiting, None)
            if piece is None:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": piece, "more_body": stop or piece != pieces[-1]}

        scope = {"type": "http", "query_string": b"", "headers": [(b"content-type", b"application/zip")]}
        await Intake(app, QUICK)(scope, receive, None)  # type: ignore[arg-type]

    asyncio.run(ask([b"a", b"b", b"c"], stop=False))
    assert used == [1, 1, 1]
    with pytest.raises(ApiError, match="a body of which 3 bytes came") as refusal:
        asyncio.run(ask([b"abc"], stop=True))
    assert (refusal.value.status, refusal.value.kind) == (408, "too-slow")


# Over a socket


Listening = Callable[[Limits], uvicorn.Server]


@pytest.fixture
def listening(serve: Callable[..., TestClient]) -> Iterator[Listening]:
    """Start a server as `warmstart serve` does."""
    with ExitStack() as ends:

        def start(limits: Limits) -> uvicorn.Server:
            client = serve(limits=limits)
            listener = ends.enter_context(_listen("127.0.0.1", 0))
            config = config_of(client.app, ServeSettings(limits=limits))  # type: ignore[arg-type]
            config.lifespan = "off"
            server = uvicorn.Server(config)
            server.address = listener.getsockname()[:2]  # type: ignore[attr-defined]
            thread = threading.Thread(target=server.run, args=([listener],))
            listener.listen()

            def stop() -> None:
                server.should_exit = True
                thread.join()

            thread.start()
            ends.callback(stop)
            return server

        yield start


def talk(server: uvicorn.Server, *pieces: bytes) -> bytes:
    """Send, then read until the server closes."""
    with closing(socket.create_connection(server.address, timeout=PATIENCE_S)) as connection:  # type: ignore[attr-defined]
        for piece in pieces:
            connection.sendall(piece)
        answer = b""
        with suppress(ConnectionResetError):  # a refusal of what has not all been read may be lost
            while piece := connection.recv(1 << 16):
                answer += piece
        return answer


@pytest.mark.parametrize("begun", [b"", b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "])
def test_a_header_that_does_not_come_is_not_waited_for(listening: Listening, begun: bytes) -> None:
    answer = talk(listening(Limits(**PATIENT | {"header_s": 0.2})), *([begun] if begun else []))
    assert answer.startswith(b"HTTP/1.1 408 ") or (begun and not answer)  # closed, before all of it was sent
    assert b"did not come within 0.2 s" in answer or not answer


def test_the_next_header_on_a_connection_is_waited_for_as_long_as_the_first(
    listening: Listening, wait: Callable[[Callable[[], Any]], Any]
) -> None:
    server = listening(Limits(**PATIENT))
    whole = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with closing(socket.create_connection(server.address, timeout=PATIENCE_S)) as client:  # type: ignore[attr-defined]
        for _ in range(2):
            client.sendall(whole)
            answer = b""
            while not answer.endswith(b'{"status":"live"}'):
                answer += client.recv(1 << 16)
            assert answer.startswith(b"HTTP/1.1 200 ")
        (connection,) = server.server_state.connections
        assert isinstance(connection, Connection)
        assert connection._expecting is None  # the next may take its time to begin: keep-alive
        client.sendall(b"GET /api/hea")
        wait(lambda: connection._expecting)
        connection.loop.call_soon_threadsafe(connection._too_slow)  # as if the time were up
        answer = b""
        while piece := client.recv(1 << 16):  # until it is closed
            answer += piece
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "header",
    [
        b"POST /api/runs HTTP/1.1\r\nContent-Type: application/json",
        b"POST /api/datasets HTTP/1.1\r\nContent-Type: application/zip",
    ],
)
def test_a_body_that_does_not_come_is_not_waited_for(listening: Listening, header: bytes) -> None:
    server = listening(Limits(**PATIENT | {"body_s": 0.2}))
    answer = talk(server, header + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 1000\r\n\r\nPK")
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    assert b"too-slow" in answer


@pytest.mark.parametrize("size", [70_000, 200_000])
def test_a_long_header_is_refused_also_when_it_comes_in_one_piece(listening: Listening, size: int) -> None:
    address = listening(Limits(**PATIENT))
    one = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-A: " + b"x" * size + b"\r\n\r\n"
    many = b"".join(b"X-%d: %s\r\n" % (i, b"x" * 100) for i in range(size // 100))
    for header in (one, b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + many + b"\r\n"):
        answer = talk(address, header)
        # 400: the parser's own, of one in pieces; nothing: reset before it could be read.
        assert not answer or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), answer[:200]
    target = talk(address, b"GET /api/health?" + b"x" * size + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    assert not target or target.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))


def test_the_limit_of_headers_counts_all_of_them(served: TestClient) -> None:
    assert served.get("/api/health", headers={"X-A": "x" * 60_000}).status_code == 200
    answer = served.get("/api/health", headers={f"X-{i}": "x" * 1000 for i in range(64)})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (431, "header-too-large")


# Streams of events


def test_a_stream_is_counted_when_it_is_granted_and_given_back_however_it_ends(
    serve: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(limits=Limits(event_streams=2, request_s=PATIENCE_S)).app.state.server  # type: ignore[attr-defined]
    monkeypatch.setattr(server.jobs, "get", lambda *_: {"dataset": "x"})

    async def ask() -> Any:
        return await run_routes.events(server, "run")

    async def requests() -> None:
        granted = await asyncio.gather(*(ask() for _ in range(5)), return_exceptions=True)  # none has begun to tell
        refused = [one for one in granted if isinstance(one, ApiError)]
        assert [(one.status, one.kind) for one in refused] == [(503, "overloaded")] * 3
        assert server.streams == 2

        async def gone() -> Any:
            return {"type": "http.disconnect"}

        async def broken(_: Any) -> None:
            raise OSError("the connection is closed")

        async def nothing(_: Any) -> None: ...

        left, failed = (one for one in granted if not isinstance(one, BaseException))
        await left({"type": "http", "asgi": {"spec_version": "2.3"}}, gone, nothing)
        assert server.streams == 1
        with pytest.raises(Exception):  # noqa: B017, PT011 - whichever way starlette tells it
            await failed({"type": "http", "asgi": {"spec_version": "2.4"}}, gone, broken)
        assert server.streams == 0

    asyncio.run(requests())
