"""Pictures → views → engine(prefix) → store, once.

    scan     path, size, mtime → digest (file index; a file is read only when it is new or changed)
    extract  digest, view → row (store; only what is missing is decoded and computed)

Decode threads fill a bounded queue, the engine draws from it, rows are committed every 240 pictures or every second. Memory is that
of the queue, whatever the number of pictures. N pictures, V views, B batch, S image side, D features.
"""

import itertools
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.data.augmentation import decode_side_px, render_view
from warmstart.data.decoding import DECODER_ID, decode
from warmstart.data.hashing import digest_file
from warmstart.data.memory import in_memory
from warmstart.data.views import needed_shorter_side_px, resize
from warmstart.engines.build import Prefix, ProofPictures, Proven, open_engine, resolve
from warmstart.engines.proof import PROOF_PICTURES
from warmstart.errors import PictureError
from warmstart.records import Picture, Preprocessing, Problem
from warmstart.store.cache import Store
from warmstart.store.key import recipe_key, row_key
from warmstart.store.row_format import RowFormat, UnstorableRowError
from warmstart.store.rows import DamagedRowsError, RowStore

# A kill loses at most one commit. 240 and not 256: up to a dozen pictures more are inside the engine at that moment.
COMMIT_ROWS = 240
COMMIT_SECONDS = 1.0

VERSION_SAMPLE = 8  # rows recomputed and compared when a library has changed since they were stored
ROW_TOLERANCE = 1e-3  # relative; a library that changes rows by more makes them another recipe's rows

PATH = "{path}"  # stands for the file's name in stored problems

if TYPE_CHECKING:
    from PIL.Image import Image

    from warmstart.backbones.chain import Backbone

T = TypeVar("T")
R = TypeVar("R")

_Task = tuple[Picture, list[tuple[bytes, str]]]  # a picture, and (row key, view) of what it lacks

Progress = Callable[[str, int, int], None]  # (phase, done, total)


def silent(phase: str, done: int, total: int) -> None:
    """The progress that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Rows of N pictures, averaged over views, with what it cost."""

    rows: np.ndarray  # float16 or float32 (N, D), in the order of the pictures asked for; a broken picture's row is zero
    layout: tuple[tuple[str, int], ...]  # (tap, width) in column order
    broken: dict[int, Problem]  # position → why it has no row
    hits: int
    misses: int
    seconds: float
    notes: Sequence[str]  # damaged rows recomputed, formats or versions changed


def columns(rows: np.ndarray, layout: Sequence[tuple[str, int]], taps: Sequence[str]) -> np.ndarray:
    """The columns of these taps as float32 (N, D)."""
    starts = dict(zip((tap for tap, _ in layout), itertools.accumulate((w for _, w in layout), initial=0), strict=False))
    widths = dict(layout)
    out = np.empty((len(rows), sum(widths[tap] for tap in taps)), dtype=np.float32)
    at = 0
    for tap in taps:
        out[:, at : at + widths[tap]] = rows[:, starts[tap] : starts[tap] + widths[tap]]
        at += widths[tap]
    return out


def scan(paths: Sequence[str], store: Store, *, on_progress: Progress = silent) -> tuple[list[bytes | None], list[Problem]]:
    """The digest of each file (None where it cannot be read) and what is wrong with those. Known files are not opened."""
    stats: list[tuple[str, int, int] | None] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            info = Path(path).stat()
            stats.append((str(Path(path).absolute()), info.st_size, info.st_mtime_ns))
        except OSError as reason:
            stats.append(None)
            kind = "permission" if isinstance(reason, PermissionError) else "missing"
            message = f"{path!r} cannot be read ({reason.strerror}): check the path and its permissions, or leave it out"
            problems.append(Problem(path=path, kind=kind, message=message))
    there = [i for i, stat in enumerate(stats) if stat is not None]
    digests: list[bytes | None] = [None] * len(paths)
    for i, known in zip(there, store.index.lookup([stats[i] for i in there]), strict=True):  # type: ignore[misc]
        digests[i] = known
    unknown = [i for i in there if digests[i] is None]

    def read(i: int) -> tuple[int, bytes | PictureError]:
        try:
            return i, digest_file(paths[i])
        except PictureError as reason:
            return i, reason

    with ThreadPoolExecutor(machine.cores()) as threads:
        for done, (i, result) in enumerate(threads.map(read, unknown), 1):
            if isinstance(result, PictureError):
                problems.append(Problem(path=paths[i], kind=result.kind, message=str(result)))
            else:
                digests[i] = result
            on_progress("reading", done, len(unknown))
    store.index.put([(*stats[i], digests[i]) for i in unknown if digests[i] is not None])  # type: ignore[misc]
    return digests, problems


def render_views(picture: Picture, views: Sequence[str], preprocessing: Preprocessing) -> list[np.ndarray]:
    """uint8 (3, S, S) for each view of one picture. Raises PictureError."""
    size_px, mode = preprocessing.size_px, preprocessing.resize
    decoded: dict[
        int, Image
    ] = {}  # a view's pixels must not depend on the company it is computed in, so each asks for its own size
    rendered = []
    for view in views:
        side = decode_side_px(size_px, mode, (view,))
        if side not in decoded:
            decoded[side] = _decoded(picture.source, side)
        rendered.append(render_view(decoded[side], view, digest=picture.digest, size_px=size_px, mode=mode))
    return rendered


def render(source: Any, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (3, S, S): the plain view of a picture: a path, encoded bytes, a PIL image or a uint8 array. Raises PictureError."""
    side = needed_shorter_side_px(preprocessing.size_px, preprocessing.resize)
    return resize(_decoded(source, side), size_px=preprocessing.size_px, mode=preprocessing.resize)


def _decoded(source: Any, shorter_side_px: int) -> "Image":
    if isinstance(source, (str, Path, bytes)):
        return decode(source, shorter_side_px=shorter_side_px)
    return in_memory(source)


def choose_engine(
    pictures: Sequence[Picture], prefix: Prefix, preprocessing: Preprocessing, *, engine: str, precision: str, graphs: Path
) -> Proven:
    """The fastest engine that proves itself on 16 of these pictures: those with the smallest digests that can be decoded."""
    first = sorted({p.digest: p for p in pictures}.values(), key=lambda p: p.digest)[: 2 * PROOF_PICTURES]

    def load() -> np.ndarray:
        rendered = []
        for picture in first:
            try:
                rendered.append(render(picture.source, preprocessing))
            except PictureError:
                continue
            if len(rendered) == PROOF_PICTURES:
                break
        if not rendered:  # everything broken: prove on noise; the caller will say that no picture is left
            rendered = list(np.random.default_rng(0).integers(0, 256, (4, 3, prefix.size_px, prefix.size_px), dtype=np.uint8))
        return np.stack(rendered)

    key = b"".join(p.digest for p in first).hex() + preprocessing.resize
    return resolve(prefix, ProofPictures(key=key, load=load), engine=engine, precision=precision, folder=graphs)


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter. (itertools.batched is Python 3.12's.)"""
    source = iter(items)
    while chunk := list(itertools.islice(source, size)):
        yield chunk


def map_ahead(work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
    """work(task) in order, done ahead by one thread a core, at most 2 × cores + 2 results waiting: the bounded queue."""
    source = iter(tasks)
    with ThreadPoolExecutor(machine.cores()) as threads:
        queue: deque[Future[R]] = deque(
            threads.submit(work, task) for task in itertools.islice(source, 2 * machine.cores() + 2)
        )
        while queue:
            result = queue.popleft().result()
            queue.extend(threads.submit(work, task) for task in itertools.islice(source, 1))
            yield result


def extract(
    pictures: Sequence[Picture],
    *,
    prefix: Prefix,
    engine: str,
    precision: str,
    preprocessing: Preprocessing,
    store: Store,
    graphs: Path,
    on_progress: Progress = silent,
) -> Extraction:
    """The rows of these pictures averaged over views, from the store where they are, computed and stored where not.

    ``engine`` and ``precision`` are resolved names (see `choose_engine`). Raises StoreError when the store is full or rows are not
    finite even in float32. For rows that do not fit in memory, or views apart, see `StoredRows`.
    """
    start = time.perf_counter()
    views = preprocessing.views
    with StoredRows(
        store, prefix, engine=engine, precision=precision, preprocessing=preprocessing, graphs=graphs, on_progress=on_progress
    ) as stored:
        filled = stored.fill(pictures, views)
        good = [i for i in range(len(pictures)) if i not in filled.broken]
        total = stored.read([pictures[i] for i in good], [views[0]] * len(good))
        for view in views[1:]:
            total = total.astype(np.float32) + stored.read([pictures[i] for i in good], [view] * len(good))
    rows = np.zeros((len(pictures), *total.shape[1:]), dtype=total.dtype)
    rows[good] = total / np.float32(len(views)) if len(views) > 1 else total
    return Extraction(
        rows=rows,
        layout=prefix.layout,
        broken=filled.broken,
        hits=filled.hits,
        misses=filled.misses,
        seconds=time.perf_counter() - start,
        notes=stored.notes,
    )


def tapped_prefix(backbone: "Backbone", size_px: int) -> Prefix:
    """The whole backbone with every tap as output: what feature extraction runs."""
    from warmstart.backbones.taps import tapped
    from warmstart.backbones.weights import weights_digest

    key = prefix_key(backbone.spec.name, weights_digest(backbone), size_px)
    return Prefix(
        name=backbone.spec.name, key=key, size_px=size_px, layout=backbone.tap_layout(size_px), module=partial(tapped, backbone)
    )


def cut_prefix(backbone: "Backbone", cut: str, tap_names: tuple[str, ...], size_px: int) -> Prefix:
    """The part left of a cut, with these taps of it and the activations at the cut as output: what a suffix is trained on."""
    from warmstart.backbones.taps import tapped_up_to
    from warmstart.backbones.weights import weights_digest

    widths = dict(backbone.tap_layout(size_px))
    activations = math.prod(backbone.shapes(size_px)[cut])
    whole = prefix_key(backbone.spec.name, weights_digest(backbone), size_px)
    return Prefix(
        name=f"{backbone.spec.name} up to {cut}",
        key=recipe_key({"backbone": whole, "cut": cut, "taps": list(tap_names)}),
        size_px=size_px,
        layout=(*((tap, widths[tap]) for tap in tap_names), ("activations", activations)),
        module=partial(tapped_up_to, backbone, cut, tap_names),
    )


def prefix_key(architecture: str, weights: str, size_px: int) -> str:
    """The identity of `tapped_prefix`'s numbers, known without building a network: `weights` is the digest of its tensors."""
    spec = find(architecture)
    normalisation = [repr(value) for value in (*spec.mean, *spec.std)]
    identity = {"architecture": spec.name, "weights": weights, "size_px": size_px, "normalisation": normalisation}
    return recipe_key(identity | {"outputs": "mean and deviation of stages, pooled, max"})


def _recipe(prefix: Prefix, preprocessing: Preprocessing, engine: str, precision: str) -> dict[str, Any]:
    """What changes the numbers, as plain data; its digest names the rows. The view is part of the row's key instead."""
    return {
        "architecture": prefix.name,
        "prefix": prefix.key,
        "layout": [list(tap) for tap in prefix.layout],
        "size_px": preprocessing.size_px,
        "resize": preprocessing.resize,
        "decoder": DECODER_ID,
        "engine": engine,
        "precision": precision,
    }


def library_versions() -> dict[str, str]:
    """Versions of what computes pixels and rows. They stand beside the rows, not in their key."""
    return {name: version(name) for name in ("pillow", "openvino", "torch")}


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What `StoredRows.fill` found and did."""

    hits: int  # rows that were there
    misses: int  # rows that had to be computed
    broken: dict[int, Problem]  # position → why the picture has no rows


class StoredRows:
    """The rows of one recipe: filled where they are missing, read where they lie. A context manager.

    Half precision, exact enough for bf16 arithmetic, unless this recipe was once seen to overflow it.
    """

    def __init__(
        self,
        store: Store,
        prefix: Prefix,
        *,
        engine: str,
        precision: str,
        preprocessing: Preprocessing,
        graphs: Path,
        on_progress: Progress = silent,
    ) -> None:
        self.notes: list[str] = []  # damaged rows recomputed, formats or versions changed
        self._store, self._prefix, self._engine, self._precision = store, prefix, engine, precision
        self._preprocessing, self._graphs, self._on_progress = preprocessing, graphs, on_progress
        self._recipe = _recipe(prefix, preprocessing, engine, precision)
        self._format: RowFormat = "float32" if store.has(self._recipe | {"format": "float32"}) else "float16"
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
        width = sum(width for _, width in self._prefix.layout)
        if not pictures:
            return np.zeros((0, width), dtype=self._format)
        keys = [row_key(picture.digest, view) for picture, view in zip(pictures, views, strict=True)]
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
        return self._store.rows(self._recipe | {"format": self._format}, row_format=self._format)

    def _fill(self, pictures: Sequence[Picture], views: Sequence[str]) -> Filled:
        self._check_versions(pictures, views)
        misses = self._compute(pictures, views)
        found = self._rows.problems([picture.digest for picture in pictures])
        broken = {
            i: Problem(path=(path := pictures[i].path), kind=kind, message=message.replace(PATH, path))
            for i, (kind, message) in found.items()
        }
        usable = len(pictures) - len(broken)
        return Filled(hits=usable * len(views) - misses, misses=misses, broken=broken)

    def _compute(self, pictures: Sequence[Picture], views: Sequence[str]) -> int:
        """Decode, run and store what is missing; returns how many rows were computed."""
        todo = self._missing(pictures, views)
        total = sum(len(lacking) for _, lacking in todo)
        if not total:
            return 0
        engine = open_engine(self._prefix, self._engine, self._precision, folder=self._graphs)
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
        wanted = {row_key(picture.digest, view): (picture, view) for picture in pictures for view in views}
        keys = list(wanted)
        todo: dict[bytes, _Task] = {}
        for i in self._rows.missing(keys):
            picture, view = wanted[keys[i]]
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
                pixels += render_views(picture, [view for _, view in lacking], self._preprocessing)
                keys += [key for key, _ in lacking]
            except PictureError as reason:
                # Kept by content, and the same bytes may lie elsewhere under another name.
                self._rows.write_problem(picture.digest, reason.kind, str(reason).replace(picture.path, PATH))
        return keys, pixels

    def _check_versions(self, pictures: Sequence[Picture], views: Sequence[str]) -> None:
        """Libraries changed since these rows were stored: recompute a few, compare, then keep all or none."""
        now, before = library_versions(), self._rows.versions()
        if before == now:
            return
        wanted = {row_key(picture.digest, view): (picture, view) for picture in pictures for view in views}
        absent = set(self._rows.missing(list(wanted)))
        there = [key for i, key in enumerate(wanted) if i not in absent and not self._rows.problems([key])]
        if before and there and not self._agree({key: wanted[key] for key in there[:VERSION_SAMPLE]}):
            self._rows.clear()
            self.notes.append(f"stored rows differ under {json.dumps(now)} from {json.dumps(before)}; all are computed again")
        self._rows.set_versions(now)

    def _agree(self, sample: dict[bytes, tuple[Picture, str]]) -> bool:
        """Whether stored rows are what would be computed now."""
        engine = open_engine(self._prefix, self._engine, self._precision, folder=self._graphs)
        todo = [(picture, [(key, view)]) for key, (picture, view) in sample.items()]
        fresh = {key: row for keys, rows in engine.map(self._batches(todo, 1)) for key, row in zip(keys, rows, strict=True)}
        if not fresh:  # none of these can be decoded any more
            return False
        stored = np.concatenate([self.read([sample[key][0]], [sample[key][1]]) for key in fresh]).astype(np.float32)
        computed = np.stack(list(fresh.values()))
        return bool(np.linalg.norm(stored - computed) <= ROW_TOLERANCE * np.linalg.norm(computed))
