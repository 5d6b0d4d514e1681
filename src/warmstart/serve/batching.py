"""Pictures of many requests through one engine: decoded in threads as they come; each call of the engine takes what is waiting then.

    request ─┐                                  ┌─ answer
    request ─┼→ threads: decode → [ ready ] → engine ─→ answer
    request ─┘                                  └─ answer

Nobody waits for company: an idle engine starts with the first picture that is ready, and what comes meanwhile is the next batch.
How many pictures may be under way is bounded; beyond that a request is refused at once, which costs less than to let it time out.
So is one that comes while every thread has been at one picture for long: a thread cannot be ended, so until one is done nothing moves.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np

from warmstart.data.decoding import read_header
from warmstart.errors import PictureError
from warmstart.predicting import ModelFacts
from warmstart.serve.decoding import Decoders, all_old, stuck
from warmstart.serve.errors import ApiError
from warmstart.serve.settings import Limits
from warmstart.task_protocol import Answer

# Calls of an engine at once: while one waits for its last picture, the next already has the cores that are free.
CALLS = 2


class Served(Protocol):
    """What the server needs of a model, whichever kind it is."""

    @property
    def facts(self) -> ModelFacts:
        """What it says of itself."""

    def coverage(self, asked: float) -> Any:
        """How often what is said for this coverage held the truth on test pictures. Raises UsageError."""

    def prepare(self, source: bytes) -> np.ndarray:
        """uint8 (3, S, S). Raises PictureError."""

    def predict_prepared(
        self,
        pixels: Sequence[np.ndarray],
        names: Sequence[str],
        *,
        coverage: float | None = None,
        sure: float | None = None,
    ) -> list[Answer]:
        """An answer for each, in order."""


class ReplacedError(Exception):
    """This batcher takes nothing more: its model was replaced."""


_Asked = tuple[float | None, float | None]  # coverage, sure


class _Waiting:
    """One picture under way."""

    __slots__ = ("asked", "future", "name", "pixels")

    def __init__(self, name: str, asked: "_Asked") -> None:
        self.name, self.asked = name, asked
        self.pixels: np.ndarray | None = None
        self.future: Future[Answer] = Future()


class Batcher:
    """One model and its engine, shared by all requests. Closed when its model is replaced or the server stops."""

    def __init__(
        self,
        model: Served,
        limits: Limits,
        decoders: Decoders,
        *,
        on_batch: Callable[[int, float], None] = lambda pictures, seconds: None,
        calls: int = CALLS,
    ) -> None:
        self.model = model
        self._limits, self._decoders, self._on_batch = limits, decoders, on_batch
        self._changed = threading.Condition()
        self._ready: deque[_Waiting] = deque()
        self._under_way = 0
        self._closed = False
        self._per_second = 0.0
        self._calls, self._begun, self._calling = calls, dict[int, float](), threading.Lock()
        self._threads = [threading.Thread(target=self._run, name="engine", daemon=True) for _ in range(calls)]
        for thread in self._threads:
            thread.start()

    @property
    def under_way(self) -> int:
        """Pictures that were taken and have no answer yet."""
        return self._under_way

    def stuck(self) -> bool:
        """Whether nothing moves: every thread that decodes, or every call of the engine, has been at the same for long."""
        after_s = self._limits.stuck_s
        return self._decoders.stuck(after_s) or all_old(self._begun, self._calling, self._calls, after_s)

    async def predict(
        self,
        pictures: Sequence[tuple[str, bytes]],
        *,
        coverage: float | None = None,
        sure: float | None = None,
        within_s: float | None = None,
    ) -> list[Answer | PictureError]:
        """An answer for each (name, encoded picture), in order; ``within_s``: what is left of the request's time.

        Raises ApiError 503 where too many are waiting, nothing moves or the time is up, ReplacedError where the model was replaced
        meanwhile.
        """
        futures = self._take(pictures, (coverage, sure))
        answers = asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
        try:
            found = await asyncio.wait_for(answers, self._limits.request_s if within_s is None else within_s)
        except TimeoutError:
            raise ApiError(
                503,
                "timeout",
                found=f"{len(pictures)} pictures were not answered within {self._limits.request_s:g} s",
                fix="ask again later, or send fewer at once",
                retry_after_s=self._retry_after_s(),
            ) from None
        for answer in found:
            if isinstance(answer, BaseException) and not isinstance(answer, PictureError):
                raise answer
        return found  # type: ignore[return-value]

    def close(self, *, timeout_s: float = 30.0) -> None:
        """Take nothing more, answer what is under way, and let the engine go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(timeout_s)

    def _take(self, pictures: Sequence[tuple[str, bytes]], asked: _Asked) -> list[Future[Answer]]:
        waiting = [_Waiting(name, asked) for name, _ in pictures]
        with self._changed:
            if self._closed:
                raise ReplacedError
            if self.stuck():
                raise stuck(self._limits, self._retry_after_s())
            if self._under_way and self._under_way + len(waiting) > self._limits.pictures_waiting:
                raise ApiError(
                    503,
                    "overloaded",
                    found=f"{self._under_way} pictures are waiting",
                    expected=f"at most {self._limits.pictures_waiting}",
                    fix="ask again after the time in Retry-After",
                    retry_after_s=self._retry_after_s(),
                )
            self._under_way += len(waiting)
        for one, (_, content) in zip(waiting, pictures, strict=True):
            one.future.add_done_callback(self._answered)
            self._decoders.submit(self._prepare, one, content)
        return [one.future for one in waiting]

    def _answered(self, _: Future[Answer]) -> None:
        with self._changed:
            self._under_way -= 1
            if self._closed:
                self._changed.notify_all()

    def _prepare(self, one: _Waiting, content: bytes) -> None:
        if one.future.cancelled():  # whoever asked is gone
            return
        try:
            with self._decoders.at_work():
                read_header(content, max_pixels=self._limits.picture_pixels, name=one.name)
                one.pixels = self.model.prepare(content)
        except Exception as reason:
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(reason)
            return
        with self._changed:
            self._ready.append(one)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._ready and not (self._closed and not self._under_way):
                    self._changed.wait()
                if not self._ready:
                    return
                taken = [self._ready.popleft() for _ in range(min(len(self._ready), self._limits.batch))]
            together = [one for one in taken if one.future.set_running_or_notify_cancel()]
            for asked in dict.fromkeys(one.asked for one in together):
                self._predict([one for one in together if one.asked == asked], asked)

    def _predict(self, batch: list[_Waiting], asked: _Asked) -> None:
        begin = time.perf_counter()
        with self._calling:
            self._begun[threading.get_ident()] = time.monotonic()
        try:
            pixels = [one.pixels for one in batch if one.pixels is not None]
            coverage, sure = asked
            answers = self.model.predict_prepared(pixels, [one.name for one in batch], coverage=coverage, sure=sure)
        except Exception as reason:
            for one in batch:
                one.future.set_exception(reason)
            return
        finally:
            with self._calling:
                del self._begun[threading.get_ident()]
        seconds = time.perf_counter() - begin
        self._per_second += 0.2 * (len(batch) / max(seconds, 1e-6) - self._per_second)
        self._on_batch(len(batch), seconds)  # before whoever asked can ask how many there were
        for one, answer in zip(batch, answers, strict=True):
            one.future.set_result(answer)

    def _retry_after_s(self) -> int:
        """When what is waiting should be done, at the speed of the last batches."""
        return max(1, min(60, math.ceil(self._under_way / max(self._per_second, 1.0))))
