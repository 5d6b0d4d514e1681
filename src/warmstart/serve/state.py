"""Everything that a server holds between requests, put together in one place and taken apart in order."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated

from fastapi import Depends, Request

from warmstart import machine
from warmstart.errors import UsageError
from warmstart.serve.database import Database
from warmstart.serve.datasets import Datasets
from warmstart.serve.explainer import Explainer
from warmstart.serve.jobs import Jobs
from warmstart.serve.metrics import Metrics
from warmstart.serve.piles import Piles
from warmstart.serve.registry import Models
from warmstart.serve.settings import ServeSettings
from warmstart.store.locks import lock_alone, unlock


class State:
    """Opened before the first request, closed after the last. Raises UsageError where another server has this home."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.stopping = False
        self.streams = 0  # of events, open now
        self.tasks: set[asyncio.Task[None]] = set()
        home = settings.home.resolve()  # its paths go into the database, and the next server may start in another folder
        self._lock = _own(home)
        self._calm = ExitStack()
        self._calm.enter_context(machine.calm_blas(1))  # the engine has the cores
        self.metrics = Metrics()
        self.models = Models(settings, runs=home / "runs", on_batch=self.metrics.on_batch)
        self.database = Database(home)
        self.datasets = Datasets(home, self.database, settings.roots)
        self.jobs = Jobs(home, self.database, settings.limits, download=settings.download)
        self.piles = Piles(home, self.database)
        self.explainer = Explainer(settings.limits.explain_s)
        self.metrics.watch(self.models.under_way, self.jobs.counts)

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
        self.models.close()
        self.database.close()
        self._calm.close()
        unlock(self._lock)


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
