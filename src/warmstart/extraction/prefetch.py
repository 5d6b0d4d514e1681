"""Work done ahead in threads, through a queue of bounded length: memory is that of the queue, whatever the number of tasks."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from warmstart import machine

T = TypeVar("T")
R = TypeVar("R")


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter. (itertools.batched is Python 3.12's.)"""
    source = iter(items)
    while chunk := list(itertools.islice(source, size)):
        yield chunk


def map_ahead(work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """work(task) in order, done ahead by one thread a core, at most 2 × cores + 2 results waiting: the bounded queue."""
    source = iter(tasks)
    with ThreadPoolExecutor(machine.cores()) as threads:
        queue: deque[Future[R]] = deque(
            threads.submit(work, task) for task in itertools.islice(source, 2 * machine.cores() + 2)
        )
        while queue:
            result = queue.popleft().result()
            queue.extend(threads.submit(work, task) for task in itertools.islice(source, 1))
            yield result
