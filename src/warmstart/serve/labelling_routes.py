"""Routes about piles: unlabelled pictures, labelled in advance by a model, confirmed or corrected one by one."""

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from warmstart.serve.body import kind_of
from warmstart.serve.data_routes import UPLOAD_BODY, Size, received, small
from warmstart.serve.datasets import checked_label
from warmstart.serve.errors import ApiError
from warmstart.serve.predicting import ask, known_label
from warmstart.serve.state import Server, State

LOG = logging.getLogger(__name__)
AT_ONCE = 16  # pictures; others ask the same engine
WITHIN_S = 300.0  # nobody waits for it
MOST = 2**31 - 1  # pictures; the database counts no further than 2**63

Number = Annotated[int, PathParameter(ge=0, le=MOST)]

router = APIRouter(prefix="/api", tags=["piles"])


class Label(BaseModel):
    """The class of a picture, or null to leave it open again."""

    label: str | None
    new: bool = False  # a class that the data set does not have yet


@router.post("/datasets/{dataset}/prelabel", openapi_extra=UPLOAD_BODY, status_code=202)
async def prelabel(server: Server, request: Request, dataset: str, model: str) -> dict[str, Any]:
    """Send unlabelled pictures (files, or a zip); the model labels them, the most uncertain first."""
    stored = await run_in_threadpool(server.datasets.get, dataset)
    server.models.entry(model)
    with server.datasets.temporary() as folder:
        _, fill = await received(server, request, kind_of(request), folder, None)
        target = folder / "pile"
        target.mkdir()
        await run_in_threadpool(fill, target)
        pile = await run_in_threadpool(server.piles.create, stored, model, target)
    begin_predicting(server, pile)
    return await run_in_threadpool(server.piles.get, pile)


@router.get("/piles")
def piles(server: Server, dataset: str | None = None) -> dict[str, Any]:
    """All of them, or those of a data set."""
    return {"piles": server.piles.all(dataset)}


@router.get("/piles/{pile}")
def pile(
    server: Server,
    pile: str,
    labelled: bool | None = None,
    start: Annotated[int, Query(ge=0, le=MOST)] = 0,
    count: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """How far the model is, and a page of pictures, the most uncertain first."""
    return {
        **server.piles.get(pile),
        "page": server.piles.pictures(pile, labelled=labelled, start=start, count=count),
    }


@router.get("/piles/{pile}/pictures/{n}", response_class=Response)
async def picture(server: Server, pile: str, n: Number, size: Size = 320) -> Response:
    """A picture as a JPEG of that size."""
    row = await run_in_threadpool(server.piles.picture, pile, n)
    return await small(server, Path(row["file"]), size)


@router.put("/piles/{pile}/pictures/{n}")
def label(server: Server, pile: str, n: Number, wanted: Label) -> dict[str, Any]:
    """Confirm or correct the class of a picture."""
    dataset = server.datasets.get(server.piles.get(pile)["dataset"])
    given = wanted.label
    if given is not None:
        given = checked_label(given) if wanted.new else known_label(server, dataset, given)
    return server.piles.label(pile, n, given)


@router.post("/piles/{pile}/confirm")
def confirm(server: Server, pile: str) -> dict[str, Any]:
    """The labelled pictures join the data set, for the next training; the others stay."""
    dataset = server.datasets.get(server.piles.get(pile)["dataset"])
    joined = server.piles.join(pile, server.datasets, dataset)
    return {"joined": joined, **server.piles.get(pile)}


@router.delete("/piles/{pile}", status_code=204)
def remove(server: Server, pile: str) -> None:
    """Remove it, with its pictures; those that joined the data set stay there."""
    server.piles.remove(pile)


def begin_predicting(server: State, pile: str) -> None:
    """In the background; the server's end interrupts it, its next start goes on."""
    task = asyncio.get_running_loop().create_task(_predict(server, pile))
    server.tasks.add(task)
    task.add_done_callback(server.tasks.discard)


def go_on(server: State) -> None:
    """With piles that a server before this one left under way."""
    for one in server.piles.all():
        if one["state"] == "predicting":
            begin_predicting(server, one["id"])


async def _predict(server: State, pile: str) -> None:
    try:
        while rows := await run_in_threadpool(server.piles.unpredicted, pile, AT_ONCE):
            pictures = await run_in_threadpool(_read, rows)
            try:
                about = await run_in_threadpool(server.piles.get, pile)
                answers, _ = await ask(server, about["model"], pictures, within_s=WITHIN_S)
            except ApiError as refusal:
                if refusal.status != 503 or server.stopping:
                    raise
                await asyncio.sleep(refusal.retry_after_s or 1)
                continue
            for row, answer in zip(rows, answers, strict=True):
                await run_in_threadpool(server.piles.answer, pile, row["n"], answer)
        state = "ready"
    except (ApiError, OSError):  # the model or the pile is gone
        state = "failed"
    except sqlite3.Error as reason:  # which the next server goes on with
        LOG.error("labelling %s in advance was interrupted: %s", pile, server.database.what_is_wrong(reason))
        return
    try:
        await run_in_threadpool(server.piles.set_state, pile, state)
    except sqlite3.Error as reason:
        LOG.error("the state of %s was not noted: %s", pile, server.database.what_is_wrong(reason))


def _read(rows: list[dict[str, Any]]) -> list[tuple[str, bytes]]:
    return [(row["name"], Path(row["file"]).read_bytes()) for row in rows]
