"""export: a model → a file that other programs run, proved on held-out pictures before it is kept.

model → graph → file (beside its place) → proof on picture files → stamped and moved into place, or refused
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.atomic import replaced_folder, write_json
from warmstart.errors import DataError, ParityError, PictureError
from warmstart.export.formats import Format, find_format
from warmstart.export.metadata import describe, writer_versions
from warmstart.export.reference import Reference, eager_taps
from warmstart.model.files import DESCRIPTION
from warmstart.model.predictor import Model
from warmstart.refusals import require_room
from warmstart.runtime.document import Document
from warmstart.runtime.predictor import Exported, prepared
from warmstart.session.progress import NullProgress, Watcher
from warmstart.task_protocol import Parity
from warmstart.task_registry import find_task
from warmstart.workflows.export_pictures import HeldOut, calibration_pictures, held_out_pictures
from warmstart.workflows.predict import SOURCE_PREFIX, open_trained, place_of

PARITY = "parity.json"
PROOF_PICTURES = 1000  # at most; eager PyTorch sees 30 a second on two cores
CALIBRATION_PICTURES = 300  # NNCF's own number


# Of float32 weights: what the file holds at the least.
STORED_SHARE = {"fp32": 1.0, "fp16": 0.5, "bf16": 1.0, "int8": 0.25}


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What is asked for."""

    format: str = "onnx"
    precision: str = "fp32"
    resize_inside: bool = False
    out: Path | None = None  # None: beside the run's model
    pictures: str | None = None  # folder, manifest, files: held-out pictures to prove on; None: those of the run
    data: str | None = None  # where the training pictures are now, for int8; None: where the run found them
    proof_pictures: int = PROOF_PICTURES
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written, and how it compares."""

    folder: Path
    file: Path
    task: str
    format: str
    precision: str
    proven: bool
    parity: Parity | None  # None: forced without a picture
    notes: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "folder": str(self.folder),
            "file": str(self.file),
            "format": self.format,
            "precision": self.precision,
            "proven": self.proven,
            "parity": self.parity and self.parity.to_dict(),
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def export(
    name: "str | Model",
    settings: ExportSettings | None = None,
    *,
    download: bool = False,
    reference: Reference | None = None,
    watcher: Watcher | None = None,
) -> Export:
    """Write a model or run folder, or 'imagenet:NAME', as one file of a format. Whole or not at all.

    reference: what PyTorch says of the pictures it is proved on, where an export of the same model found that out before.
    Raises ParityError when the file does not say what PyTorch says (or there is no picture to show it on), unless ``force``: then it is
    written, marked unproven. Raises UsageError for a format or precision that cannot be had, DataError for a folder that holds
    something already, or when int8 finds no training pictures.
    """
    settings, watcher = settings or ExportSettings(), watcher or NullProgress()
    begin = time.perf_counter()
    writer = find_format(settings.format, settings.precision)
    model = open_trained(name, download=download)
    name = place_of(name)
    folder = settings.out or _default_folder(name, settings)
    _must_be_free(folder)
    weights_bytes = sum(tensor.nbytes for tensor in model.tensors.values())
    require_room(folder, int(STORED_SHARE[settings.precision] * weights_bytes), "the export")
    proof = held_out_pictures(model, name, settings.pictures, most=settings.proof_pictures, watcher=watcher)
    if not proof.paths and not settings.force:
        raise ParityError(
            f"{name}: there is no picture to prove the export on ({proof.why_none}). Name held-out pictures with --pictures, or write "
            "it unproven with --force"
        )
    calibration: Sequence[np.ndarray] = ()
    if settings.precision == "int8":
        files = calibration_pictures(model, name, settings.data, most=CALIBRATION_PICTURES, watcher=watcher)
        watcher.say(f"int8: ranges are read off {len(files):,} training pictures")
        calibration = _as_inputs(model, files, resize_inside=settings.resize_inside)
    with replaced_folder(folder) as fresh:
        watcher.say(f"writing {settings.format} {settings.precision}")
        _write(writer, model, settings, calibration, fresh)
        parity = _prove(writer, model, settings, proof, fresh, reference, watcher) if proof.paths else None
        if parity and not parity.proven and not settings.force:
            raise ParityError(_refusal(parity))
        _finish(writer, model, settings, parity, proof, fresh)
    return Export(
        folder=folder,
        file=folder / writer.file_name,
        task=model.task,
        format=settings.format,
        precision=settings.precision,
        proven=parity is not None and parity.proven,
        parity=parity,
        notes=proof.notes,
        seconds=time.perf_counter() - begin,
    )


def _write(writer: Format, model: Model, settings: ExportSettings, calibration: Sequence[np.ndarray], folder: Path) -> None:
    """The file with its document, not proven yet."""
    from warmstart.export.graph import whole_model

    graph = whole_model(model, resize_inside=settings.resize_inside)
    path = folder / writer.file_name
    writer.write(graph, settings.precision, model.preprocessing.size_px, calibration, path)
    writer.stamp(path, _document(writer, model, settings, None))


def _prove(
    writer: Format,
    model: Model,
    settings: ExportSettings,
    proof: HeldOut,
    folder: Path,
    reference: Reference | None,
    watcher: Watcher,
) -> Parity:
    """Every held-out picture through float32 PyTorch and through the file."""
    path = folder / writer.file_name
    document = Document.from_json(_document(writer, model, settings, None), path)
    exported: Exported = find_task(model.task).exported_model(document, writer.open_for_proof(path))
    reference = reference or eager_taps(model, proof.paths, progress=partial(watcher.progress, "PyTorch"))
    good = [i for i, row in enumerate(reference.rows) if row is not None]
    if not good:
        raise ParityError(
            f"none of the {len(proof.paths):,} pictures to prove the export on can be read: {reference.problems[0]}"
        )
    files = [proof.paths[i] for i in good]
    begin = time.perf_counter()
    found = []
    for done, (name, answer) in enumerate(exported.outputs_each(files), 1):
        if isinstance(answer, PictureError):
            raise ParityError(f"{name} was read for PyTorch but not for the exported file: {answer}")
        found.append(answer)
        watcher.progress("proving", done, len(files))
    task = find_task(model.task)
    parity: Parity = task.parity(
        model.fitted,
        type(found[0]).joined([_outputs(model, reference, i) for i in good]),
        type(found[0]).joined(found),
        targets=task.targets_for(model.fitted, [proof.examples[i] for i in good]),
        paths=files,
        format=settings.format,
        precision=settings.precision,
        seconds_before=reference.seconds,
        seconds=time.perf_counter() - begin,
        bytes=sum(file.stat().st_size for file in folder.iterdir()),
    )
    return parity


def _outputs(model: Model, reference: Reference, i: int) -> Any:
    """What the model finds in one picture, by what PyTorch says of it."""
    row = reference.rows[i]
    assert row is not None
    return model.outputs(row[None], reference.places[i])


def _finish(
    writer: Format, model: Model, settings: ExportSettings, parity: Parity | None, proof: HeldOut, folder: Path
) -> None:
    """The document with what was found, and parity.json."""
    writer.stamp(folder / writer.file_name, _document(writer, model, settings, parity))
    row = (
        parity.to_dict()
        if parity
        else {"format": settings.format, "precision": settings.precision, "proven": False, "pictures": 0}
    )
    document = {
        **row,
        "resize_inside": settings.resize_inside,
        "source": proof.source,
        "notes": list(proof.notes),
        "machine": machine.describe(),
        "versions": writer_versions(),
    }
    write_json(folder / PARITY, document)


def _document(writer: Format, model: Model, settings: ExportSettings, parity: Parity | None) -> str:
    return describe(
        model,
        format=writer.name,
        precision=settings.precision,
        resize_inside=settings.resize_inside,
        parity=parity,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _as_inputs(model: Model, files: Sequence[str], *, resize_inside: bool) -> list[np.ndarray]:
    """Arrays of the graph's input, one a picture; pictures that cannot be read are left out."""
    inputs = []
    for file in files:
        try:
            inputs.append(prepared(file, model.preprocessing, resize_inside=resize_inside)[None])
        except PictureError:
            continue
    if not inputs:
        raise DataError(f"none of {len(files):,} training pictures can be read, and int8 needs some: {files[0]}")
    return inputs


def _default_folder(name: str, settings: ExportSettings) -> Path:
    """exports/FORMAT-PRECISION beside the run's model folder."""
    kind = f"{settings.format}-{settings.precision}" + ("-resize" if settings.resize_inside else "")
    if name.startswith(SOURCE_PREFIX):
        return Path("exports") / f"{name.removeprefix(SOURCE_PREFIX)}-{kind}"
    folder = Path(name)
    run = folder.resolve().parent if (folder / DESCRIPTION).is_file() else folder
    return run / "exports" / kind


def _must_be_free(folder: Path) -> None:
    """Raises DataError where something is at the folder's place already."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        found = "a file" if folder.is_file() else f"{len(list(folder.iterdir()))} entries"
        raise DataError(
            f"{folder} holds {found} already, and an export replaces nothing: remove it, or choose another folder with --out"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise DataError(f"the folder {folder} cannot be made ({reason.strerror}); choose another with --out") from reason


def _refusal(parity: Parity) -> str:
    worst = "; ".join(parity.worst_in_words())
    return (
        f"{parity.format} {parity.precision} does not say what the model says, so it was not kept: {'; '.join(parity.failures)}. "
        f"Of {parity.pictures:,} pictures the worst: {worst}. Take another --precision, or --force to keep it, marked unproven"
    )
