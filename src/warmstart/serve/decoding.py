"""The few threads in which a server decodes pictures: bounded in number and in the time that a request waits for them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from warmstart.serve.errors import ApiError
from warmstart.serve.settings import Limits

T = TypeVar("T")
RETRY_S = 5


class Decoders(ThreadPoolExecutor):
    """The threads that decode, of all models together; they know for how long each has been at its picture."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, thread_name_prefix="decode")
        self._threads_at_most = threads
        self._begun: dict[int, float] = {}  # thread → when it began with what it is at
        self._changing = threading.Lock()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Around the decoding of a picture, in one of the threads."""
        with self._changing:
            self._begun[threading.get_ident()] = time.monotonic()
        try:
            yield
        finally:
            with self._changing:
                del self._begun[threading.get_ident()]

    def stuck(self, after_s: float) -> bool:
        """Whether every thread has been at one picture for so long."""
        return all_old(self._begun, self._changing, self._threads_at_most, after_s)


def all_old(begun: dict[int, float], changing: threading.Lock, threads: int, after_s: float) -> bool:
    """Whether so many threads have been at what they are at since ``after_s``. ``begun``: thread → when, by `time.monotonic`."""
    with changing:
        now = time.monotonic()
        return sum(now - moment >= after_s for moment in begun.values()) >= threads


async def in_time(decoders: Decoders, limits: Limits, work: Callable[[], T]) -> T:
    """What ``work`` makes of a picture, in one of the threads. Raises ApiError 503 where it is not done in the request's time."""
    if decoders.stuck(limits.stuck_s):
        raise stuck(limits, RETRY_S)

    def noted() -> T:
        with decoders.at_work():
            return work()

    try:
        return await asyncio.wait_for(asyncio.wrap_future(decoders.submit(noted)), limits.request_s)
    except TimeoutError:
        raise ApiError(
            503,
            "timeout",
            found=f"the picture was not decoded within {limits.request_s:g} s",
            fix="ask again after the time in Retry-After",
            retry_after_s=RETRY_S,
        ) from None


def stuck(limits: Limits, retry_after_s: int) -> ApiError:
    """503 at once: waiting would be in vain."""
    return ApiError(
        503,
        "stuck",
        found=f"every thread has been at one picture for more than {limits.stuck_s:g} s",
        fix="ask again after the time in Retry-After",
        retry_after_s=retry_after_s,
    )
