"""How good labels are: whether the right pictures come first, what is said rightly, what is missed. Unknown entries count nowhere.

average precision (AP)  Σ (Rₖ - Rₖ₋₁) Pₖ over the distinct probabilities of one label, as scikit-learn has it, without interpolation
mAP macro               the mean over labels that some picture has;   micro: of all entries as one list
F1 micro, macro         2 tp / (2 tp + fp + fn), of all entries; the mean over labels that are there or are said
F1 samples              of each picture, 1 where it has no label and none is said; the mean over pictures
Hamming                 share of entries that are wrong;   subset accuracy: pictures without a wrong entry
LRAP                    of each label of a picture, the share of true ones among those as high; the mean (1 where it has none, or all)
recall                  share of a picture's labels that are said, the mean over pictures that have one

"Of prior" is what always giving each label its share in train comes to, a label said where that is ½ or more; "of all" is saying every
label of every picture. Intervals are bootstrap percentiles over pictures (B. Efron, R. Tibshirani, 1993, chapter 13), the same pictures
drawn for every score; for subset accuracy and recall the score interval (`evaluation.intervals.wilson`), which is never of width 0.

N pictures, O labels, R resamples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.evaluation.intervals import wilson

Interval = tuple[float, float]
Booleans = NDArray[np.bool_]
RESAMPLES, FEWEST_RESAMPLES = 1000, 200
MOST_WORK = 100_000_000  # drawn entries over all resamples: some seconds on two cores
BLOCK = 2_000_000  # drawn entries at once
SEED = 0  # of the resamples


@dataclass(frozen=True, kw_only=True)
class LabelScores:
    """On one split. None: it cannot be said, as where no picture has a label."""

    n: int
    map_macro: float | None
    map_macro_ci95: Interval | None
    map_macro_of_prior: float | None
    map_micro: float | None
    map_micro_ci95: Interval | None
    map_micro_of_prior: float | None
    f1_micro: float
    f1_micro_ci95: Interval
    f1_micro_of_all: float
    f1_macro: float
    f1_macro_ci95: Interval
    f1_macro_of_all: float
    f1_samples: float
    f1_samples_ci95: Interval
    hamming: float
    hamming_ci95: Interval
    hamming_of_prior: float
    subset_accuracy: float
    subset_accuracy_ci95: Interval
    subset_accuracy_of_prior: float
    lrap: float
    lrap_ci95: Interval
    lrap_of_prior: float
    recall: float | None
    recall_ci95: Interval | None
    recall_asked: float | None
    said_a_picture: float  # labels that are said of a picture
    labels_a_picture: float  # that it has
    labels: Mapping[str, Mapping[str, Any]]  # each label's own numbers and counts
    used_for_choosing: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def score(
    probabilities: NDArray[np.floating],
    said: Booleans,
    truth: NDArray[np.float64],
    *,
    names: Sequence[str],
    usual: NDArray[np.float64],
    recall_asked: float | None,
    used_for_choosing: bool,
) -> LabelScores:
    """Probabilities, what is said, and truth, (N, O) each, truth NaN where it is unknown; ``usual`` (O,): shares of train."""
    known = ~np.isnan(truth)
    has, said = truth == 1, said & known
    usually = np.broadcast_to(usual, truth.shape)
    columns = _Columns(probabilities, has, known)
    by_prior = usually >= 0.5
    drawn = _Drawn(len(truth), truth.size)
    aps, micro = columns.of_labels(None)[0], columns.of_all(None)[0]
    resampled = _resampled(drawn, columns, said, has, known, _lrap(probabilities, has, known))
    points = _of_counts(np.ones((1, len(truth))), said, has, known)
    everything = _of_counts(np.ones((1, len(truth))), known, has, known)
    wanted = has.any(axis=1)
    recall = (said & has).sum(axis=1)[wanted] / has.sum(axis=1)[wanted]
    right = ~((said != has) & known).any(axis=1)
    shares = has.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return LabelScores(
        n=len(truth),
        map_macro=_mean(aps),
        map_macro_ci95=_ends(resampled["map_macro"]),
        map_macro_of_prior=_mean(np.where(has.any(axis=0), shares, np.nan)),
        map_micro=_number(micro),
        map_micro_ci95=_ends(resampled["map_micro"]),
        map_micro_of_prior=_number(_Columns(usually, has, known).of_all(None)[0]),
        f1_micro=float(points["f1_micro"][0]),
        f1_micro_ci95=_sure(resampled["f1_micro"]),
        f1_micro_of_all=float(everything["f1_micro"][0]),
        f1_macro=float(points["f1_macro"][0]),
        f1_macro_ci95=_sure(resampled["f1_macro"]),
        f1_macro_of_all=float(everything["f1_macro"][0]),
        f1_samples=float(points["f1_samples"][0]),
        f1_samples_ci95=_sure(resampled["f1_samples"]),
        hamming=float(points["hamming"][0]),
        hamming_ci95=_sure(resampled["hamming"]),
        hamming_of_prior=float(((by_prior != has) & known).sum() / known.sum()),
        subset_accuracy=float(right.mean()),
        subset_accuracy_ci95=wilson(int(right.sum()), len(right)),
        subset_accuracy_of_prior=float((~((by_prior != has) & known).any(axis=1)).mean()),
        lrap=float(_lrap(probabilities, has, known).mean()),
        lrap_ci95=_sure(resampled["lrap"]),
        lrap_of_prior=float(_lrap(usually, has, known).mean()),
        recall=float(recall.mean()) if len(recall) else None,
        recall_ci95=wilson(round(float(recall.sum())), len(recall)) if len(recall) else None,
        recall_asked=recall_asked,
        said_a_picture=float(said.sum() / len(said)),
        labels_a_picture=float(has.sum() / len(has)),
        labels={
            name: _label(aps[o], resampled["labels"][:, o], said[:, o], has[:, o], known[:, o], float(usual[o]))
            for o, name in enumerate(names)
        },
        used_for_choosing=used_for_choosing,
    )


def average_precisions(ranks: NDArray[np.floating], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(O,), NaN for a label that no picture has, for anything (N, O) that is the higher the likelier, and truth as of `score`."""
    return np.asarray(_Columns(ranks, truth == 1, ~np.isnan(truth)).of_labels(None)[0])


class _Columns:
    """Entries put in order of their probability once, so that the average precision of any drawn pictures is a few sums."""

    def __init__(self, probabilities: NDArray[np.floating], has: Booleans, known: Booleans) -> None:
        self._labels = [
            _Ranked(np.flatnonzero(at), p[at], y[at]) for p, y, at in zip(probabilities.T, has.T, known.T, strict=True)
        ]
        self._all = _Ranked(np.nonzero(known)[0], probabilities[known], has[known])

    def of_labels(self, counts: NDArray[np.floating] | None) -> NDArray[np.float64]:
        """(R, O); NaN where no drawn picture has the label."""
        return np.stack([one.average_precision(counts) for one in self._labels], axis=1)

    def of_all(self, counts: NDArray[np.floating] | None) -> NDArray[np.float64]:
        """(R,)."""
        return self._all.average_precision(counts)


class _Ranked:
    """Some entries: of which pictures they are, their probabilities, whether they are true."""

    def __init__(self, pictures: NDArray[np.int64], p: NDArray[np.floating], y: Booleans) -> None:
        order = np.argsort(-p, kind="stable")
        self._pictures, self._y = pictures[order], y[order]
        p = p[order]
        self._ends = np.flatnonzero(np.r_[p[:-1] != p[1:], True]) if len(p) else np.zeros(0, np.int64)

    def average_precision(self, counts: NDArray[np.floating] | None) -> NDArray[np.float64]:
        """(R,), for how often each picture is drawn (R, N); None: once."""
        w = np.ones((1, len(self._pictures))) if counts is None else counts[:, self._pictures]
        if not self._y.any():
            return np.full(len(w), np.nan)
        found = np.cumsum(np.where(self._y, w, 0), axis=1)[:, self._ends]
        said = np.cumsum(w, axis=1)[:, self._ends]
        steps = np.diff(found, axis=1, prepend=0)
        total = found[:, -1]
        ap = (steps * found / np.maximum(said, 1e-12)).sum(axis=1) / np.maximum(total, 1e-12)
        return np.asarray(np.where(total > 0, ap, np.nan))


class _Drawn:
    """Pictures drawn with replacement, a block of resamples at a time."""

    def __init__(self, n: int, entries: int) -> None:
        self._n, self._rounds = n, int(np.clip(MOST_WORK // max(entries, 1), FEWEST_RESAMPLES, RESAMPLES))
        self._at_once = max(1, BLOCK // max(entries, 1))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """How often each picture is drawn, (R, N); whole numbers, which float32 adds exactly up to 16 million entries."""
        random = np.random.default_rng(SEED)
        for start in range(0, self._rounds, self._at_once):
            rows = min(self._at_once, self._rounds - start)
            counts = [np.bincount(random.integers(self._n, size=self._n), minlength=self._n) for _ in range(rows)]
            yield np.stack(counts).astype(np.float32)


def _resampled(
    drawn: _Drawn, columns: _Columns, said: Booleans, has: Booleans, known: Booleans, lrap: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    blocks: list[dict[str, NDArray[np.float64]]] = []
    for counts in drawn.blocks():
        labels = columns.of_labels(counts)
        there = ~np.isnan(labels)
        macro = np.where(there, labels, 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
        blocks.append(
            {
                "labels": labels,
                "map_macro": np.where(there.any(axis=1), macro, np.nan),
                "map_micro": columns.of_all(counts),
                "lrap": counts @ lrap / counts.sum(axis=1),
                **_of_counts(counts, said, has, known),
            }
        )
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _of_counts(counts: NDArray[np.floating], said: Booleans, has: Booleans, known: Booleans) -> dict[str, NDArray[np.float64]]:
    """What depends on what is said, (R,) each, for how often each picture is drawn (R, N)."""
    right, wrong = (said & has).astype(np.float64), ((said != has) & known).astype(np.float64)
    tp, off = counts @ right, counts @ wrong  # (R, O)
    size = 2 * tp + off
    occurs = size > 0
    f1 = 2 * tp / np.maximum(size, 1)
    of_picture = 2 * right.sum(axis=1) + wrong.sum(axis=1)
    samples = np.where(of_picture > 0, 2 * right.sum(axis=1) / np.maximum(of_picture, 1), 1.0)
    return {
        "f1_micro": 2 * tp.sum(axis=1) / np.maximum(size.sum(axis=1), 1),
        "f1_macro": (f1 * occurs).sum(axis=1) / np.maximum(occurs.sum(axis=1), 1),
        "f1_samples": counts @ samples / counts.sum(axis=1),
        "hamming": off.sum(axis=1) / np.maximum(counts @ known.sum(axis=1), 1),
    }


def _lrap(probabilities: NDArray[np.floating], has: Booleans, known: Booleans) -> NDArray[np.float64]:
    """(N,)."""
    out = np.ones(len(has))
    for i in np.flatnonzero(has.any(axis=1) & (~has & known).any(axis=1)):
        p, y = probabilities[i, known[i]], has[i, known[i]]
        as_high = p[None, :] >= p[y][:, None]  # (true, known)
        out[i] = float((as_high[:, y].sum(axis=1) / as_high.sum(axis=1)).mean())
    return out


def _label(
    ap: float, drawn: NDArray[np.float64], said: Booleans, has: Booleans, known: Booleans, usual: float
) -> dict[str, Any]:
    tp = int((said & has).sum())
    return {
        "pictures": int(has.sum()),
        "known": int(known.sum()),
        "ap": _number(ap),
        "ap_ci95": None if np.isnan(ap) else _ends(drawn),
        "ap_of_prior": float(has.sum() / known.sum()) if has.any() else None,
        "precision": tp / int(said.sum()) if said.any() else None,
        "recall": tp / int(has.sum()) if has.any() else None,
        "f1": 2 * tp / int(said.sum() + has.sum()) if said.any() or has.any() else None,
        "said": int(said.sum()),
        "share_in_train": usual,
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    found = values[~np.isnan(values)]
    return float(found.mean()) if len(found) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _ends(values: NDArray[np.float64]) -> Interval | None:
    found = values[~np.isnan(values)]
    return _sure(found) if len(found) else None


def _sure(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
