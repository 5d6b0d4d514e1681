"""How unlike the pictures of training a picture is: the distance to its nearest neighbours among them, as a percentile.

    features ── scaled to length 1 ──► distance to the 5th nearest of the bank ──► percentile among the bank's own such distances

Y. Sun, Y. Ming, X. Zhu, Y. Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022: no assumption about how
features are distributed, the length of a feature vector is taken out, and a small sample of training pictures does as well as all. Measured
here against Mahalanobis distances (K. Lee et al., NeurIPS 2018): `docs/trust.md`.

A percentile of 99 reads: of a hundred pictures like those of training, ninety-nine lie nearer to the others. It is one minus a
conformal p-value (S. Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51, 2023).

N pictures, D features, M pictures in the bank.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = (
    5  # 1 is at the mercy of a single odd picture in the bank (area under the ROC curve 0.72 for noise); 5 and 20 were alike
)
BANK = 1000  # pictures at most; the area under the ROC curve was the same with 300, 1,000 and 3,409
BLOCK = 1024  # rows at once: a distance matrix of 4 MB
UNLIKE = 99.0  # percentile from which a picture is called unlike training: one of a hundred like it is called so by mistake


@dataclass(frozen=True, kw_only=True, eq=False)
class Novelty:
    """What is kept of the pictures of training to tell others by."""

    taps: tuple[str, ...]  # what features are read from
    bank: NDArray[np.float16]  # (M, D), each row of length 1
    reference: NDArray[np.float32]  # (M,), ascending: the distances of the bank's pictures from the rest of it

    @classmethod
    def of(cls, features: NDArray[np.floating], taps: tuple[str, ...], *, seed: int) -> Self | None:
        """From features (N, D) of pictures like those that are to pass as known; None for fewer than two, which have no distance."""
        if len(features) < 2:
            return None
        chosen = np.random.default_rng(seed).permutation(len(features))[:BANK]
        bank = _directions(features[np.sort(chosen)]).astype(np.float16)
        reference = np.sort(_distances(bank.astype(np.float32), bank, leave_out_itself=True))
        return cls(taps=taps, bank=bank, reference=reference)

    def distance(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N,), 0 … 2, of features (N, D)."""
        return _distances(_directions(features), self.bank)

    def percentile(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N,), 0 … 100: the share of the bank's pictures that are nearer to the rest of it than these are to the bank."""
        return 100 * np.searchsorted(self.reference, self.distance(features)) / len(self.reference)

    def settings(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"taps": list(self.taps)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By name."""
        return {"bank": self.bank, "reference": self.reference}

    @classmethod
    def from_arrays(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The inverse of `settings` and `arrays`. Raises ValueError for what cannot be: the file may be anybody's."""
        bank, reference = arrays["bank"], arrays["reference"]
        if bank.ndim != 2 or bank.dtype != np.float16 or len(bank) < 2 or not np.isfinite(bank).all():
            raise ValueError("'trust.novelty.bank', expected at least two finite rows of float16")
        if reference.shape != bank.shape[:1] or reference.dtype != np.float32 or not np.isfinite(reference).all():
            raise ValueError(f"'trust.novelty.reference', expected {len(bank)} finite float32")
        if np.any(np.diff(reference) < 0):
            raise ValueError("'trust.novelty.reference', which is not in ascending order")
        return cls(taps=tuple(settings["taps"]), bank=bank, reference=reference)


def _directions(features: NDArray[np.floating]) -> NDArray[np.float32]:
    rows = features.astype(np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny))


def _distances(rows: NDArray[np.float32], bank: NDArray[np.float16], *, leave_out_itself: bool = False) -> NDArray[np.float32]:
    """To the `NEIGHBOURS`-th nearest, or the farthest where the bank is smaller; of unit vectors, |a - b|² = 2 - 2ab."""
    known = bank.astype(np.float32)
    skipped = int(leave_out_itself)
    place = min(NEIGHBOURS, len(known) - skipped) - 1 + skipped
    out = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        squared = 2 - 2 * rows[start : start + BLOCK] @ known.T
        if leave_out_itself:
            inside = np.arange(len(squared))
            squared[inside, start + inside] = -np.inf  # itself comes first, whatever was rounded, and is skipped
        out[start : start + BLOCK] = np.sqrt(np.maximum(np.partition(squared, place, axis=1)[:, place], 0))
    return out
