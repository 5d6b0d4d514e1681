"""Which pictures an epoch visits, in which order, in which view: pure functions of (seed, epoch).

N examples, V views.
"""

import numpy as np
from numpy.typing import NDArray

from warmstart.training.randomness import generator

Indices = NDArray[np.int64]


def epoch_order(seed: int, epoch: int, n: int) -> Indices:
    """(N,): every example once, shuffled."""
    return generator(seed, "order", epoch).permutation(n)


def balanced_order(seed: int, epoch: int, kinds: Indices) -> Indices:
    """(N,): every kind that occurs in ``kinds`` (N,), such as a class, equally often (to one), shuffled.

    An example of a frequent kind comes at most once, one of a rare kind comes again only when all of its kind have come.
    """
    random = generator(seed, "order", epoch)
    found = random.permutation(np.unique(kinds))  # so that what N leaves over goes to other kinds each epoch
    shares = np.full(len(found), len(kinds) // len(found))
    shares[: len(kinds) % len(found)] += 1
    return random.permutation(
        np.concatenate([_repeated(random, np.flatnonzero(kinds == k), share) for k, share in zip(found, shares, strict=True)])
    )


def epoch_views(seed: int, epoch: int, n: int, n_views: int) -> Indices:
    """(N,): the view, 0 … V-1, that is drawn at each place of the epoch's order."""
    return generator(seed, "views", epoch).integers(n_views, size=n)


def _repeated(random: np.random.Generator, members: Indices, count: int) -> Indices:
    rounds = -(-count // len(members))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:count]
