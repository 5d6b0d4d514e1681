"""The features of a set of pictures, averaged over views, and their columns by tap. N pictures, D features."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from warmstart.records import Problem


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Rows of N pictures, to be read by the names of what they hold."""

    values: np.ndarray  # float16 or float32 (N, D)
    layout: tuple[tuple[str, int], ...]  # (tap, width) in column order

    def __len__(self) -> int:
        return len(self.values)

    def features(self, taps: Sequence[str]) -> np.ndarray:
        """float32 (N, D of these taps)."""
        return columns(self.values, self.layout, taps)

    def at(self, positions: np.ndarray) -> "Rows":
        """Those at these positions."""
        return replace(self, values=self.values[positions])


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
