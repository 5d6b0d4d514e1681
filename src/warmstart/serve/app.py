"""The app: everything of `State` behind routes. `make_app` makes one that a server or a test runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from warmstart.machine import installed_version
from warmstart.serve import data_routes, errors, export_routes, labelling_routes, metrics, pages, predicting, run_routes
from warmstart.serve.intake import Intake
from warmstart.serve.security import Guard
from warmstart.serve.settings import ServeSettings
from warmstart.serve.state import Server, State

ABOUT = """Predict with models, and train them. Errors are `{"error": {"kind", "message", "found", "expected", "fix"}}`."""


def make_app(settings: ServeSettings) -> FastAPI:
    """Opens models, database and jobs at once: what is wrong with them is raised here (UsageError, ModelFileError …)."""
    state = State(settings)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        labelling_routes.go_on(state)
        yield
        for task in list(state.tasks):
            task.cancel()
        state.close()

    # No pages of documentation: FastAPI's load their script from elsewhere. The document itself is at /api/openapi.json.
    app = FastAPI(
        title="warmstart",
        version=installed_version("warmstart"),
        description=ABOUT,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.server = state
    errors.install(app)
    for router in (
        predicting.router,
        export_routes.router,
        data_routes.router,
        run_routes.router,
        run_routes.pages,
        labelling_routes.router,
        pages.router,
    ):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")

    @app.get("/api/health", tags=["server"])
    @app.get("/api/health/live", tags=["server"])
    async def live(server: Server) -> dict[str, Any]:  # async, as the next: an answer although every thread is busy
        """Whether the process answers."""
        return {"status": "stopping" if server.stopping else "live"}

    @app.get("/api/health/ready", tags=["server"], responses={503: {"description": "Not yet, or not any more."}})
    async def ready(server: Server) -> JSONResponse:
        """Whether requests should be sent here."""
        why = (
            "the server is stopping"
            if server.stopping
            else "a model is not open yet"
            if not server.models.ready()
            else "predictions do not move: every thread has been at one picture for long"
            if server.models.stuck()
            else None
        )
        if why is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "why": why}, 503, {"Retry-After": "1"})

    @app.get("/metrics", tags=["server"], response_class=Response)
    def measured(server: Server) -> Response:
        """For Prometheus."""
        return Response(server.metrics.text(), media_type=metrics.TYPE)

    app.add_middleware(Intake, limits=settings.limits)
    app.add_middleware(Guard, settings=settings, brake=state.brake)  # outside: who may not ask has no body read
    app.add_middleware(metrics.Timing, metrics=state.metrics)
    return app
