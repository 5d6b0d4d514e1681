"""A connection that does not wait for ever: a request's header is there in time, or the connection is closed.

uvicorn 0.54 waits for the next request on a connection as long as it is told to (timeout_keep_alive), but without end for the first, and
for the rest of a header that has begun. 2026-11; to be removed when it has a timeout of its own.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """h11, whatever else is installed: httptools has no limit on headers, and is hardly faster here (docs/dependencies.md)."""

    header_s = 10.0
    _expecting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`; the first header is expected."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        super().data_received(data)
        self._expect()

    def on_response_complete(self) -> None:
        """See `H11Protocol`; what has come of the next request is expected to go on."""
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._end_expecting()
        super().connection_lost(exc)

    def _expect(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # a request is being answered
            self._end_expecting()
        elif self._expecting is None:
            self._expecting = self.loop.call_later(self.header_s, self._too_slow)

    def _end_expecting(self) -> None:
        if self._expecting is not None:
            self._expecting.cancel()
            self._expecting = None

    def _too_slow(self) -> None:
        self._expecting = None
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            text = f"The header of a request did not come within {self.header_s:g} s.\n".encode("ascii")
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text)), (b"connection", b"close")]
            for event in (
                h11.Response(status_code=408, headers=headers, reason=b"Request Timeout"),
                h11.Data(data=text),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def within(header_s: float) -> type[Connection]:
    """The class for this limit: uvicorn makes the instances."""
    return type("Connection", (Connection,), {"header_s": header_s})
