"""Routes that ask a model: models, predict, explain, corrections."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from warmstart.data.decoding import decode
from warmstart.data.formats import SNIFF_BYTES, sniff
from warmstart.errors import PictureError, UnknownNameError
from warmstart.serve.batching import Batcher, ReplacedError
from warmstart.serve.body import Form, kind_of, read_bytes, read_form
from warmstart.serve.datasets import StoredDataset, checked_label
from warmstart.serve.decoding import in_time
from warmstart.serve.errors import ApiError
from warmstart.serve.state import Server, State
from warmstart.task_protocol import Answer

REPLACED_AT_MOST = 20  # times while one request waits

router = APIRouter(prefix="/api/models", tags=["models"])

_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}
_PICTURE = {"schema": {"type": "string", "format": "binary"}}
PICTURES_BODY = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, "image/*": _PICTURE, "application/octet-stream": _PICTURE},
    }
}
_ONE_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "class": {"type": "string"},
        "dataset": {"type": "string"},
        "predicted": {"type": "string"},
    },
}
ONE_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _ONE_FORM}}}}

Coverage = Annotated[float | None, Query(gt=0, lt=1, description="Also the set of classes that holds the true one this often.")]
Sure = Annotated[
    float | None,
    Query(
        gt=0.5,
        lt=1,
        description="Also the deepest answer with this probability or more: a class, or what stands above several.",
    ),
]
Top = Annotated[int | None, Query(ge=1, description="Probabilities of only so many classes, the most probable first.")]


@router.get("")
def models(server: Server) -> dict[str, Any]:
    """All models, with their classes and how well they did on test."""
    return {"models": server.places.hide(server.models.describe())}


@router.get("/{name}")
def model(server: Server, name: str) -> dict[str, Any]:
    """One of them."""
    return dict(server.places.hide(server.models.entry(name).to_dict()))


@router.post("/{name}/predict", openapi_extra=PICTURES_BODY)
async def predict(
    server: Server, request: Request, name: str, coverage: Coverage = None, sure: Sure = None, top: Top = None
) -> JSONResponse:
    """The class of one picture (as the body) or of several (a form with files), with probabilities."""
    begin = time.perf_counter()
    server.models.entry(name)  # before the body is read
    pictures = await _pictures(server, request)
    answers, batcher = await ask(server, name, pictures, coverage=coverage, sure=sure)
    predictions = [_within(answer.to_dict(), top) for answer in answers if not isinstance(answer, PictureError)]
    problems = [
        {"path": named, "kind": answer.kind, "message": str(answer)}
        for (named, _), answer in zip(pictures, answers, strict=True)
        if isinstance(answer, PictureError)
    ]
    if not predictions:
        raise next(answer for answer in answers if isinstance(answer, PictureError))
    covered = None if coverage is None else batcher.model.coverage(coverage).to_dict()
    return JSONResponse(
        {
            "model": name,
            "predictions": predictions,
            "coverage": covered,
            "problems": problems,
            "seconds": time.perf_counter() - begin,
        }
    )


@router.post("/{name}/explain", openapi_extra=ONE_BODY)
async def explain(
    server: Server,
    request: Request,
    name: str,
    class_name: Annotated[str | None, Query(alias="class")] = None,
    method: Annotated[str, Query(pattern="^(occlusion|grad-cam)$")] = "occlusion",
    neighbours: Annotated[int, Query(ge=0, le=20)] = 5,
) -> dict[str, Any]:
    """Where in a picture the evidence lies (a heat-map as PNG) and the training pictures most like it, as data: URIs."""
    entry = server.models.entry(name)
    content, named, _ = await _one(server, request)
    with server.datasets.temporary() as folder:
        path = folder / f"picture{await _suffix(server, content, named)}"
        path.write_bytes(content)
        found = await run_in_threadpool(
            server.explainer.explain, entry.source, path, class_name=class_name, method=method, neighbours=neighbours
        )
    return {"model": name, **server.places.hide(found)}


@router.post("/{name}/corrections", openapi_extra=ONE_BODY, status_code=201)
async def correct(server: Server, request: Request, name: str) -> dict[str, Any]:
    """A picture that the model got wrong, with its right class: kept, and learnt from at the next training on that data set.

    ``dataset``: which; that of the model's run if not given.
    """
    entry = server.models.entry(name)
    content, named, form = await _one(server, request)
    dataset = await run_in_threadpool(_dataset_of, server, entry.run, form.fields.get("dataset"))
    label = await run_in_threadpool(known_label, server, dataset, form.fields.get("class", ""))
    suffix = await _suffix(server, content, named)
    with server.datasets.temporary() as folder:
        path = folder / f"picture{suffix}"
        path.write_bytes(content)
        add = partial(server.datasets.add, dataset, path, label=label, origin=name, name=named)
        return await run_in_threadpool(add, predicted=form.fields.get("predicted"))


async def ask(
    server: State,
    name: str,
    pictures: Sequence[tuple[str, bytes]],
    *,
    coverage: float | None = None,
    sure: float | None = None,
    within_s: float | None = None,
) -> tuple[list[Answer | PictureError], Batcher]:
    """Answers in order, from the model that is there now. Raises ApiError 503 when the time is up, or the server stops.

    ``within_s``: a request's time if not given.
    """
    end = time.monotonic() + (within_s or server.limits.request_s)
    for _ in range(REPLACED_AT_MOST):
        entry = server.models.entry(name)
        entry.asked = time.monotonic()
        batcher = entry.batcher
        if batcher is None:
            batcher = await _opened(server, name, end - time.monotonic())
        try:
            left_s = max(0.0, end - time.monotonic())
            return await batcher.predict(pictures, coverage=coverage, sure=sure, within_s=left_s), batcher
        except ReplacedError:  # in this moment: by one that is there now, or will be
            await asyncio.sleep(0.01)
    raise ApiError(503, "stopping", found="a server that is stopping", fix="ask again when it is back", retry_after_s=5)


async def _opened(server: State, name: str, within_s: float) -> Batcher:
    """The model's batcher, where it is open in time; otherwise it goes on being opened, for the next who asks."""
    opening = server.opening.get(name)
    if opening is None:  # many who ask wait in one thread
        opening = server.opening[name] = asyncio.ensure_future(run_in_threadpool(server.models.open, name))

        def opened(one: asyncio.Future[Batcher]) -> None:
            del server.opening[name]
            if not one.cancelled():
                one.exception()  # perhaps nobody asks for it any more

        opening.add_done_callback(opened)
    done, _ = await asyncio.wait({opening}, timeout=within_s)
    if done:
        return opening.result()
    raise ApiError(
        503,
        "opening",
        found=f"model {name!r} is still being opened",
        fix="ask again after the time in Retry-After",
        retry_after_s=5,
    )


def known_label(server: State, dataset: StoredDataset, text: str) -> str:
    """A class of the data set. Raises UnknownNameError with the nearest."""
    names = server.datasets.listing(dataset).class_names
    if text in names:  # as a folder is called, however oddly
        return text
    label = checked_label(text)
    if label not in names:
        raise UnknownNameError("class", label, names)
    return label


async def _pictures(server: State, request: Request) -> list[tuple[str, bytes]]:
    """(name, content) of each picture of a request."""
    kind, limits = kind_of(request), server.limits
    if kind == "multipart/form-data":
        form = await read_form(
            request, most_bytes=limits.body_bytes, most_files=limits.pictures, most_file_bytes=limits.picture_bytes
        )
        if not form.uploads:
            raise ApiError(422, "no-pictures", found="a form without a file", expected="pictures in the field 'file'")
        return [(upload.name or f"picture {i}", upload.content) for i, upload in enumerate(form.uploads)]
    if kind.startswith("image/") or kind == "application/octet-stream":
        return [("picture 0", await read_bytes(request, limits.picture_bytes))]
    raise ApiError(
        415,
        "content-type",
        found=f"Content-Type {kind!r}" if kind else "no Content-Type",
        expected="multipart/form-data, image/… or application/octet-stream",
        fix="curl -F file=@x.jpg, or curl -H 'Content-Type: image/jpeg' --data-binary @x.jpg",
    )


async def _one(server: State, request: Request) -> tuple[bytes, str, Form]:
    """The only picture of a form, or of a raw body."""
    if kind_of(request) == "multipart/form-data":
        form = await read_form(request, most_bytes=server.limits.picture_bytes + 200_000, most_files=1)
        if not form.uploads:
            raise ApiError(422, "no-pictures", found="a form without a file", expected="a picture in the field 'file'")
        return form.uploads[0].content, form.uploads[0].name or "picture", form
    ((name, content),) = await _pictures(server, request)
    return content, name, Form(fields={key: str(value) for key, value in request.query_params.items()})


async def _suffix(server: State, content: bytes, name: str) -> str:
    """Of a file for this picture, once it is known to be one. Raises PictureError, or ApiError 503."""
    look = partial(decode, content, shorter_side_px=32, max_pixels=server.limits.picture_pixels, name=name)
    await in_time(server.looking, server.limits, look)
    return {"jpeg": ".jpg", "jpeg-2000": ".jp2", "tiff": ".tif"}.get(kind := sniff(content[:SNIFF_BYTES]) or "", f".{kind}")


def _dataset_of(server: State, run: str | None, given: str | None) -> StoredDataset:
    if given:
        return server.datasets.get(given)
    if run is None:
        raise ApiError(
            422,
            "which-dataset",
            found="a model that was not trained on this server",
            expected="the field 'dataset': the data set that the picture is to be added to",
            fix="upload its training pictures first, or name a data set of GET /api/datasets",
        )
    return server.datasets.get(server.jobs.get(run)["dataset"])


def _within(prediction: dict[str, Any], top: int | None) -> dict[str, Any]:
    if top is not None and "probabilities" in prediction:
        ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
        prediction["probabilities"] = dict(ranked[:top])
    return prediction
