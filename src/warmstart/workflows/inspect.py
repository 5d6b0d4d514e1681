"""inspect: what is in a folder of images, before anything is trained on it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.data.decoding import Header, decode, read_header
from warmstart.data.listing import read_listing
from warmstart.data.splitting import find_conflicts
from warmstart.errors import PictureError
from warmstart.extraction.ahead import map_ahead
from warmstart.extraction.scanning import scan
from warmstart.records import Problem
from warmstart.store.cache import Store
from warmstart.workflows.dataset import conflict_problems
from warmstart.workflows.watch import Nobody, Watcher


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Counts and problems; every picture was decoded once."""

    source: str
    images: int  # readable ones
    classes: dict[str, int]  # class name → readable pictures
    splits: dict[str, int]  # as given by the data; empty where it brings none
    formats: dict[str, int]
    modes: dict[str, int]
    width_px: tuple[int, int, int]  # smallest, median, largest
    height_px: tuple[int, int, int]
    duplicates: tuple[tuple[str, ...], ...]  # paths with the same bytes
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def inspect(data: Any, *, exclude: tuple[str, ...] = (), watcher: Watcher | None = None) -> Inspection:
    """Look at every picture of a folder, manifest or list. Raises DataError for what is no data set at all."""
    watcher = watcher or Nobody()
    listing = read_listing(data, exclude=exclude, min_classes=1)
    with Store(machine.store_folder()) as store:
        found = scan([e.path for e in listing.examples], store, on_progress=watcher.progress)
    there = [(e, p.digest) for e, p in zip(listing.examples, found.pictures, strict=True) if p is not None]
    problems = [*listing.problems, *found.problems]
    readable, headers = [], []
    for done, (example, header) in enumerate(
        zip((e for e, _ in there), map_ahead(_look, (e.path for e, _ in there)), strict=True), 1
    ):
        watcher.progress("decoding", done, len(there))
        if isinstance(header, PictureError):
            problems.append(Problem(path=example.path, kind=header.kind, message=str(header)))
        else:
            readable.append(example)
            headers.append(header)
    label_of = {name: i for i, name in enumerate(listing.class_names)}
    conflicts = find_conflicts([d for _, d in there], [label_of[e.class_name] for e, _ in there])
    problems += conflict_problems(conflicts, [e.path for e, _ in there])
    counts = Counter(e.class_name for e in readable)
    return Inspection(
        source=listing.source,
        images=len(readable),
        classes={name: counts[name] for name in listing.class_names},
        splits=dict(Counter(e.split for e in readable if e.split)),
        formats=dict(Counter(h.format for h in headers).most_common()),
        modes=dict(Counter(h.mode for h in headers).most_common()),
        width_px=_spread([h.width for h in headers]),
        height_px=_spread([h.height for h in headers]),
        duplicates=_duplicates(there),
        problems=tuple(problems),
    )


def _look(path: str) -> Header | PictureError:
    """The header, if the whole picture can be decoded."""
    try:
        decode(Path(path), shorter_side_px=1)
        return read_header(path)
    except PictureError as reason:
        return reason


def _spread(sides: Sequence[int]) -> tuple[int, int, int]:
    return (min(sides), int(np.median(sides)), max(sides)) if sides else (0, 0, 0)


def _duplicates(there: Sequence[tuple[Any, bytes]]) -> tuple[tuple[str, ...], ...]:
    by_digest: dict[bytes, list[str]] = {}
    for example, digest in there:
        by_digest.setdefault(digest, []).append(example.path)
    return tuple(tuple(paths) for paths in by_digest.values() if len(paths) > 1)
