"""The features of a set of pictures, averaged over views, and their columns by tap. N pictures, D features."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from warmstart.data.geometry import Geometry
from warmstart.records import Problem


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Rows of N pictures, averaged over views, with what it cost."""

    rows: np.ndarray  # float16 or float32 (N, D), or (N, V, D) with the views apart; a broken picture's row is zero
    layout: tuple[tuple[str, int], ...]  # (tap, width) in column order
    broken: dict[int, Problem]  # position → why it has no row
    # Position → why the network sees one colour where the picture holds more: see `data.one_colour`.
    losses: dict[int, str] = field(default_factory=dict)
    hits: int
    misses: int
    seconds: float
    notes: Sequence[str]  # damaged rows recomputed, formats or versions changed


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of N pictures, to be read by the names of what they hold. V views of each, one after the other, where these are kept apart."""

    values: np.ndarray  # float16 or float32 (N · V, D)
    layout: tuple[tuple[str, int], ...]  # (tap, width) in column order
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # stage → (C, H, W), of maps
    views: int = 1  # V
    places: Sequence[Geometry] | None = None  # of each row, where the task asks for it

    def __len__(self) -> int:
        return len(self.values) // self.views

    def features(self, taps: Sequence[str]) -> np.ndarray:
        """float32 (N · V, D of these taps)."""
        return columns(self.values, self.layout, taps)

    def map(self, stage: str) -> np.ndarray:
        """float32 (N · V, C, H, W): what a stage gave."""
        return columns(self.values, self.layout, [f"map of {stage}"]).reshape(-1, *self.shapes[stage])

    def at(self, positions: np.ndarray) -> "Rows":
        """Of the pictures at these positions."""
        rows = (positions[:, None] * self.views + np.arange(self.views)).ravel()
        places = None if self.places is None else [self.places[i] for i in rows.tolist()]
        return replace(self, values=self.values[rows], places=places)


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
