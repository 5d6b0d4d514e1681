"""Routes about data sets: upload, look, add, and what the doctor and the advice say of them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from warmstart.data.decoding import DECODER_ID
from warmstart.machine import file_stamp
from warmstart.plan import Plan
from warmstart.report.thumbnails import jpeg
from warmstart.serve.body import kind_of, read_bytes, read_form, read_to_file
from warmstart.serve.datasets import StoredDataset, relative
from warmstart.serve.decoding import in_time
from warmstart.serve.errors import ApiError
from warmstart.serve.jobs import progress_of
from warmstart.serve.plans import checked_plan
from warmstart.serve.state import Server, State
from warmstart.serve.uploads import Unpacked, place, unpack
from warmstart.store.key import recipe_key

router = APIRouter(prefix="/api/datasets", tags=["data sets"])

ZIP_KINDS = ("application/zip", "application/x-zip-compressed", "application/x-zip")
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "name": {"type": "string"},
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                }
            },
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["folder"],
                    "properties": {"folder": {"type": "string"}, "name": {"type": "string"}},
                }
            },
        },
    }
}
# A report's own script and styles run, without an origin: they can ask this server for nothing.
REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}

Size = Annotated[int, Query(ge=16, le=1024, description="Of the longer side, in pixels.")]


class FolderRequest(BaseModel):
    """A folder of the server."""

    folder: str
    name: str | None = None


class Fix(BaseModel):
    """What to do with the n-th picture."""

    n: int
    action: str
    new_label: str | None = None
    path: str | None = None  # the picture's, as it was told: refused where the n-th is another by now


class Fixes(BaseModel):
    """Some of them, or the whole list."""

    fixes: list[Fix]


class LookRequest(BaseModel):
    """What the doctor or the advice may be told."""

    plan: dict[str, Any] = {}
    budget_s: Annotated[float, Query(gt=0, le=7 * 86400)] | None = None
    again: bool = False  # although there is a result for the data as it is


@router.get("")
def datasets(server: Server) -> dict[str, Any]:
    """All data sets, the newest first."""
    return {"datasets": [server.datasets.describe(dataset) for dataset in server.datasets.all()]}


@router.post("", openapi_extra=UPLOAD_BODY, status_code=201)
async def upload(server: Server, request: Request, name: str | None = None) -> dict[str, Any]:
    """A zip of class folders (as the body, or as the only file of a form), picture files with their paths, or a folder of the server."""
    kind = kind_of(request)
    if kind == "application/json":
        wanted = FolderRequest.model_validate_json(await read_bytes(request, 10_000))
        dataset = await run_in_threadpool(server.datasets.add_folder, wanted.folder, wanted.name)
        return await run_in_threadpool(server.datasets.describe, dataset, whole=True)
    with server.datasets.temporary() as folder:
        given, fill = await received(server, request, kind, folder, name)
        dataset, unpacked = await run_in_threadpool(server.datasets.create, given, fill)
    return {**await run_in_threadpool(server.datasets.describe, dataset, whole=True), "upload": unpacked.to_dict()}


async def received(server: State, request: Request, kind: str, folder: Path, name: str | None) -> tuple[str, Any]:
    """A name for what was sent, and what puts its pictures into a folder."""
    limits = server.limits
    if kind in ZIP_KINDS:
        await read_to_file(request, folder / "upload.zip", limits.upload_bytes)
        return _named(name, "upload"), lambda target: unpack(folder / "upload.zip", target, limits)
    if kind != "multipart/form-data":
        raise ApiError(
            415,
            "content-type",
            found=f"Content-Type {kind!r}" if kind else "no Content-Type",
            expected="multipart/form-data, application/zip, or application/json with a folder",
            fix="curl -F file=@photos.zip, or curl -H 'Content-Type: application/zip' --data-binary @photos.zip",
        )
    form = await read_form(request, most_bytes=limits.upload_bytes, most_files=limits.upload_files, folder=folder)
    uploads = form.uploads
    if not uploads:
        raise ApiError(422, "no-pictures", found="a form without a file", expected="a zip or pictures in the field 'file'")
    first = uploads[0]
    if len(uploads) == 1 and first.path is not None and (first.name.lower().endswith(".zip") or _is_zip(first.path)):
        zipped = first.path
        return _named(form.fields.get("name") or name, first.name), lambda target: unpack(zipped, target, limits)

    def fill(target: Path) -> Unpacked:
        return place(uploads, target)

    return _named(form.fields.get("name") or name, first.name.replace("\\", "/").split("/")[0]), fill


@router.get("/{dataset}")
def dataset(server: Server, dataset: str) -> dict[str, Any]:
    """Classes with their numbers of pictures, what was left out, and what pictures lose on their way into a network."""
    stored = server.datasets.get(dataset)
    return server.datasets.describe(stored, whole=True) | server.datasets.lost(stored)


@router.delete("/{dataset}", status_code=204)
def remove(server: Server, dataset: str) -> None:
    """Remove it, and its pictures if they were uploaded. Models stay."""
    server.datasets.get(dataset)
    if active := server.jobs.active_on(dataset):
        raise ApiError(
            409, "in-use", found=f"run {active[0]!r} works on it", fix=f"wait, or cancel it: DELETE /api/runs/{active[0]}"
        )
    for pile in server.piles.all(dataset):
        server.piles.remove(pile["id"])
    for job in server.jobs.all("doctor", "advise"):  # with thumbnails of its pictures
        if job["dataset"] == dataset:
            server.jobs.remove(job["id"])
    server.datasets.remove(dataset)


@router.get("/{dataset}/pictures")
def pictures(
    server: Server,
    dataset: str,
    class_name: Annotated[str | None, Query(alias="class")] = None,
    start: Annotated[int, Query(ge=0)] = 0,
    count: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """A page of its pictures."""
    return server.datasets.pictures(server.datasets.get(dataset), class_name=class_name, start=start, count=count)


@router.get("/{dataset}/pictures/{n}", response_class=Response)
async def picture(
    server: Server, dataset: str, n: int, size: Size = 160, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """A picture as a JPEG of that size, upright, without metadata."""
    path = await run_in_threadpool(lambda: server.datasets.picture(server.datasets.get(dataset), n))
    # The n-th picture may be another tomorrow, so a browser asks again, and mostly learns that nothing has changed.
    stamp = file_stamp(path.stat()) if path.is_file() else ()
    tag = f'"{recipe_key({"path": str(path), "changed": stamp, "size": size, "decoder": DECODER_ID})[:32]}"'
    answer = Response(status_code=304) if if_none_match == tag else await small(server, path, size)
    answer.headers.update({"ETag": tag, "Cache-Control": "private, no-cache"})
    return answer


@router.get("/{dataset}/corrections")
def corrections(server: Server, dataset: str) -> dict[str, Any]:
    """What was added to it: corrected and confirmed pictures."""
    found = server.datasets.additions(server.datasets.get(dataset))
    keys = ("id", "predicted", "name", "origin", "created")
    return {"corrections": [{"class": addition["label"], **{key: addition[key] for key in keys}} for addition in found]}


@router.delete("/{dataset}/corrections/{correction}", status_code=204)
def take_back(server: Server, dataset: str, correction: str) -> None:
    """Remove one of them."""
    server.datasets.drop_addition(server.datasets.get(dataset), correction)


@router.get("/{dataset}/fixes")
def fixes(server: Server, dataset: str) -> dict[str, Any]:
    """What the next training is to leave out, and what to call otherwise."""
    return {"fixes": server.datasets.fixes(server.datasets.get(dataset))}


@router.patch("/{dataset}/fixes")
def fix(server: Server, dataset: str, wanted: Fixes) -> dict[str, Any]:
    """Decide about these pictures: drop, relabel (with new_label), or keep, which takes back. No file is touched."""
    return _fix(server, dataset, wanted, whole=False)


@router.put("/{dataset}/fixes")
def replace_fixes(server: Server, dataset: str, wanted: Fixes) -> dict[str, Any]:
    """As PATCH, and what was decided before is forgotten."""
    return _fix(server, dataset, wanted, whole=True)


@router.post("/{dataset}/doctor", status_code=202)
def ask_doctor(server: Server, dataset: str, wanted: LookRequest | None = None) -> dict[str, Any]:
    """Look for broken files, copies, doubtful labels, outliers; a result that is there already is given at once."""
    return _ask(server, "doctor", dataset, wanted or LookRequest())


@router.get("/{dataset}/doctor")
def doctor(server: Server, dataset: str) -> dict[str, Any]:
    """How far the doctor is, and what was found."""
    return told(server, "doctor", dataset)


@router.get("/{dataset}/doctor/page", response_class=HTMLResponse)
def doctor_page(server: Server, dataset: str) -> Response:
    """What was found, as one page with thumbnails."""
    job = server.jobs.latest("doctor", server.datasets.get(dataset).id)
    return page_of(server, server.jobs.folder(job["id"]) / "page.html" if job else None)


@router.post("/{dataset}/advise", status_code=202)
def ask_advice(server: Server, dataset: str, wanted: LookRequest | None = None) -> dict[str, Any]:
    """Measure how much data there is and which plan suits it; a result that is there already is given at once."""
    return _ask(server, "advise", dataset, wanted or LookRequest())


@router.get("/{dataset}/advise")
def advice(server: Server, dataset: str) -> dict[str, Any]:
    """How far the advice is, and what it says."""
    return told(server, "advise", dataset)


def _fix(server: State, dataset: str, wanted: Fixes, *, whole: bool) -> dict[str, Any]:
    stored = server.datasets.get(dataset)
    return {"fixes": server.datasets.fix(stored, [one.model_dump() for one in wanted.fixes], whole=whole)}


async def small(server: State, path: Path, size: int) -> Response:
    """A picture for a page. Raises PictureError, or ApiError 503."""
    shrink = partial(jpeg, path, side_px=size, max_pixels=server.limits.picture_pixels)
    content = await in_time(server.looking, server.limits, shrink)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})


def page_of(server: State, path: Path | None) -> Response:
    """A report as it lies on disk, but for the places of that. Raises ApiError 404."""
    if path is None or not path.is_file():
        raise ApiError(404, "no-page", found="no page yet", fix="it is written when the job is done")
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return HTMLResponse(server.places.hide_in_page(text).encode("utf-8", "surrogateescape"), headers=REPORT_HEADERS)


def _ask(server: State, kind: str, identifier: str, wanted: LookRequest) -> dict[str, Any]:
    dataset = server.datasets.get(identifier)
    plan = checked_plan(wanted.plan, cut="pooled")
    before = server.jobs.latest(kind, identifier)
    if before and not wanted.again and _still_true(server, before, dataset, plan, wanted):
        return told(server, kind, identifier)
    additions = server.datasets.additions(dataset)
    server.jobs.start(kind, dataset, additions, plan=plan, budget_s=wanted.budget_s)
    return told(server, kind, identifier)


def _still_true(server: State, job: dict[str, Any], dataset: StoredDataset, plan: Plan, wanted: LookRequest) -> bool:
    """Whether a job of before answers the same question about the same data."""
    if job["state"] in ("failed", "cancelled"):
        return False
    spec = server.jobs.spec(job["id"])
    added = [addition["file"] for addition in spec["additions"]] == [a["file"] for a in server.datasets.additions(dataset)]
    fixed = spec["fixes"] is None or Path(spec["fixes"]).read_bytes() == (
        dataset.fixes.read_bytes() if dataset.fixes.is_file() else b""
    )
    if spec["kind"] == "advise" and spec["fixes"] is None and dataset.fixes.is_file():
        fixed = False
    same = not server.datasets.changed_since(dataset, job["created"])
    return same and added and fixed and spec["plan"] == plan.to_dict() and spec["budget_s"] == wanted.budget_s


def told(server: State, kind: str, identifier: str) -> dict[str, Any]:
    """The latest job of a kind, its progress and result. Raises ApiError 404 where nobody has asked for one."""
    dataset = server.datasets.get(identifier)
    job = server.jobs.latest(kind, identifier)
    if job is None:
        raise ApiError(404, "not-asked", found=f"nobody has asked for it yet: POST /api/datasets/{identifier}/{kind}")
    result = server.jobs.result(job["id"])
    if result and kind == "doctor":
        result = _with_numbers(server, dataset, result)
    progress = {} if server.jobs.is_over(job["id"]) else progress_of(server.jobs.folder(job["id"]))
    document = {**job, **progress, "result": result}
    return dict(server.places.hide(document, first=[(dataset.home, dataset.name), (dataset.source, dataset.name)]))


def _with_numbers(server: State, dataset: StoredDataset, result: dict[str, Any]) -> dict[str, Any]:
    """Findings that name pictures by their number in the data set, for `picture`, and by names people know."""
    number = {example.path: n for n, example in enumerate(server.datasets.listing(dataset).examples)}
    for finding in result["findings"]:
        finding["pictures"] = [{"n": number.get(path), "path": relative(path, dataset)} for path in finding.pop("paths")]
        finding["drop"] = [number[path] for path in finding["drop"] if path in number]
    for notice in result.get("notices", ()):  # not in results of before
        notice["paths"] = [relative(path, dataset) for path in notice["paths"]]
    return result | {"source": dataset.name}


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _named(given: str | None, otherwise: str) -> str:
    name = " ".join((given or otherwise).removesuffix(".zip").split())[:80]
    return "".join(c for c in name if c.isprintable()) or "upload"
