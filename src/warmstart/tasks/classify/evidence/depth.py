"""The depth profile: what a linear probe reads at every stage, and where it stops getting better.

    taps of one pass → per stage: cross-validated probe, k-NN → information about the class, in bits

Information is H(Y) - held-out log-loss: what a linear probe can use of what the stage knows (predictive V-information; Y. Xu et al., ICLR
2020). Unlike accuracy it uses how sure each picture was, so it moves smoothly and can be compared on a hundred pictures.
N examples, D features of one stage.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array
from warmstart.tasks.classify.evidence.knn_accuracy import knn_accuracy
from warmstart.tasks.classify.evidence.probing import HeldOut, cross_validated
from warmstart.tasks.classify.heads.protocol import Labels

AS_GOOD_Z = 1.64  # a stage is as good as the best when the best is not better at the 5 % level, one-sided, pictures paired


@dataclass(frozen=True, kw_only=True)
class StageProbe:
    """One stage, read by a probe that has not seen the picture."""

    tap: str
    accuracy: float
    accuracy_ci95: tuple[float, float]
    knn_accuracy: float
    information_bits: float  # at least 0; H(Y) would be all there is to know


@dataclass(frozen=True, kw_only=True)
class DepthProfile:
    """All stages in the order of the network, the pooled features last."""

    stages: tuple[StageProbe, ...]
    class_entropy_bits: float
    best: str  # the stage with the most information
    first_as_good: str  # the earliest stage that is not shown to be worse than the best
    early_share: float | None  # information in the first half of the stages over that of the best; None where none is found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def depth_profile(
    read: Callable[[str], Array],
    taps: Sequence[str],
    y: Labels,
    *,
    n_classes: int,
    seed: int,
    units: NDArray[np.int64] | None = None,
) -> DepthProfile:
    """``read(tap)`` gives the features (N, D) of a stage; ``taps`` are stages in the order of the network, then 'pooled'; ``units`` (N,)
    as in `heads.folds`.
    """
    entropy = class_entropy(y)
    stages: list[StageProbe] = []
    losses: list[NDArray[np.float64]] = []
    for tap in taps:
        X = read(tap)
        held_out = cross_validated(X, y, n_classes=n_classes, seed=seed, units=units)
        stages.append(_stage(tap, held_out, knn_accuracy(X, y, units=units), entropy))
        losses.append(held_out.losses)
    best = min(range(len(taps)), key=lambda i: losses[i].mean())
    return DepthProfile(
        stages=tuple(stages),
        class_entropy_bits=entropy / math.log(2),
        best=taps[best],
        first_as_good=next(tap for tap, own in zip(taps, losses, strict=True) if _as_good(own, losses[best])),
        early_share=early_share([stage.information_bits for stage in stages], _noise_bits(losses[best])),
    )


def early_share(information: Sequence[float], noise: float) -> float | None:
    """The most information in the first half of the stages over the most anywhere, 0 … 1; None where the most is within ``noise`` of 0.

    Near 1: textures and parts say all that can be said, and what the later stages were trained to see adds nothing. Low: the
    source's later stages, its objects and their parts, are what tells the target's classes apart.
    """
    most = max(information)
    if most <= noise:
        return None
    return max(information[: (len(information) + 1) // 2]) / most


def class_entropy(y: Labels) -> float:
    """H(Y) of the class shares, nats."""
    shares = np.bincount(y) / len(y)
    return float(-np.sum(shares * np.log(np.where(shares > 0, shares, 1))))


def _stage(tap: str, held_out: HeldOut, knn: float, entropy: float) -> StageProbe:
    return StageProbe(
        tap=tap,
        accuracy=held_out.accuracy,
        accuracy_ci95=held_out.accuracy_ci95,
        knn_accuracy=knn,
        information_bits=max(0.0, (entropy - float(held_out.losses.mean())) / math.log(2)),
    )


def _as_good(losses: NDArray[np.float64], best: NDArray[np.float64]) -> bool:
    excess = losses - best
    return bool(excess.mean() <= AS_GOOD_Z * excess.std() / math.sqrt(len(excess)))


def _noise_bits(losses: NDArray[np.float64]) -> float:
    """What a mean loss of so many pictures moves by, two standard errors."""
    return float(2 * losses.std() / math.sqrt(len(losses)) / math.log(2))
