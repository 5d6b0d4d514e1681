"""What a monitor reads at /metrics: counts and times of requests, batches and jobs, in Prometheus's text format."""

import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # whatever else is asked for counts as one
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Of one app; two apps in one process count apart."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, processor time, open files
        labels = ("method", "path", "status")
        self.requests = Counter("warmstart_requests", "Requests answered", labels, registry=registry)
        self.seconds = Histogram(
            "warmstart_request_seconds",
            "From the first byte to the last",
            ("method", "path"),
            registry=registry,
            buckets=_SECONDS,
        )
        self.pictures = Counter("warmstart_pictures", "Pictures predicted", ("model",), registry=registry)
        self.batch = Histogram(
            "warmstart_batch_pictures", "Pictures in a call of the engine", registry=registry, buckets=(1, 2, 4, 8, 16, 32, 64)
        )
        self.engine_seconds = Counter("warmstart_engine_seconds", "Time in the engine", ("model",), registry=registry)
        self._waiting = Gauge("warmstart_pictures_waiting", "Pictures without an answer yet", registry=registry)
        self._jobs = Gauge("warmstart_jobs", "Jobs by state", ("state",), registry=registry)

    def on_batch(self, model: str, pictures: int, seconds: float) -> None:
        """A call of an engine."""
        self.pictures.labels(model).inc(pictures)
        self.engine_seconds.labels(model).inc(seconds)
        self.batch.observe(pictures)

    def watch(self, waiting: Callable[[], float], jobs: Callable[[], Mapping[str, int]]) -> None:
        """What is asked for when the metrics are."""
        self._waiting.set_function(waiting)
        self._job_counts = jobs

    def text(self) -> bytes:
        """All of it."""
        self._jobs.clear()  # of states that no job is in any more
        for state, count in {"queued": 0, "running": 0, **self._job_counts()}.items():
            self._jobs.labels(state).set(count)
        return generate_latest(self.registry)


class Timing:
    """ASGI middleware: counts every request under the path as its route has it, not as it was asked for."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            method = scope["method"] if route is not None and scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, path, status).inc()
            self._metrics.seconds.labels(method, path).observe(time.perf_counter() - begin)
