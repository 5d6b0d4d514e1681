"""Which pictures an epoch visits, in which order, in which view: pure functions of (seed, epoch).

N examples, K classes, V views.
"""

import numpy as np
from numpy.typing import NDArray

from warmstart.training.randomness import generator

Indices = NDArray[np.int64]


def epoch_order(seed: int, epoch: int, n: int) -> Indices:
    """(N,): every example once, shuffled."""
    return generator(seed, "order", epoch).permutation(n)


def balanced_order(seed: int, epoch: int, labels: Indices) -> Indices:
    """(N,): every class that occurs in ``labels`` (N,) equally often (to one), shuffled.

    An example of a large class comes at most once, one of a small class comes again only when all of its class have come.
    """
    random = generator(seed, "order", epoch)
    classes = random.permutation(np.unique(labels))  # so that what N leaves over goes to other classes each epoch
    shares = np.full(len(classes), len(labels) // len(classes))
    shares[: len(labels) % len(classes)] += 1
    return random.permutation(
        np.concatenate(
            [_repeated(random, np.flatnonzero(labels == k), share) for k, share in zip(classes, shares, strict=True)]
        )
    )


def epoch_views(seed: int, epoch: int, n: int, n_views: int) -> Indices:
    """(N,): the view, 0 … V-1, that is drawn at each place of the epoch's order."""
    return generator(seed, "views", epoch).integers(n_views, size=n)


def _repeated(random: np.random.Generator, members: Indices, count: int) -> Indices:
    rounds = -(-count // len(members))
    return np.concatenate([random.permutation(members) for _ in range(rounds)])[:count]
