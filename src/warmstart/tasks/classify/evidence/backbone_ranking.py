"""Which of several backbones suits the data: probes on their own features, on ever more pictures, the weaker half leaving.

Successive halving (K. Jamieson, A. Talwalkar, AISTATS 2016) with pictures as the resource. A backbone leaves only when the next better
one is ahead by more than chance: among equals the cheap one should win by its price, not lose by luck.

C candidates, N pictures, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warmstart.evaluation.intervals import paired_bootstrap
from warmstart.heads.standardising import Array
from warmstart.tasks.classify.evidence.probing import HeldOut, cross_validated
from warmstart.tasks.classify.heads.protocol import Labels

FIRST_PICTURES = 200
MOST_PICTURES = 800


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a candidate ended. ``tied_with_best``: on the same pictures the best is not ahead by more than chance."""

    name: str
    accuracy: float  # held out by folds, on as many pictures as it saw
    accuracy_ci95: tuple[float, float]
    information_loss: float  # held-out log-loss, nats: what places are decided by
    pictures: int
    rounds: int
    tied_with_best: bool


def compete(
    names: Sequence[str],
    features: Callable[[str, NDArray[np.int64]], Array],
    labels: Labels,
    order: NDArray[np.int64],
    *,
    n_classes: int,
    seed: int,
    units: NDArray[np.int64] | None = None,
) -> tuple[Place, ...]:
    """Best first. ``features(name, positions)`` are (len(positions), D of that backbone); ``order`` (N,) says which pictures come first;
    ``units`` (N,) as in `heads.folds`.
    """
    n, left, number = min(FIRST_PICTURES, len(order)), list(names), 0
    last: dict[str, tuple[int, int, HeldOut]] = {}
    while True:
        number += 1
        chosen = np.sort(order[:n])
        for name in left:
            last[name] = (
                number,
                n,
                cross_validated(
                    features(name, chosen),
                    labels[chosen],
                    n_classes=n_classes,
                    seed=seed,
                    units=None if units is None else units[chosen],
                ),
            )
        left.sort(key=lambda name: float(last[name][2].losses.mean()))
        whole = n >= min(MOST_PICTURES, len(order))
        if whole or len(left) == 1:
            break
        half = -(-len(left) // 2)
        marginal = last[left[half - 1]][2]
        left = left[:half] + [name for name in left[half:] if not ahead(marginal, last[name][2])]
        n = min(2 * n, MOST_PICTURES, len(order))
    ranked = sorted(last, key=lambda name: (-last[name][0], float(last[name][2].losses.mean())))
    best = last[ranked[0]][2]
    return tuple(
        Place(
            name=name,
            accuracy=held_out.accuracy,
            accuracy_ci95=held_out.accuracy_ci95,
            information_loss=float(held_out.losses.mean()),
            pictures=pictures,
            rounds=rounds,
            tied_with_best=len(held_out.correct) == len(best.correct) and not ahead(best, held_out),
        )
        for name in ranked
        for rounds, pictures, held_out in [last[name]]
    )


def ahead(better: HeldOut, other: HeldOut) -> bool:
    """Whether the accuracy of ``better`` is above by more than chance: 95 % interval of the difference on the same pictures above 0."""
    return paired_bootstrap(better.correct, other.correct)[0] > 0
