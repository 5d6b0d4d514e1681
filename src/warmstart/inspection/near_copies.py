"""Near copies: features say which pictures are alike, the pixels whether they are the same photograph.

    neighbours in features → candidate pairs → thumbnails laid over one another → groups

N pictures, P pairs.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warmstart.inspection.neighbours import Neighbours
from warmstart.inspection.registration import agreement

Pairs = NDArray[np.int64]  # (P, 2), ascending in each row
Look = Callable[[NDArray[np.int64]], NDArray[np.uint8]]  # positions (M,) → thumbnails (M, S, S, 3)

# Cosine of standardised features. Planted copies had at least 0.67 and were always each other's nearest; ten copies of one
# picture are found through one another, so farther neighbours need to be looked at only where they are very close.
NEAREST_ALIKE = 0.55
OTHERS_ALIKE = 0.75
OTHERS = 3
# Where pictures are taken by a machine of much the same thing (solar cells), some agree with dozens of others as closely as copies
# do, and no rule on two pictures can tell. A group larger than this is called alike, not copies.
CROWD = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class NearCopies:
    """What was found among N pictures."""

    groups: tuple[tuple[int, ...], ...]  # of copies, each ascending
    alike: tuple[tuple[int, ...], ...]  # larger groups, of which nothing can be said
    pairs: dict[tuple[int, int], tuple[float, float]]  # every pair that agrees → its residual and detail, see `registration`
    compared: int  # pairs that were laid over one another


def find_near_copies(neighbours: Neighbours, look: Look, *, alike: float = NEAREST_ALIKE) -> NearCopies:
    """``look`` is asked once, for the pictures of all candidates. ``alike``: cosine below which a nearest neighbour is not one."""
    pairs = candidates(neighbours, alike=alike)
    if not len(pairs):
        return NearCopies(groups=(), alike=(), pairs={}, compared=0)
    looked_at, where = np.unique(pairs, return_inverse=True)
    thumbnails, where = look(looked_at), where.reshape(pairs.shape)
    found = agreement(thumbnails[where[:, 0]], thumbnails[where[:, 1]])
    same = np.flatnonzero(found.same)
    joined = groups(pairs[same], len(neighbours.index))
    return NearCopies(
        groups=tuple(group for group in joined if len(group) <= CROWD),
        alike=tuple(group for group in joined if len(group) > CROWD),
        pairs={(int(pairs[p, 0]), int(pairs[p, 1])): (float(found.residual[p]), float(found.detail[p])) for p in same},
        compared=len(pairs),
    )


def candidates(neighbours: Neighbours, *, alike: float = NEAREST_ALIKE) -> Pairs:
    """Pairs worth laying over one another: each picture with its nearest, and with its next few where they are very close."""
    depth = min(neighbours.index.shape[1], 1 + OTHERS)
    enough = np.full(depth, max(alike, OTHERS_ALIKE), np.float32)
    enough[:1] = alike
    picture, rank = np.nonzero(neighbours.cosine[:, :depth] >= enough)
    pairs = np.sort(np.stack([picture, neighbours.index[picture, rank]], axis=1), axis=1)
    return np.unique(pairs, axis=0).astype(np.int64)


def groups(pairs: Iterable[Sequence[int]], n: int) -> tuple[tuple[int, ...], ...]:
    """The connected components with at least two of N pictures, each ascending, by their first picture."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.array([tuple(pair) for pair in pairs], np.int64).reshape(-1, 2)
    _, component = connected_components(coo_array((np.ones(len(edges)), edges.T), shape=(n, n)), directed=False)
    members: dict[int, list[int]] = {}
    for i in np.unique(edges):
        members.setdefault(int(component[i]), []).append(int(i))
    return tuple(tuple(found) for found in sorted(members.values()))
