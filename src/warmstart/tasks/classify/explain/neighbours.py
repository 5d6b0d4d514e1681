"""The training pictures most like a picture: found again where they lie, compared by rows that are in the store already.

A model knows the digests of what it was trained on, a run where that lay, and the store the rows. So nothing is copied, nothing can
be out of date, and a picture that was moved, changed or removed is missed by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.data.listing import read_listing
from warmstart.data.memory import name_of
from warmstart.data.nested import as_classes_are_named
from warmstart.extraction.features import columns
from warmstart.extraction.reader import Reader
from warmstart.extraction.scanning import picture_of, scan
from warmstart.extraction.workspace import Workspace
from warmstart.records import Picture
from warmstart.session.listed import listing_of_run
from warmstart.session.progress import Watcher
from warmstart.tasks.classify.explain.nearest import Neighbour, nearest
from warmstart.tasks.classify.model import ClassModel

BLOCK = 4096  # pictures whose rows over all taps are in memory at once


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The nearest first, and what was in the way of finding them."""

    nearest: tuple[Neighbour, ...]
    notes: tuple[str, ...]


def neighbours(
    model: ClassModel, folder: str, source: Any, *, count: int, data: str | None = None, watcher: Watcher
) -> Neighbours:
    """The ``count`` training pictures nearest to ``source``: a path, encoded bytes, a PIL image or a uint8 array.

    folder: the model or run folder that ``model`` was read from. data: where the training pictures are now; None: where the run found
    them. Without them there are notes instead. Raises what `read_listing` raises when ``data`` was given and cannot be read.
    """
    learnt = set(model.about.get("trained_on", ()))
    if not learnt:
        return _none("no training pictures: this model was not trained here")
    listing = listing_of_run(Path(folder)) if data is None else read_listing(data, min_classes=1)
    if isinstance(listing, str):
        return _none(f"no training pictures: {listing}. Name the folder or manifest they are in with --data")
    if data is not None:
        listing = as_classes_are_named(listing, model.class_names)
    notes = []
    with Workspace.opened() as workspace:
        query = picture_of(source, name=name_of(source, 0))
        scanned = scan([example.path for example in listing.examples], workspace.store, on_progress=watcher.progress)
        found = {
            picture.digest: (picture, example.class_name)
            for example, picture in zip(listing.examples, scanned.pictures, strict=True)
            if picture is not None and picture.digest.hex() in learnt
        }
        if len(found) < len(learnt):
            lost = f"{len(learnt) - len(found):,} of {len(learnt):,} training pictures are not in {listing.source} any more"
            if not found:
                return _none(f"no training pictures: {lost}. Name the folder or manifest they are in with --data")
            notes.append(f"{lost}; the nearest are sought among the others")
        if found.pop(query.digest, None) is not None:
            notes.append("this picture is itself one of the training pictures; the nearest are those beside it")
        pictures, class_names = [picture for picture, _ in found.values()], [name for _, name in found.values()]
        blocks = list(_features(model, [query, *pictures], workspace, watcher))
    features = np.concatenate([rows for rows, _ in blocks])
    usable = np.concatenate([good for _, good in blocks])
    if not usable[0]:
        return _none("no training pictures: the picture itself cannot be read")
    kept = np.flatnonzero(usable[1:])
    return Neighbours(
        nearest=nearest(
            features[0],
            features[1:][kept],
            paths=[pictures[i].path for i in kept],
            class_names=[class_names[i] for i in kept],
            count=count,
        )
        if len(kept)
        else (),
        notes=tuple(notes),
    )


def _features(
    model: ClassModel, pictures: list[Picture], workspace: Workspace, watcher: Watcher
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Block by block: float32 (B, D) of the head's taps, and which of them are real. From the store where they are there."""
    reader = Reader(recipe=model.recipe(), workspace=workspace, on_progress=watcher.progress)
    for start in range(0, len(pictures), BLOCK):
        block = pictures[start : start + BLOCK]
        extraction = reader.rows(block)
        usable = np.array([i not in extraction.broken for i in range(len(block))])
        yield columns(extraction.rows, extraction.layout, model.taps), usable


def _none(why: str) -> Neighbours:
    return Neighbours(nearest=(), notes=(why,))
