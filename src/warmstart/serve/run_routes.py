"""Routes about training runs: start, watch, cancel, read."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from warmstart.errors import InputError
from warmstart.plan import ADVISED
from warmstart.records import read_json
from warmstart.report.run_record import RunRecord, read_record
from warmstart.report.shown import shown_by
from warmstart.serve.data_routes import page_of
from warmstart.serve.errors import ApiError
from warmstart.serve.job_events import stream
from warmstart.serve.jobs import WORK_KINDS, progress_of
from warmstart.serve.plans import checked_plan
from warmstart.serve.state import Server, State
from warmstart.task_registry import find_task

router = APIRouter(prefix="/api/runs", tags=["runs"])
pages = APIRouter(tags=["runs"])


class RunRequest(BaseModel):
    """What to train on, how long, and, where it is not left to the advice, how."""

    dataset: str | None = None  # its id
    folder: str | None = None  # instead: a folder of the server inside an allowed root
    name: str | None = Field(default=None, max_length=80)
    budget_s: float | None = Field(
        default=None, gt=0, le=7 * 86400
    )  # seconds in which training is to end; 120 if the plan is left open
    plan: dict[str, Any] = {}  # keys of plan.json; cut 'auto' if none is given: advice decides
    exclude: list[str] = Field(default=[], max_length=1000)
    strict: bool = False
    group_duplicates: bool | None = None


class _Counted(StreamingResponse):
    """A stream of events; one fewer is open once it has ended, also where whoever asked was gone before its first byte."""

    def __init__(self, server: State, told: AsyncIterator[bytes], **how: Any) -> None:
        super().__init__(told, **how)
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._server.streams -= 1


@router.get("")
def runs(server: Server) -> dict[str, Any]:
    """All of them, the newest first."""
    return {"runs": [brief(server, job) for job in server.jobs.all("train")]}


@router.post("", status_code=202)
def start(server: Server, wanted: RunRequest) -> dict[str, Any]:
    """Train; waits behind trainings that were asked for before. 409 where one on this data set is not over."""
    if (wanted.dataset is None) == (wanted.folder is None):
        raise ApiError(422, "usage", found="both or neither of dataset and folder", expected="one of the two")
    plan = checked_plan(wanted.plan, cut=ADVISED)
    if wanted.dataset is not None:
        dataset = server.datasets.get(wanted.dataset)
    else:
        assert wanted.folder is not None
        dataset = server.datasets.folder(wanted.folder)
    job = server.jobs.start(
        "train",
        dataset,
        server.datasets.additions(dataset),
        plan=plan,
        budget_s=wanted.budget_s,
        exclude=tuple(wanted.exclude),
        strict=wanted.strict,
        group_duplicates=wanted.group_duplicates,
        name=wanted.name,
    )
    return brief(server, job)


@router.get("/{run}")
def run(server: Server, run: str) -> dict[str, Any]:
    """How far it is; scores, once there are some; every epoch of its curves."""
    job = server.jobs.get(run, "train")
    return about_run(server, job)


@router.get("/{run}/record")
def record(server: Server, run: str) -> dict[str, Any]:
    """The whole run.json."""
    server.jobs.get(run, "train")
    try:
        document = read_json(server.jobs.runs / run / "run.json", errors="surrogateescape")
    except (OSError, ValueError):
        raise ApiError(404, "no-record", found="no record yet", fix="it is written when the run is done") from None
    return dict(hidden(server, run, document))


@router.get("/{run}/events", response_class=StreamingResponse)
async def events(
    server: Server,
    run: str,
    after: Annotated[int, Query(ge=0)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Server-sent events: state, progress, say, epoch, and end. Also of a doctor's or an advice's job, by its id."""
    job = await run_in_threadpool(server.jobs.get, run, *WORK_KINDS)
    first = await run_in_threadpool(_place_of, server, job["dataset"])
    if server.streams >= server.limits.event_streams or server.stopping:
        raise ApiError(
            503, "overloaded", found=f"{server.streams} streams of events are open", fix="close one", retry_after_s=10
        )
    server.streams += 1  # before anybody else is asked; `_Counted` takes it back
    given = last_event_id or ""
    seen = int(given) if given.isascii() and given.isdigit() and len(given) < 12 else after  # '²' is a digit, and no number

    told = stream(
        server.jobs.folder(run),
        after=seen,
        ended=lambda: server.jobs.is_over(run),
        stopping=lambda: server.stopping,
        hide=lambda event: server.places.hide(event, first=first),
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Counted(server, told, media_type="text/event-stream", headers=headers)


@router.post("/{run}/cancel")
def cancel(server: Server, run: str) -> dict[str, Any]:
    """As Ctrl-C: the best so far is tested and kept. A second time: at once."""
    server.jobs.get(run, *WORK_KINDS)
    return brief(server, server.jobs.cancel(run))


@router.delete("/{run}")
def remove(server: Server, run: str) -> dict[str, Any]:
    """Cancel it; or, when it is over, remove it with its model."""
    job = server.jobs.get(run, *WORK_KINDS)
    if not server.jobs.is_over(run):
        return brief(server, server.jobs.cancel(run))
    server.jobs.remove(run)
    server.jobs.remove_exports(run)
    server.models.look(settled=False)
    return {**job, "state": "removed"}


@pages.get("/runs/{run}/report", response_class=HTMLResponse)
def report(server: Server, run: str) -> Response:
    """The run's report."""
    server.jobs.get(run, "train")
    return page_of(server, server.jobs.runs / run / "report.html")


def brief(server: State, job: dict[str, Any]) -> dict[str, Any]:
    """A run with its scores, once it has some."""
    found = run_record(server, job["id"]) if job["kind"] == "train" else None
    first = _place_of(server, job["dataset"])
    message = server.places.hide(job["message"], first=first)
    document = {**job, "message": message, "model": None, "scores": None, "report": None}
    document["dataset_name"] = first[0][1] if first else None
    if found is not None:
        document["model"] = job["id"]
        in_brief = shown_by(find_task(found.task)).in_brief
        scores = {split: in_brief(found.scores[split]) if split in found.scores else None for split in ("val", "test")}
        document["scores"] = server.places.hide(scores, first=first)
        document["seconds"] = found.seconds.get("total")
        if (server.jobs.runs / job["id"] / "report.html").is_file():
            document["report"] = f"/runs/{job['id']}/report"
    return document


def run_record(server: State, run: str) -> RunRecord | None:
    """Of a finished run, where it can be read."""
    try:
        return read_record(server.jobs.runs / run)
    except InputError:
        return None


def hidden(server: State, run: str, value: Any) -> Any:
    """Something of a run, without the places where its pictures and the server's files lie."""
    return server.places.hide(value, first=_place_of(server, server.jobs.get(run)["dataset"]))


def about_run(server: State, job: dict[str, Any]) -> dict[str, Any]:
    """A run with its scores, its progress and its curves."""
    progress = server.places.hide(progress_of(server.jobs.folder(job["id"])), first=_place_of(server, job["dataset"]))
    return {**brief(server, job), **progress}


def _place_of(server: State, dataset: str) -> list[tuple[Path, str]]:
    """Where its pictures lie, and its name; nothing for one that was removed since."""
    try:
        found = server.datasets.get(dataset)
    except ApiError:
        return []
    return [(found.source, found.name)]
