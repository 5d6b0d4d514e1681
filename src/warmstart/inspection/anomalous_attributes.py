"""Pictures of a shape, size or colour that hardly another picture of the data has, and classes out of balance.

The thresholds are rules of thumb. Each asks first whether the opposite is the rule.

N pictures, K classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

RARE = 0.05  # what more than this share of pictures has is not odd
GREY_LEVELS = 3.0  # chroma, of 255: JPEG's colour noise on a grey picture stays below
ELONGATION_FACTOR = 1.6  # times more or less than the median; 4:3 beside a square is 1.33, 16:9 is 1.78
SMALL_SHARE = 0.25  # of the median's shorter side
FEW = 20  # pictures of a class: below, one picture of a held-out tenth or so decides its score
IMBALANCE = 20.0  # largest class over smallest


def odd_colours(chroma: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of grey pictures among colour ones, and of colour among grey; one of the two is empty. ``chroma`` (N,), 0 … 255."""
    grey = chroma < GREY_LEVELS
    nothing = np.empty(0, np.int64)
    if 0 < grey.mean() <= RARE:
        return np.flatnonzero(grey), nothing
    if 0 < np.mean(~grey) <= RARE:
        return nothing, np.flatnonzero(~grey)
    return nothing, nothing


def odd_shapes(width: NDArray[np.integer], height: NDArray[np.integer]) -> dict[int, str]:
    """Position → what is odd, of (N,) upright sizes in px."""
    elongation = np.maximum(width, height) / np.minimum(width, height)
    median = float(np.median(elongation))
    found: dict[int, str] = {}
    far = np.abs(np.log(elongation / median)) > np.log(ELONGATION_FACTOR)
    if far.mean() <= RARE:
        for i in np.flatnonzero(far):
            found[int(i)] = (
                f"{width[i]} × {height[i]} px: the sides are as 1 to {elongation[i]:.2f}, the median is {median:.2f}"
            )
    for lying, name, others in ((width > height, "landscape", "portrait"), (width < height, "portrait", "landscape")):
        opposite = (width < height) if name == "landscape" else (width > height)
        if 0 < lying.mean() <= RARE and opposite.mean() >= 0.5:
            for i in np.flatnonzero(lying):
                found.setdefault(int(i), f"{width[i]} × {height[i]} px: {name}, {opposite.mean():.0%} are {others}")
    return found


def very_small(width: NDArray[np.integer], height: NDArray[np.integer], *, needed_px: int) -> dict[int, str]:
    """Position → why, of pictures that are enlarged for the network and far smaller than the others."""
    shorter = np.minimum(width, height)
    median = float(np.median(shorter))
    small = (shorter < needed_px) & (shorter < SMALL_SHARE * median)
    return {
        int(i): f"{width[i]} × {height[i]} px; the network's input takes {needed_px}, the median is {median:.0f}"
        for i in np.flatnonzero(small)
    }


def odd_classes(counts: Mapping[str, int]) -> Sequence[tuple[str, str]]:
    """(what was found, what to do) about the sizes of classes."""
    found = []
    for name, count in counts.items():
        if count < FEW:
            found.append((f"class {name!r} has {count} picture{'s' if count != 1 else ''}", f"collect at least {FEW}"))
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[largest] > IMBALANCE * counts[smallest]:
        found.append(
            (
                f"class {largest!r} has {counts[largest]:,} pictures, {smallest!r} has {counts[smallest]:,}",
                "look at the macro-F1, not the accuracy, and try --class-weight balanced",
            )
        )
    return found
