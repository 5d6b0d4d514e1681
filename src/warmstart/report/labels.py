"""Labels in a column beside what they name, moved up or down just enough not to overlap."""

from collections.abc import Sequence

import numpy as np


def spread(wanted: Sequence[float], heights: Sequence[float], *, low: float, high: float) -> list[float]:
    """Centres for labels of these ``heights`` that want their centres at ``wanted``, in the given order of both.

    None overlaps another, all lie within low … high, their order is that of ``wanted``, and the sum of squared moves is the
    smallest possible. Raises ValueError when they are higher than the column.

    Stack the labels without gaps and let oᵢ be the centre of label i in the stack: centres cᵢ keep their distance where
    cᵢ - oᵢ does not fall. So what is wanted is the non-falling sequence nearest to wantedᵢ - oᵢ, which is isotonic
    regression: pool neighbours that are out of order into their mean (M. Ayer et al., Annals of Mathematical Statistics 26,
    1955). Clipping it to what low and high allow keeps it the nearest one.
    """
    total = float(sum(heights))
    if total > high - low:
        raise ValueError(f"labels of {total:g} in all do not fit a column from {low:g} to {high:g}")
    order = np.argsort(wanted, kind="stable")
    sizes = np.asarray(heights, float)[order]
    offsets = np.cumsum(sizes) - sizes / 2
    pools: list[tuple[float, int]] = []  # mean, how many
    for target in np.asarray(wanted, float)[order] - offsets:
        mean, count = float(target), 1
        while pools and pools[-1][0] > mean:
            before, n = pools.pop()
            mean, count = (mean * count + before * n) / (count + n), count + n
        pools.append((mean, count))
    base = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    centres = np.empty(len(sizes))
    centres[order] = np.clip(base, low, high - total) + offsets
    return [float(centre) for centre in centres]
