"""Who is held out together: folds as even over classes as whole units allow.

A unit is what must not be divided: copies of a picture, a group that the user named. With a part of it learnt, the rest would be
recognised, and held-out scores would flatter.

N examples, K classes, F folds, U units.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]  # (N,)


def dealt(y: Labels, folds: int, seed: int, units: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """(N,): the fold, 0 … F - 1, that holds each example out.

    ``units`` (N,): examples with the same number stay together; None: each is one of its own. A class whose examples are all of one
    unit is divided after all, since nothing could be learnt of it while it is held out.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]  # by class, shuffled within
    fold_of = np.empty(len(y), np.int64)
    if units is None or len(np.unique(units)) == len(units):
        fold_of[order] = np.arange(len(y)) % folds  # counting on from class to class keeps folds even
        return fold_of
    units = _divided_where_a_class_has_one(y, units)
    members: dict[int, list[int]] = defaultdict(list)
    for i in order:
        members[int(units[i])].append(int(i))
    by_class = np.zeros((int(y.max()) + 1, folds), np.int64)
    # Large ones first, each to the fold that has fewest of its class, then fewest in all: what is small evens out what was large.
    for one in sorted(members.values(), key=lambda unit: -len(unit)):
        of_class, in_all = by_class[y[one[0]]], by_class.sum(axis=0)
        fold = min(range(folds), key=lambda f: (of_class[f], in_all[f]))
        fold_of[one] = fold
        np.add.at(by_class[:, fold], y[one], 1)
    return fold_of


def chosen_by_others(
    losses: Sequence[NDArray[np.float64]], held_out: Sequence[NDArray[Any]], fold_of: NDArray[np.int64]
) -> NDArray[Any]:
    """(N, …): of each example what was found by the candidate with the lowest loss on the *other* folds (S. Varma, R. Simon, BMC
    Bioinformatics 7:91, 2006), so that no example's own target had a part in choosing what it calibrates.

    ``losses``, ``held_out``: of each candidate (N,) and (N, …), of examples that it had not seen. ``fold_of`` (N,).
    """
    every, found = np.stack(losses), np.empty_like(held_out[0])
    for fold in np.unique(fold_of):
        inside = fold_of == fold
        found[inside] = held_out[int(every[:, ~inside].sum(axis=1).argmin())][inside]
    return found


def units_by_class(y: Labels, units: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """(K,): how many units of each class `dealt` deals."""
    return np.bincount(y) if units is None else _counted(y, _divided_where_a_class_has_one(y, units))


def _divided_where_a_class_has_one(y: Labels, units: NDArray[np.int64]) -> NDArray[np.int64]:
    divided = np.isin(y, np.flatnonzero(_counted(y, units) == 1))
    return np.where(divided, units.max() + 1 + np.arange(len(y)), units)


def _counted(y: Labels, units: NDArray[np.int64]) -> NDArray[np.int64]:
    pairs = np.unique(np.stack([y, units], axis=1), axis=0)
    return np.bincount(pairs[:, 0], minlength=int(y.max()) + 1)
