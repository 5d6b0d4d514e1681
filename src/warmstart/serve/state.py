"""Everything that a server holds between requests, put together in one place and taken apart in order."""

import asyncio
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated

from fastapi import Depends, Request

from warmstart import machine
from warmstart.errors import InputError, UsageError
from warmstart.serve.batching import Batcher
from warmstart.serve.brake import Brake
from warmstart.serve.database import Database
from warmstart.serve.datasets import Datasets
from warmstart.serve.decoding import Decoders
from warmstart.serve.explainer import Explainer
from warmstart.serve.jobs import Jobs
from warmstart.serve.labelling import Piles
from warmstart.serve.metrics import Metrics
from warmstart.serve.places import Places
from warmstart.serve.registry import Models
from warmstart.serve.settings import ServeSettings
from warmstart.store.locks import lock_alone, unlock


class State:
    """Opened before the first request, closed after the last. Raises UsageError where another server has this home."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.stopping = False
        self.brake = Brake()
        self.places = Places(settings)
        self.streams = 0  # of events, open now
        self.tasks: set[asyncio.Task[None]] = set()
        self.opening: dict[str, asyncio.Future[Batcher]] = {}  # models, by name
        self.looking = Decoders(machine.cores())  # pictures that are shown or kept; predictions have threads of their own
        home = settings.home.resolve()  # its paths go into the database, and the next server may start in another folder
        self._lock = _own(home)
        with ExitStack() as undo:  # of what was opened before something could not be
            undo.callback(unlock, self._lock)
            undo.enter_context(machine.calm_blas(1))  # the engine has the cores
            self.metrics = Metrics()
            self.database = Database(home, wait_s=settings.limits.request_s / 4)
            undo.callback(self.database.close)
            self.models = Models(settings, runs=home / "runs", on_batch=self.metrics.on_batch)
            undo.callback(self.models.close)
            self.explainer = Explainer(settings.limits.explain_s, settings.limits.request_s)
            self.datasets = Datasets(home, self.database, settings.roots)
            self.piles = Piles(home, self.database)
            try:
                self.jobs = Jobs(home, self.database, settings.limits, download=settings.download)
            except sqlite3.Error as reason:
                raise InputError(self.database.what_is_wrong(reason)) from reason
            self.metrics.watch(self.models.under_way, self.jobs.counts)
            self._closing = undo.pop_all()

    def stop(self) -> None:
        """New streams are refused, those that are open end: they would hold up a graceful stop."""
        self.stopping = True

    def close(self) -> None:
        """What is under way is answered; jobs are interrupted and go on with the next server. Closing twice is closing once."""
        if self._lock.closed:
            return
        self.stop()
        self.jobs.close()
        self.explainer.close()
        self.looking.shutdown(wait=False, cancel_futures=True)
        self._closing.close()


def _own(home: Path) -> IO[bytes]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = lock_alone(home / "server.lock")
    except OSError as reason:
        raise UsageError(f"--home {home} cannot be used ({reason.strerror}); name a folder that can be written to") from reason
    if lock is None:
        raise UsageError(f"--home {home} is used by another server; stop that one, or name another folder")
    return lock


async def _state(request: Request) -> State:  # async, or every request would go through a thread for it
    state: State = request.app.state.server
    return state


Server = Annotated[State, Depends(_state)]
