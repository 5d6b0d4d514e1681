"""From which probability on a label is said: its own best F1 on held-out pictures, the rarer the nearer to what is best for all together.

    logit tₒ = s · logit(own best) + (1 - s) · logit(best for all)        s = n₊ / (n₊ + `LEAN`),  n₊ held-out pictures with the label

The own best threshold of a label with few pictures is a lucky one; the one for all labels has the largest F1 over all entries (micro).

N pictures, O labels.
"""

import numpy as np
from numpy.typing import NDArray

from warmstart.tasks.multilabel.calibration import logit, sigmoid

LEAN = 20.0
LIMITS = (0.05, 0.95)


def thresholds(probabilities: NDArray[np.floating], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(O,), for probabilities and truth (N, O), 1, 0 or NaN where it is unknown."""
    known = ~np.isnan(truth)
    common = best(probabilities[known], truth[known] == 1)
    found = []
    for p, y, at in zip(probabilities.T, truth.T, known.T, strict=True):
        has = float((y == 1).sum())
        own = best(p[at], y[at] == 1) if has else common
        share = has / (has + LEAN)
        found.append(share * logit(np.array(own)) + (1 - share) * logit(np.array(common)))
    return np.clip(sigmoid(np.array(found, np.float64)), *LIMITS)


def best(probabilities: NDArray[np.floating], truth: NDArray[np.bool_]) -> float:
    """From which of these (n,) on F1 is largest, halfway to the next lower one; one half where nothing is true."""
    if not truth.any():
        return 0.5
    p = probabilities.astype(np.float64)
    order = np.argsort(-p, kind="stable")
    found, said = np.cumsum(truth[order]), np.arange(1, len(p) + 1)
    f1 = 2 * found / (said + truth.sum())
    p = p[order]
    ends = np.r_[p[:-1] != p[1:], True]  # equal probabilities are all said or none
    at = int(np.where(ends, f1, -1).argmax())
    lower = p[at + 1] if at + 1 < len(p) else 0.0
    return float(np.clip((p[at] + lower) / 2, *LIMITS))
