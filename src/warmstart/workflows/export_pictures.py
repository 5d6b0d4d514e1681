"""Which pictures an export is proved on, and which it is calibrated with: found again where the run found them. N pictures."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from warmstart.csv_cells import text_of
from warmstart.data.files import found_again
from warmstart.data.hashing import digest_file
from warmstart.data.listing import find_pictures, read_listing
from warmstart.errors import DataError, PictureError
from warmstart.model.predictor import Model
from warmstart.records import Example
from warmstart.report.run_record import read_data
from warmstart.session.listed import listing_of_run
from warmstart.session.progress import Watcher
from warmstart.task_registry import find_task


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Pictures that the model has not learnt from."""

    source: str
    examples: list[Example]  # without a target where none is known
    notes: tuple[str, ...] = ()
    why_none: str = ""  # where there is none

    @property
    def paths(self) -> list[str]:
        """Of their files."""
        return [example.path for example in self.examples]


def held_out_pictures(model: Model, name: str, pictures: str | None, *, most: int, watcher: Watcher) -> HeldOut:
    """Those of ``pictures`` (folder, manifest, files), or the test pictures of the run that the model lies in; at most ``most``.

    Raises what `read_listing` and `find_pictures` raise for ``pictures`` that cannot be read.
    """
    rows = _of_run(Path(name)) if pictures is None else _given(pictures, _columns(model), nested=_nested(model))
    if isinstance(rows, str):
        return _none(name, rows)
    source = pictures or name
    learnt = set(model.about.get("trained_on", ()))
    order = np.random.default_rng(0).permutation(len(rows))
    kept: list[Example] = []
    seen = lost = 0
    for done, i in enumerate(order, 1):
        if len(kept) == most:
            break
        try:
            known = digest_file(rows[i].path).hex() in learnt
        except PictureError:
            lost += 1
            continue
        if known:
            seen += 1
            continue
        kept.append(rows[i])
        watcher.progress("looking", done, len(rows))
    notes = []
    if seen:
        notes.append(f"{seen:,} of the pictures are among those that the model learnt from; left out")
    if lost:
        notes.append(f"{lost:,} of {len(rows):,} pictures are gone or cannot be opened; left out")
    kept.sort(key=lambda example: example.path)
    return HeldOut(
        source=source,
        examples=kept,
        notes=tuple(notes),
        why_none="; ".join(notes) or f"{source} holds none",
    )


def calibration_pictures(model: Model, name: str, data: str | None, *, most: int, watcher: Watcher) -> Sequence[str]:
    """Files that the model learnt from, at most ``most``, drawn by chance with a fixed seed. Raises DataError when there is none."""
    learnt = set(model.about.get("trained_on", ()))
    if not learnt:
        raise DataError(
            f"{name}: int8 needs pictures that the model learnt from, and it was not trained here. Take --precision fp16"
        )
    listing = (
        read_listing(data, min_classes=1, columns=_columns(model), several=True)
        if data is not None
        else listing_of_run(Path(name))
    )
    if isinstance(listing, str):
        raise DataError(
            f"{name}: int8 needs pictures that the model learnt from, but {listing}. Name where they are now with --data"
        )
    files: list[str] = []
    for i in np.random.default_rng(0).permutation(len(listing.examples)):
        example = listing.examples[i]
        if len(files) == most:
            break
        if example.split not in (None, "train"):
            continue
        try:
            if digest_file(example.path).hex() in learnt:
                files.append(example.path)
        except PictureError:
            continue
        watcher.progress("looking", len(files), most)
    if not files:
        raise DataError(
            f"{listing.source}: int8 needs pictures that the model learnt from, and none of the {len(listing.examples):,} here is one. "
            "Name where they are now with --data"
        )
    return files


def _of_run(folder: Path) -> list[Example] | str:
    """The run's test pictures, or why there is none."""
    table = next((p for p in (folder / "predictions.csv", folder.parent / "predictions.csv") if p.is_file()), None)
    if table is None:
        return "there is no predictions.csv in or beside it to name the test pictures"
    there = _working_folder(table.with_name("run.json"))
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = [{name: text_of(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return [Example(path=found_again(row["path"], there), class_name=row.get("true", ""), cells=row) for row in rows]


def _working_folder(record: Path) -> str | None:
    """Where relative paths of the run begin; None where its record does not say."""
    try:
        return read_data(record).working_folder
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _columns(model: Model) -> tuple[str, ...]:
    """That hold the truth in a table; none where that is a label."""
    return find_task(model.task).columns(model.fitted)


def _nested(model: Model) -> bool:
    """Whether it was trained on folders in folders."""
    plan = model.about.get("plan")
    return isinstance(plan, Mapping) and plan.get("nested") is True


def _given(pictures: str, columns: tuple[str, ...], *, nested: bool) -> list[Example]:
    try:
        is_folder = Path(pictures).is_dir()
        listing = read_listing(pictures, min_classes=1, columns=() if is_folder else columns, nested=nested and is_folder)
    except DataError:
        found, _ = find_pictures([pictures])  # no labels: agreement alone can be shown
        if not found:
            raise
        return [Example(path=path, class_name="") for path in found]
    return list(listing.examples)


def _none(source: str, why: str) -> HeldOut:
    return HeldOut(source=source, examples=[], why_none=why)
