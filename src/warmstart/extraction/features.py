"""The features of a set of pictures, averaged over views, and their columns by tap. N pictures, D features."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from warmstart.engines.build import Prefix
from warmstart.extraction.scanning import Progress, silent
from warmstart.extraction.stored_rows import StoredRows
from warmstart.records import Picture, Preprocessing, Problem
from warmstart.store.cache import Store


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Rows of N pictures, averaged over views, with what it cost."""

    rows: np.ndarray  # float16 or float32 (N, D), in the order of the pictures asked for; a broken picture's row is zero
    layout: tuple[tuple[str, int], ...]  # (tap, width) in column order
    broken: dict[int, Problem]  # position → why it has no row
    # Position → why the network sees one colour where the picture holds more: see `data.one_colour`.
    losses: dict[int, str] = field(default_factory=dict)
    hits: int
    misses: int
    seconds: float
    notes: Sequence[str]  # damaged rows recomputed, formats or versions changed


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
        losses=filled.losses,
        hits=filled.hits,
        misses=filled.misses,
        seconds=time.perf_counter() - start,
        notes=stored.notes,
    )


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
