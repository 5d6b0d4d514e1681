"""Some pictures in place of all: a draw by kind that hangs on their content, so that other pictures hardly move it. N pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from warmstart.data.hashing import keyed_hash
from warmstart.records import Picture


def drawn(pictures: Sequence[Picture], labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most about ``most`` pictures, ascending, every class by its share and at least two of each that has them.

    A smaller draw is part of a larger one, and another picture changes a few places at most, so what was computed for one serves the next.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    ranks = ranking(pictures, seed)
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        wanted = max(min(2, len(members)), round(len(members) * most / len(labels)))
        chosen.append(members[np.argsort(ranks[members])[:wanted]])
    return np.sort(np.concatenate(chosen))


def ranking(pictures: Sequence[Picture], seed: int) -> NDArray[np.int64]:
    """The place of each picture in a random order that hangs on its content and the seed alone."""
    keys = [keyed_hash(b"drawn " + picture.digest, seed) for picture in pictures]
    places = np.empty(len(keys), np.int64)
    places[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return places
