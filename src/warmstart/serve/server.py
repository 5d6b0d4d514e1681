"""Serve until told to stop: uvicorn, with a stop that answers what is under way."""

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from warmstart.errors import UsageError
from warmstart.serve.app import make_app
from warmstart.serve.connection import within
from warmstart.serve.settings import ServeSettings

GRACE_S = 30


class _Server(uvicorn.Server):
    """Streams of events end as soon as a stop is asked for; otherwise they would hold it up."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stop()
        super().handle_exit(sig, frame)


def serve(settings: ServeSettings, *, say: Callable[[str], None]) -> None:
    """Blocks until SIGINT or SIGTERM. Raises UsageError for an address that cannot be used."""
    app = make_app(settings)
    config = config_of(app, settings)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as reason:
        app.state.server.close()
        raise UsageError(
            f"{settings.host}:{settings.port} cannot be listened on ({reason.strerror}); choose another --port or --host"
        ) from reason
    listener.listen(config.backlog)  # who comes as soon as the address is said waits a moment, and is not refused
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"serving on http://{shown}:{port}/ (home {settings.home}); Ctrl-C stops")
    if not settings.loopback and settings.api_key is None:
        say("warning: whoever reaches this address may train and predict here; give --api-key or bind to 127.0.0.1")
    _Server(config, app.state.server.stop).run([listener])


def config_of(app: FastAPI, settings: ServeSettings) -> uvicorn.Config:
    """uvicorn's, with its limits."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=30,
        server_header=False,
        date_header=False,
        http=within(settings.limits.header_s),
        h11_max_incomplete_event_size=settings.limits.header_bytes,  # of one that comes in pieces; `serve.intake` counts all
    )


def _listen(host: str, port: int) -> socket.socket:
    """A socket made as TCP by name: asyncio switches Nagle's algorithm off only on such, and with it every answer waits 40 ms.

    (uvicorn 0.54's own `bind_socket` leaves the protocol open. 2026-11.)
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
