"""inspect: what is in a folder of images, before anything is trained on it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.data.class_names import alike_names
from warmstart.data.decoding import Header
from warmstart.data.depth import range_of
from warmstart.data.listing import read_listing
from warmstart.data.memory import header_of
from warmstart.data.one_colour import Loss
from warmstart.data.splitting import find_conflicts
from warmstart.data.views import AUTO
from warmstart.errors import PictureError
from warmstart.extraction.prefetch import map_ahead
from warmstart.extraction.rendering import PICTURES
from warmstart.extraction.scanning import scan_given
from warmstart.extraction.workspace import Workspace
from warmstart.records import Example, Notice, Picture, Preprocessing, Problem
from warmstart.report.cards import card, counts_grid
from warmstart.session.dataset import conflict_problems
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.what_is_lost import Seen, notices, seen_of

USUAL = Preprocessing(size_px=224)  # nearly every backbone's input


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
    seen: Seen  # which share of them the network sees, by the usual centre crop
    notices: tuple[Notice, ...]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        said = [notice.message for notice in self.notices]
        said += [f"{len(self.duplicates):,} groups of files with the same bytes"] if self.duplicates else []
        said += [f"{len(self.problems):,} problems, the first: {self.problems[0].message}"] if self.problems else []
        (w_least, w, w_most), (h_least, h, h_most) = self.width_px, self.height_px
        return card(
            Path(self.source).name,
            kind=f"data · {self.images:,} pictures · {w} × {h} px, from {w_least} × {h_least} to {w_most} × {h_most}",
            sentences=said,
            grids=[counts_grid("class", self.classes), counts_grid("format", self.formats)],
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def inspect(data: Any, *, exclude: tuple[str, ...] = (), nested: bool = False, watcher: Watcher | None = None) -> Inspection:
    """Look at every picture of a folder, manifest or list. Raises DataError for what is no data set at all.

    nested: whether folders in class folders are classes too.
    """
    watcher = watcher or NullProgress()
    listing = read_listing(data, exclude=exclude, min_classes=1, nested=nested)
    with Workspace.opened() as workspace:
        found = scan_given([(e.path, e.content) for e in listing.examples], workspace.store, on_progress=watcher.progress)
    there = [(e, p) for e, p in zip(listing.examples, found.pictures, strict=True) if p is not None]
    problems = [*listing.problems, *found.problems]
    readable, pictures, headers, losses = [], [], [], dict[bytes, str]()
    looks = map_ahead(_look, (picture for _, picture in there))
    for done, ((example, picture), look) in enumerate(zip(there, looks, strict=True), 1):
        watcher.progress("decoding", done, len(there))
        if isinstance(look, PictureError):
            problems.append(Problem(path=example.path, kind=look.kind, message=str(look)))
        elif unfit := PICTURES.obstacle(picture, USUAL):
            problems.append(unfit)
        else:
            header, loss = look
            readable.append(example)
            pictures.append(picture)
            headers.append(header)
            if loss is not None:
                losses[picture.digest] = loss
    label_of = {name: i for i, name in enumerate(listing.class_names)}
    conflicts = find_conflicts([p.digest for _, p in there], [label_of[e.class_name] for e, _ in there])
    problems += conflict_problems(conflicts, [e.path for e, _ in there], ("class", "classes"))
    values = range_of(picture.facts.depth for picture in pictures if picture.facts)
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
        seen=seen_of(pictures, USUAL.resize),
        notices=(
            *notices(pictures, resize=AUTO, values=values, losses=losses),
            *listing.notices,
            *alike_names(listing.class_names),
        ),
    )


def _look(picture: Picture) -> tuple[Header, Loss | None] | PictureError:
    """The header, if the whole picture can be decoded; and whether the network's input would be one colour."""
    try:
        # A picture's own range: what leaves nothing by that of the set is told by `notices`.
        _, loss = PICTURES.render(picture, ("plain",), USUAL)
        return header_of(picture.source), loss
    except PictureError as reason:
        return reason


def _spread(sides: Sequence[int]) -> tuple[int, int, int]:
    return (min(sides), int(np.median(sides)), max(sides)) if sides else (0, 0, 0)


def _duplicates(there: Sequence[tuple[Example, Picture]]) -> tuple[tuple[str, ...], ...]:
    by_digest: dict[bytes, list[str]] = {}
    for example, picture in there:
        by_digest.setdefault(picture.digest, []).append(example.path)
    return tuple(tuple(paths) for paths in by_digest.values() if len(paths) > 1)
