"""How the probe's error falls with the number of pictures, and what more of them would bring.

    folds × shares of their training part → held-out error → error = a + b · n^-c → what n + N pictures would bring

A power law above a floor is what learning curves mostly look like (C. Cortes et al., NeurIPS 1993; T. Viering, M. Loog, "The
Shape of Learning Curves: a Review", IEEE TPAMI 2023). Its parameters are uncertain from five points, so the answer comes with an interval;
it is not asked further out than twice the pictures there are, nor further beyond the points than they span themselves.

N examples, S shares, R resamples, C exponents.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array
from warmstart.tasks.classify.evidence.probing import folds_of
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.tasks.classify.heads.protocol import Labels

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
EXPONENTS = np.linspace(0.1, 1.5, 29)  # measured ones lie between 0.07 and 1; below 0.1 a curve is flat at any size we meet
RESAMPLES = 300
REACH = SHARES[-1] / SHARES[0]  # times the largest size that was measured; beyond it nothing is said
FEWEST = 5  # pictures per class at the smallest share; a share below that is left out

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """Measured points and the extrapolation. ``images_per_class`` are means over classes."""

    images_per_class: tuple[float, ...]
    error: tuple[float, ...]  # held out, 0 … 1
    floor: float  # a of a + b · n^-c
    exponent: float  # c
    more_images_per_class: int  # as many as there are
    gain: float | None  # of accuracy, 0 … 1, that so many more would bring; None beyond `REACH`
    gain_ci95: tuple[float, float] | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def learning_curve(
    X: Array,
    y: Labels,
    *,
    n_classes: int,
    penalty: float,
    seed: int,
    there_are: int,
    units: NDArray[np.int64] | None = None,
) -> LearningCurve | None:
    """The curve of a linear probe on X (N, D) with ``penalty`` chosen for all of it; None where there are too few pictures for two points.

    ``units`` (N,) as in `heads.folds`. ``there_are``: pictures in all, of which these N were drawn; what as many more would bring is
    counted from there.
    The penalty is a prior: per picture it is the heavier the fewer there are (as in `heads.selection.same_prior`).
    """
    fold_of = folds_of(y, seed, units)
    fitted_per_class = len(y) * (1 - 1 / (fold_of.max() + 1)) / n_classes
    shares = [share for share in SHARES if share * fitted_per_class >= FEWEST]
    if len(shares) < 2:
        return None
    wrong = np.zeros((len(shares), len(y)), bool)
    for fold in range(int(fold_of.max()) + 1):
        held_out, rest = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        ranked = _ranked_within_class(y[rest], seed + fold)
        for s, share in enumerate(shares):
            chosen = rest[ranked < share]
            head = _fitted(X[chosen], y[chosen], penalty * len(rest) / len(chosen), n_classes)
            wrong[s, held_out] = head.logits(X[held_out]).argmax(axis=1) != y[held_out]
    sizes = np.array(shares) * fitted_per_class
    now = there_are / n_classes
    error, more = wrong.mean(axis=1), round(now)
    floor, scale, exponent = (float(value[0]) for value in fit_power_law(sizes, error[None]))
    gain, interval = None, None
    if now + more <= REACH * sizes[-1]:
        gains = gain_of(fit_power_law(sizes, _resampled(wrong, seed)), now, now + more)
        gain = float(gain_of((np.array([floor]), np.array([scale]), np.array([exponent])), now, now + more)[0])
        gain = min(gain, float(error[-1]))  # there is no more to be gained
        low, high = np.quantile(gains, [0.025, 0.975])
        interval = (min(float(low), gain), max(min(float(high), float(error[-1])), gain))
    return LearningCurve(
        images_per_class=tuple(sizes.tolist()),
        error=tuple(error.tolist()),
        floor=floor,
        exponent=exponent,
        more_images_per_class=more,
        gain=gain,
        gain_ci95=interval,
    )


def fit_power_law(sizes: Floats, errors: Floats) -> tuple[Floats, Floats, Floats]:
    """(a, b, c), each (R,), of a + b · n^-c with a, b ≥ 0, by least squares for each row of ``errors`` (R, S) at ``sizes`` (S,).

    For a given c the problem is linear in a and b; c is taken from a grid, so there is nothing that could fail to converge.
    """
    best = np.full(len(errors), np.inf)
    a, b, c = (np.zeros(len(errors)) for _ in range(3))
    for exponent in EXPONENTS:
        basis = (sizes / sizes[-1]) ** -exponent  # scaled, so that a and b are of one size
        centred = basis - basis.mean()
        slope = np.maximum((errors * centred).sum(axis=1) / (centred @ centred), 0)
        level = errors.mean(axis=1) - slope * basis.mean()
        below = level < 0  # then the floor is 0 and the slope that of a line through it
        slope = np.where(below, (errors * basis).sum(axis=1) / (basis @ basis), slope)
        level = np.maximum(level, 0)
        loss = ((errors - level[:, None] - slope[:, None] * basis) ** 2).sum(axis=1)
        better = loss < best - 1e-15
        best = np.where(better, loss, best)
        a, b = np.where(better, level, a), np.where(better, slope * sizes[-1] ** exponent, b)
        c = np.where(better, exponent, c)
    return a, b, c


def gain_of(law: tuple[Floats, Floats, Floats], now: float, then: float) -> Floats:
    """(R,) how much the error falls from ``now`` to ``then`` pictures."""
    _, b, c = law
    gain: Floats = b * (now**-c - then**-c)
    return gain


def _fitted(X: Array, y: Labels, penalty: float, n_classes: int) -> LinearHead:
    """As closely as candidates are told apart, which takes half the time of a fit that is kept."""
    ((head,),) = LinearHead.fit_path(
        X, y, n_classes=n_classes, weights=np.ones((1, len(y)), np.float32), grid=[{"penalty": penalty}]
    )
    return head


def _ranked_within_class(y: Labels, seed: int) -> Floats:
    """(N,): each picture's place inside its class as a share, so that `rank < share` is a stratified sample that only grows."""
    order = np.random.default_rng(seed).permutation(len(y))
    rank = np.empty(len(y))
    for label in np.unique(y):
        members = order[y[order] == label]
        rank[members] = np.arange(len(members)) / len(members)
    return rank


def _resampled(wrong: NDArray[np.bool_], seed: int) -> Floats:
    """(R, S) error rates of pictures drawn with replacement, the same pictures at every share."""
    random = np.random.default_rng(seed)
    n = wrong.shape[1]
    draws: Sequence[Floats] = [wrong[:, random.integers(0, n, n)].mean(axis=1) for _ in range(RESAMPLES)]
    return np.stack(draws)
