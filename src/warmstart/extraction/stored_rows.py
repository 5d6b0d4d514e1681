"""The rows of one recipe: filled where they are missing, read where they lie.

Decode threads fill a bounded queue, the engine draws from it, rows are committed every 240 pictures or every second. N pictures, V views,
B batch, S image side, D features.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from warmstart import machine
from warmstart.engines.build import open_engine
from warmstart.errors import PictureError
from warmstart.extraction.prefetch import chunks, map_ahead
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.scanning import Progress, silent
from warmstart.extraction.workspace import Workspace
from warmstart.records import Picture, Problem
from warmstart.store.key import row_key
from warmstart.store.row_format import RowFormat, UnstorableRowError
from warmstart.store.rows import DamagedRowsError, RowStore

# A kill loses at most one commit. 240 and not 256: up to a dozen pictures more are inside the engine at that moment.
COMMIT_ROWS = 240
COMMIT_SECONDS = 1.0

VERSION_SAMPLE = 8  # rows recomputed and compared when a library has changed since they were stored
ROW_TOLERANCE = 1e-3  # relative; a library that changes rows by more makes them another recipe's rows

PATH = "{path}"  # stands for the file's name in stored problems

_Task = tuple[Picture, list[tuple[bytes, str]]]  # a picture, and (row key, view) of what it lacks


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What `StoredRows.fill` found and did."""

    hits: int  # rows that were there
    misses: int  # rows that had to be computed
    broken: dict[int, Problem]  # position → why the picture has no rows
    losses: dict[int, str]  # position → why the network sees one colour where the picture holds more: see `data.one_colour`


class StoredRows:
    """The rows of one recipe: filled where they are missing, read where they lie. A context manager.

    Half precision, exact enough for bf16 arithmetic, unless this recipe was once seen to overflow it.
    """

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        *,
        on_progress: Progress = silent,
    ) -> None:
        self.notes: list[str] = []  # damaged rows recomputed, formats or versions changed
        self._unreachable: dict[bytes, PictureError] = {}  # digest → why its bytes could not be had in this run
        self._recipe, self._workspace, self._on_progress = recipe, workspace, on_progress
        wide = _document(recipe, "float32")
        self._format: RowFormat = "float32" if workspace.store.has(wide) else "float16"
        self._rows = self._open()

    def fill(self, pictures: Sequence[Picture], views: Sequence[str]) -> Filled:
        """Compute and store the rows of these pictures in these views that are missing. Raises StoreError."""
        try:
            return self._fill(pictures, views)
        except UnstorableRowError as reason:
            if not reason.overflow or self._format == "float32":
                raise
            self.notes.append("features overflow half precision; stored as float32")
            self._rows.close()
            self._format = "float32"
            self._rows = self._open()
            return self._fill(pictures, views)

    def read(self, pictures: Sequence[Picture], views: Sequence[str]) -> np.ndarray:
        """(N, D) of the stored type, one view for each picture. Damaged rows are computed again, and noted."""
        if not pictures:
            return np.zeros((0, self._recipe.width), dtype=self._format)
        keys = [row_key(self._recipe.row_identity(picture), view) for picture, view in zip(pictures, views, strict=True)]
        for _ in range(2):
            try:
                return self._rows.read(keys)
            except DamagedRowsError as damage:
                self.notes.append(f"{len(damage.positions)} damaged rows in the store were computed again")
                for i in damage.positions:
                    self._compute([pictures[i]], [views[i]])
        return self._rows.read(keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._rows.close()

    def _open(self) -> RowStore:
        return self._workspace.store.rows(_document(self._recipe, self._format), row_format=self._format)

    def _fill(self, pictures: Sequence[Picture], views: Sequence[str]) -> Filled:
        unfit = self._recipe.unfit(pictures)
        whole = [picture for i, picture in enumerate(pictures) if i not in unfit]
        self._check_versions(whole, views)
        misses = self._compute(whole, views)
        found = self._rows.problems([self._recipe.row_identity(picture) for picture in pictures])
        broken = unfit | {
            i: Problem(path=(path := pictures[i].path), kind=kind, message=message.replace(PATH, path))
            for i, (kind, message) in found.items()
            if i not in unfit
        }
        for i, picture in enumerate(pictures):
            if i not in broken and (reason := self._unreachable.get(picture.digest)):
                broken[i] = Problem(path=picture.path, kind=reason.kind, message=str(reason).replace(PATH, picture.path))
        usable = len(pictures) - len(broken)
        losses = self._rows.remarks([self._recipe.row_identity(picture) for picture in pictures])
        return Filled(
            hits=usable * len(views) - misses,
            misses=misses,
            broken=broken,
            losses={i: loss for i, loss in losses.items() if i not in broken},
        )

    def _compute(self, pictures: Sequence[Picture], views: Sequence[str]) -> int:
        """Decode, run and store what is missing; returns how many rows were computed. What another process is at is waited for."""
        computed = 0
        while missing := _keys(self._missing(pictures, views)):
            with self._rows.claimed(missing) as claim:
                # Asked again: somebody may have been done between the two.
                todo = [
                    (picture, own)
                    for picture, lacking in self._missing(pictures, views)
                    if (own := [(key, view) for key, view in lacking if key in claim.ours])
                ]
                computed += self._computed(todo)
            if not claim.others:
                break
            self._on_progress("waiting for another run", 0, len(missing) - len(claim.ours))
            claim.wait()
        return computed

    def _computed(self, todo: list[_Task]) -> int:
        total = len(_keys(todo))
        if not total:
            return 0
        engine = open_engine(self._recipe.prefix, self._recipe.engine, self._recipe.precision, folder=self._workspace.graphs)
        pending: list[tuple[bytes, np.ndarray]] = []
        done, last_commit = 0, time.monotonic()
        for keys, computed in engine.map(self._batches(todo, engine.batch_size)):
            pending.extend(zip(keys, computed, strict=True))
            done += len(keys)
            self._on_progress("extracting", done, total)
            if len(pending) >= COMMIT_ROWS or time.monotonic() - last_commit > COMMIT_SECONDS:
                self._rows.write(pending)
                pending, last_commit = [], time.monotonic()
        self._rows.write(pending)
        self._on_progress("extracting", total, total)  # broken pictures have no row, but are done with as well
        return done

    def _missing(self, pictures: Sequence[Picture], views: Sequence[str]) -> list[_Task]:
        """Each picture once, with the (row key, view) that it lacks: a picture is decoded once for all its views."""
        wanted = {row_key(self._recipe.row_identity(picture), view): (picture, view) for picture in pictures for view in views}
        keys = list(wanted)
        todo: dict[bytes, _Task] = {}
        for i in self._rows.missing(keys):
            picture, view = wanted[keys[i]]
            if picture.digest not in self._unreachable:
                todo.setdefault(picture.digest, (picture, []))[1].append((keys[i], view))
        return list(todo.values())

    def _batches(self, todo: list[_Task], batch_size: int) -> Iterator[tuple[list[bytes], np.ndarray]]:
        """(row keys, uint8 (B, 3, S, S)), decoded ahead by as many threads as there are cores, in a queue of bounded length."""
        views = max(len(lacking) for _, lacking in todo)
        for keys, pixels in map_ahead(self._decode, chunks(todo, max(1, batch_size // views))):
            for at in range(0, len(keys), batch_size):
                yield keys[at : at + batch_size], np.stack(pixels[at : at + batch_size])

    def _decode(self, tasks: list[_Task]) -> tuple[list[bytes], list[np.ndarray]]:
        keys: list[bytes] = []
        pixels: list[np.ndarray] = []
        for picture, lacking in tasks:
            try:
                rendered, loss = self._recipe.renderer.render(
                    picture, [view for _, view in lacking], self._recipe.preprocessing
                )
                pixels += rendered
                keys += [key for key, _ in lacking]
                if loss is not None:
                    self._rows.write_remark(self._recipe.row_identity(picture), loss)
            except PictureError as reason:
                if reason.transient:  # this run's alone: nothing is known of the bytes
                    self._unreachable[picture.digest] = reason
                else:  # kept by content, and the same bytes may lie elsewhere under another name
                    self._rows.write_problem(
                        self._recipe.row_identity(picture), reason.kind, str(reason).replace(picture.path, PATH)
                    )
        return keys, pixels

    def _check_versions(self, pictures: Sequence[Picture], views: Sequence[str]) -> None:
        """Libraries changed since these rows were stored: recompute a few, compare, then keep all or none."""
        now, before = library_versions(), self._rows.versions()
        if before == now:
            return
        wanted = {row_key(self._recipe.row_identity(picture), view): (picture, view) for picture in pictures for view in views}
        absent = set(self._rows.missing(list(wanted)))
        there = [key for i, key in enumerate(wanted) if i not in absent and not self._rows.problems([key])]
        if before and there and not self._agree({key: wanted[key] for key in there[:VERSION_SAMPLE]}):
            self._rows.clear()
            self.notes.append(f"stored rows differ under {json.dumps(now)} from {json.dumps(before)}; all are computed again")
        self._rows.set_versions(now)

    def _agree(self, sample: dict[bytes, tuple[Picture, str]]) -> bool:
        """Whether stored rows are what would be computed now."""
        engine = open_engine(self._recipe.prefix, self._recipe.engine, self._recipe.precision, folder=self._workspace.graphs)
        todo = [(picture, [(key, view)]) for key, (picture, view) in sample.items()]
        fresh = {key: row for keys, rows in engine.map(self._batches(todo, 1)) for key, row in zip(keys, rows, strict=True)}
        if not fresh:  # none of these can be decoded any more
            return False
        stored = np.concatenate([self.read([sample[key][0]], [sample[key][1]]) for key in fresh]).astype(np.float32)
        computed = np.stack(list(fresh.values()))
        return bool(np.linalg.norm(stored - computed) <= ROW_TOLERANCE * np.linalg.norm(computed))


def _keys(todo: Sequence[_Task]) -> list[bytes]:
    return [key for _, lacking in todo for key, _ in lacking]


def count_missing(recipe: Recipe, workspace: Workspace, pictures: Sequence[Picture], views: Sequence[str]) -> int:
    """How many rows `StoredRows.fill` would compute. Creates nothing in the store."""
    wanted = {row_key(recipe.row_identity(picture), view) for picture in pictures for view in views}
    formats: tuple[RowFormat, ...] = ("float32", "float16")
    for row_format in formats:
        document = _document(recipe, row_format)
        if workspace.store.has(document):
            with workspace.store.rows(document, row_format=row_format) as rows:
                return len(rows.missing(list(wanted)))
    return len(wanted)


def library_versions() -> dict[str, str]:
    """Versions of what computes pixels and rows. They stand beside the rows, not in their key."""
    return machine.versions("pillow", "openvino", "timm", "torch", "torchvision")


def _document(recipe: Recipe, row_format: RowFormat) -> dict[str, Any]:
    return recipe.document() | {"format": row_format}
