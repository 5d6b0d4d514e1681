"""Routes that make a file of a model which other programs run, and hand it out."""

import json
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import BaseModel

from warmstart.serve.errors import ApiError
from warmstart.serve.job_process import EXPORT
from warmstart.serve.jobs import of_model, progress_of
from warmstart.serve.state import Server, State

router = APIRouter(prefix="/api/models", tags=["models"])


class ExportRequest(BaseModel):
    """Which kind of file."""

    format: Literal["onnx", "openvino", "torch-export"] = "onnx"
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32"


@router.post("/{name}/export", status_code=202)
def ask(server: Server, name: str, wanted: ExportRequest | None = None) -> dict[str, Any]:
    """Write the model as one file, proved on the run's test pictures; in the place of the export before."""
    entry, wanted = server.models.entry(name), wanted or ExportRequest()
    signature = [list(row) for row in entry.signature]
    server.jobs.start_export(name, entry.source, format=wanted.format, precision=wanted.precision, signature=signature)
    return export_of(server, name)


@router.get("/{name}/export")
def export_of(server: Server, name: str) -> dict[str, Any]:
    """How far it is; ``download`` once it is there. 404 for a model that was never exported, or has changed since."""
    entry = server.models.entry(name)
    job = server.jobs.latest("export", of_model(name))
    if job is not None and server.jobs.spec(job["id"])["signature"] != json.loads(json.dumps(entry.signature)):
        job = None
    if job is None:
        raise ApiError(404, "not-asked", found=f"nobody has asked for it yet: POST /api/models/{name}/export")
    spec = server.jobs.spec(job["id"])
    there = (server.jobs.folder(job["id"]) / EXPORT).is_file()
    return {
        **job,
        "message": server.places.hide(job["message"]),
        "model": name,
        "format": spec["format"],
        "precision": spec["precision"],
        **({} if server.jobs.is_over(job["id"]) else server.places.hide(progress_of(server.jobs.folder(job["id"])))),
        "result": _named(server, server.jobs.result(job["id"])),
        "download": f"/api/models/{name}/export/file" if there else None,
    }


@router.get("/{name}/export/file", response_class=FileResponse)
def file(server: Server, name: str) -> FileResponse:
    """A zip with the model and parity.json, its proof."""
    found = export_of(server, name)
    if found["download"] is None:
        raise ApiError(404, "no-export", found=f"the export is {found['state']}", fix="wait until it is done")
    path = server.jobs.folder(found["id"]) / EXPORT
    return FileResponse(path, media_type="application/zip", filename=f"{name}-{found['format']}-{found['precision']}.zip")


def _named(server: State, result: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without the places of the server's disk."""
    if result and result["parity"]:
        for row in result["parity"].get("worst", ()):
            row["path"] = row["path"].replace("\\", "/").rpartition("/")[2]
    return server.places.hide(result)  # type: ignore[no-any-return]
