"""Pictures → views → engine(prefix) → store, once.

    scan     path, size, mtime → digest (file index; a file is read only when it is new or changed)
    extract  digest, view → row (store; only what is missing is decoded and computed)

Decode threads fill a bounded queue, the engine draws from it, rows are committed every 240 pictures or every second. Memory is that
of the queue, whatever the number of pictures. N pictures, V views, B batch, S image side, D features.
"""

import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.data.decoding import DECODER_ID, decode
from warmstart.data.hashing import digest_file
from warmstart.data.memory import in_memory
from warmstart.data.views import apply_view, needed_shorter_side_px, resize
from warmstart.engines.build import Prefix, ProofPictures, Proven, open_engine, resolve
from warmstart.engines.proof import PROOF_PICTURES
from warmstart.errors import PictureError
from warmstart.records import Picture, Preprocessing, Problem
from warmstart.store.cache import Store
from warmstart.store.key import recipe_key, row_key
from warmstart.store.row_format import UnstorableRowError
from warmstart.store.rows import DamagedRowsError, RowStore

# A kill loses at most one commit. 240 and not 256: up to a dozen pictures more are inside the engine at that moment.
COMMIT_ROWS = 240
COMMIT_SECONDS = 1.0

VERSION_SAMPLE = 8  # rows recomputed and compared when a library has changed since they were stored
ROW_TOLERANCE = 1e-3  # relative; a library that changes rows by more makes them another recipe's rows

PATH = "{path}"  # stands for the file's name in stored problems

if TYPE_CHECKING:
    from warmstart.backbones.chain import Backbone

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[str, int, int], None]  # (phase, done, total)


def silent(phase: str, done: int, total: int) -> None:
    """The progress that nobody watches."""


@dataclass
class Extraction:
    """Rows of N pictures, averaged over views, with what it cost."""

    rows: np.ndarray  # float16 or float32 (N, D), in the order of the pictures asked for; a broken picture's row is zero
    layout: tuple[tuple[str, int], ...]  # (tap, width) in column order
    broken: dict[int, Problem]  # position → why it has no row
    hits: int
    misses: int
    seconds: float
    notes: list[str] = field(default_factory=list)  # damaged rows recomputed, formats or versions changed


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
            problems.append(Problem(path=path, kind="missing", message=f"{path}: cannot be read ({reason.strerror})."))
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


def render(source: Any, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (3, S, S): the plain view of a picture: a path, encoded bytes, a PIL image or a uint8 array. Raises PictureError."""
    side = needed_shorter_side_px(preprocessing.size_px, preprocessing.resize)
    encoded = isinstance(source, (str, Path, bytes))
    picture = decode(source, shorter_side_px=side) if encoded else in_memory(source)
    return resize(picture, size_px=preprocessing.size_px, mode=preprocessing.resize)


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
    """The rows of these pictures, from the store where they are, computed and stored where not.

    ``engine`` and ``precision`` are resolved names (see `choose_engine`). Raises StoreError when the store is full or rows are not
    finite even in float32.
    """
    start = time.perf_counter()
    recipe = _recipe(prefix, preprocessing, engine, precision)
    notes: list[str] = []
    # Rows are kept in half precision, exact enough for bf16 arithmetic, unless this recipe was once seen to overflow it.
    narrow, wide = recipe | {"format": "float16"}, recipe | {"format": "float32"}
    chosen = wide if store.has(wide) else narrow

    def open_and_run(chosen: dict[str, Any]) -> Extraction:
        with store.rows(chosen, row_format=chosen["format"]) as rows:
            job = _Job(pictures, prefix, engine, precision, preprocessing, rows, graphs, on_progress, notes)
            return job.run()

    try:
        result = open_and_run(chosen)
    except UnstorableRowError:
        if chosen is wide:
            raise
        notes.append("features overflow half precision; stored as float32")
        result = open_and_run(wide)
    result.seconds = time.perf_counter() - start
    return result


def tapped_prefix(backbone: "Backbone", size_px: int) -> Prefix:
    """The whole backbone with every tap as output: what feature extraction runs."""
    from warmstart.backbones.taps import tapped
    from warmstart.backbones.weights import weights_digest

    key = prefix_key(backbone.spec.name, weights_digest(backbone), size_px)
    return Prefix(
        name=backbone.spec.name, key=key, size_px=size_px, layout=backbone.tap_layout(size_px), module=lambda: tapped(backbone)
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


@dataclass
class _Job:
    """One extraction over one open recipe."""

    pictures: Sequence[Picture]
    prefix: Prefix
    engine: str
    precision: str
    preprocessing: Preprocessing
    rows: RowStore
    graphs: Path
    on_progress: Progress
    notes: list[str]

    def run(self) -> Extraction:
        self._check_versions()
        width, views = sum(w for _, w in self.prefix.layout), self.preprocessing.views
        total = None
        missing: set[bytes] = set()
        for view in views:
            keys = [row_key(p.digest, view) for p in self.pictures]
            missing |= {keys[i] for i in self.rows.missing(keys)}
        misses = self._compute(missing)
        problems = self._problems()
        good = [i for i in range(len(self.pictures)) if i not in problems]
        for view in views:
            block = self._read([row_key(self.pictures[i].digest, view) for i in good], width)
            total = block if total is None else total.astype(np.float32) + block
        assert total is not None
        rows = np.zeros((len(self.pictures), width), dtype=total.dtype)
        rows[good] = total / np.float32(len(views)) if len(views) > 1 else total
        hits = len(self.pictures) * len(views) - misses
        return Extraction(rows, self.prefix.layout, problems, hits, misses, 0.0, self.notes)

    def _compute(self, missing: set[bytes]) -> int:
        """Decode, run and store; returns how many rows were computed."""
        if not missing:
            return 0
        todo = self._todo(missing)
        engine = open_engine(self.prefix, self.engine, self.precision, folder=self.graphs)
        pending: list[tuple[bytes, np.ndarray]] = []
        done, last_commit = 0, time.monotonic()
        for keys, computed in engine.map(self._batches(todo, engine.batch_size)):
            pending.extend(zip(keys, computed, strict=True))
            done += len(keys)
            self.on_progress("extracting", done, len(missing))
            if len(pending) >= COMMIT_ROWS or time.monotonic() - last_commit > COMMIT_SECONDS:
                self.rows.write(pending)
                pending, last_commit = [], time.monotonic()
        if pending:
            self.rows.write(pending)
        return done

    def _todo(self, missing: set[bytes]) -> list[tuple[Picture, list[tuple[bytes, str]]]]:
        """Each picture once, with the (row key, view) that it lacks: a picture is decoded once for all its views."""
        todo, left = [], set(missing)
        for picture in self.pictures:
            lacking = [(key, view) for view in self.preprocessing.views if (key := row_key(picture.digest, view)) in left]
            if lacking:
                todo.append((picture, lacking))
                left.difference_update(key for key, _ in lacking)
        return todo

    def _batches(
        self, todo: Iterable[tuple[Picture, list[tuple[bytes, str]]]], batch_size: int
    ) -> Iterator[tuple[list[bytes], np.ndarray]]:
        """(row keys, uint8 (B, 3, S, S)), decoded ahead by as many threads as there are cores, in a queue of bounded length."""
        per_task = max(1, batch_size // len(self.preprocessing.views))
        for keys, pixels in map_ahead(self._decode, chunks(todo, per_task)):
            if pixels is not None:
                yield keys, pixels

    def _decode(self, task: list[tuple[Picture, list[tuple[bytes, str]]]]) -> tuple[list[bytes], np.ndarray | None]:
        keys, views = [], []
        for picture, lacking in task:
            try:
                plain = render(picture.source, self.preprocessing)
            except PictureError as reason:
                # Kept by content, and the same bytes may lie elsewhere under another name.
                self.rows.write_problem(picture.digest, reason.kind, str(reason).replace(picture.path, PATH))
                continue
            for key, view in lacking:
                keys.append(key)
                views.append(apply_view(plain, view))
        return keys, np.stack(views) if views else None

    def _problems(self) -> dict[int, Problem]:
        found = self.rows.problems([p.digest for p in self.pictures])
        return {
            i: Problem(path=(path := self.pictures[i].path), kind=kind, message=message.replace(PATH, path))
            for i, (kind, message) in found.items()
        }

    def _read(self, keys: list[bytes], width: int) -> np.ndarray:
        """Rows by key. Damaged ones are dropped by the store, recomputed here and noted."""
        if not keys:
            return np.zeros((0, width), dtype=np.float32)
        for _ in range(3):
            try:
                return self.rows.read(keys)
            except DamagedRowsError as damage:
                self.notes.append(f"{len(damage.positions)} damaged rows in the store were computed again")
                self._compute({keys[i] for i in damage.positions})
        return self.rows.read(keys)

    def _check_versions(self) -> None:
        """Libraries changed since these rows were stored: recompute a few, compare, then keep all or none."""
        now, before = library_versions(), self.rows.versions()
        if before == now:
            return
        if before and self.rows.count():
            keys = {row_key(p.digest, view): (p, view) for p in self.pictures for view in self.preprocessing.views}
            absent = set(self.rows.missing(list(keys)))
            sample = [key for i, key in enumerate(keys) if i not in absent][:VERSION_SAMPLE]
            if sample:
                engine = open_engine(self.prefix, self.engine, self.precision, folder=self.graphs)
                todo = [(keys[key][0], [(key, keys[key][1])]) for key in sample]
                fresh = {k: row for ks, block in engine.map(self._batches(todo, 1)) for k, row in zip(ks, block, strict=True)}
                old = self._read(list(fresh), 0).astype(np.float32)
                new = np.stack(list(fresh.values()))
                if np.linalg.norm(old - new) > ROW_TOLERANCE * np.linalg.norm(new):
                    self.rows.clear()
                    self.notes.append(
                        f"stored rows differ under {json.dumps(now)} from {json.dumps(before)}; all computed again"
                    )
        self.rows.set_versions(now)
