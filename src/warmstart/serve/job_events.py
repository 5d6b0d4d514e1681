"""What a job tells while it works, as lines of JSON in its folder: written by its process, read by the server and, as a stream, by pages.

    {"type": "progress", "phase": "extracting", "done": 40, "total": 240, "note": ""}
    {"type": "say", "text": "…"}
    {"type": "epoch", "cut": "stage5", "epoch": 3, "train_loss": 0.4, "val_loss": 0.5, "val_accuracy": 0.83, "best": true, …}
    {"type": "state", "state": "running"}

The number of a line is the id of its event, so a page that lost its connection goes on behind the last one it has seen.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from warmstart.report.run_record import HistoryRow

FILE = "events.jsonl"
PROGRESS_EVERY_S = 0.25
POLL_S = 0.25
BEAT_S = 15.0


class EventWriter:
    """A `workflows.watch.Watcher` that writes lines. Appended and flushed one by one, so that a kill loses none."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / FILE).open("a", encoding="utf-8", errors="backslashreplace")
        self._phase, self._told = "", 0.0

    def progress(self, phase: str, done: int, total: int, *, note: str = "") -> None:
        """See `Watcher.progress`; a few a second are enough."""
        now = time.monotonic()
        if phase == self._phase and done < total and now - self._told < PROGRESS_EVERY_S:
            return
        self._phase, self._told = phase, now
        self.write("progress", phase=phase, done=done, total=total, note=note)

    def say(self, sentence: str) -> None:
        """See `Watcher.say`."""
        self.write("say", text=sentence)

    def epoch(self, row: "HistoryRow") -> None:
        """See `Watcher.epoch`."""
        self.write("epoch", **row.to_dict())

    def write(self, kind: str, **values: Any) -> None:
        """Any event."""
        self._file.write(json.dumps({"type": kind, "at": time.time(), **values}) + "\n")
        self._file.flush()


def tell(folder: Path, kind: str, **values: Any) -> None:
    """One event from outside the job's process."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"type": kind, "at": time.time(), **values}) + "\n")


def read_events(folder: Path) -> list[dict[str, Any]]:
    """All so far. A last line that is not whole yet, or was cut by a kill, is not among them."""
    try:
        lines = (folder / FILE).read_text("utf-8").split("\n")[:-1]
    except OSError:
        return []
    return [event for event in map(_parsed, lines) if event]


async def stream(
    folder: Path,
    *,
    after: int,
    ended: Callable[[], bool],
    stopping: Callable[[], bool],
    hide: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> AsyncIterator[bytes]:
    """Server-sent events from line ``after`` on, until the job has ended and all is told, or the server stops.

    ``hide``: takes the places of the server's disk out of an event.
    """
    number, offset, rest = 0, 0, b""
    beat = time.monotonic()
    while True:
        try:
            over = await run_in_threadpool(ended)  # before reading: what was written until then is still told
        except sqlite3.Error:  # whoever listens asks again, and is told why not
            return
        try:
            with (folder / FILE).open("rb") as file:
                file.seek(offset)
                fresh = file.read(1 << 20)
        except OSError:
            fresh = b""
        offset += len(fresh)
        *lines, rest = (rest + fresh).split(b"\n")
        for line in lines:
            number += 1
            event = _parsed(line)
            if number > after and event is not None:
                yield _sse(str(event["type"]), json.dumps(hide(event)).encode(), number)
        if fresh:
            beat = time.monotonic()
            continue
        if over or stopping():
            yield _sse("end", b'{"type": "end"}', None)
            return
        if time.monotonic() - beat > BEAT_S:
            beat = time.monotonic()
            yield b": still here\n\n"
        await asyncio.sleep(POLL_S)


def _sse(kind: str, data: bytes, number: int | None) -> bytes:
    identifier = b"" if number is None else f"id: {number}\n".encode()
    return identifier + f"event: {kind}\n".encode() + b"data: " + data + b"\n\n"


def _parsed(line: str | bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "type" in event else None
