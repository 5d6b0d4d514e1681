"""Ridge regression in closed form, and what it says of each example when it has not seen it.

    minimise  Σᵢ sᵢ ‖yᵢ - V zᵢ - c‖²  +  penalty ‖V‖²       z standardised, s = w / Σ w

With rows √s·z in A and √s·(y - mean y) in T, fitted T̂ = H T with H = A (AᵀA + penalty)⁻¹ Aᵀ; beside it stands the intercept's own share
q qᵀ, q = √s, which is orthogonal to A. Left out together, the examples of a unit G have residuals

    e_G = (1 - H_GG - q_G q_Gᵀ)⁻¹ (T - T̂)_G                (D. Allen, "The relationship between variable selection and data augmentation and
                                                              a method for prediction", Technometrics 16, 1974; for one example PRESS)

exactly as if each unit's fit had been made without it, the standardisation and the penalty's share of Σ w kept. One eigendecomposition
of the smaller Gram matrix serves every penalty.

N examples, D features, O outputs, L penalties.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.linear_map import LinearMap
from warmstart.heads.standardising import Array, floored, mean_and_scale

# Of the median deviation of the features. A class's logit may run away on a picture that has what train hardly had, and stay the largest; a
# number runs away with it. Red cells in 292 pictures, all taps, 20 reshuffles of 204 to 88 (no picture of test): mean R² -126 without a
# floor, 0.266 with 0.03, 0.279 with 0.1, 0.285 with 0.3, 0.281 with 1; where nothing runs away (the middle taps) 0.305 to 0.307 for all.
FLOOR = 0.1
EXACT = 1500  # rows of a Gram matrix up to which it is decomposed in float64: 2 s on two cores; beyond, in float32
BLOCK = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class RidgeFit:
    """One penalty."""

    penalty: float
    map: LinearMap
    held_out: NDArray[np.float64]  # (N, O): of each example by a fit without its unit


def ridge_path(
    X: Array,
    Y: NDArray[np.float64],
    penalties: Sequence[float],
    *,
    weights: NDArray[np.float64] | None = None,
    units: NDArray[np.int64] | None = None,
) -> Iterator[RidgeFit]:
    """A fit for each penalty, for X (N, D) and Y (N, O). Penalties stand beside the *mean* square, so they mean the same for any N.

    ``units`` (N,): examples with the same number are left out together; None: each is one of its own.
    """
    w = np.ones(len(X)) if weights is None else weights
    mean, scale = (row[0] for row in mean_and_scale(X, w[None].astype(np.float32)))
    scale = floored(scale, FLOOR)
    share = w / w.sum()
    q = np.sqrt(share)
    centre = share @ Y
    T = q[:, None] * (Y - centre)
    kind = np.float64 if min(X.shape) <= EXACT else np.float32

    def weighted(rows: slice | NDArray[np.int64]) -> NDArray[np.floating]:
        return np.asarray(q[rows, None] * ((X[rows] - mean) * scale), dtype=kind)

    n, d = X.shape
    spans = [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]
    members = _several(units)
    if d <= n:
        gram, AT = np.zeros((d, d), kind), np.zeros((d, T.shape[1]))
        for rows in spans:
            block = weighted(rows)
            gram += block.T @ block
            AT += block.T @ T[rows]
        values, V = _eigen(gram)
        right = V.T @ AT  # (D, O)
        inverses = 1 / (values[:, None] + np.array(penalties))  # (D, L)
        leverages = np.concatenate([np.square(weighted(rows) @ V) @ inverses for rows in spans])  # (N, L)
        of_units = [weighted(at) @ V for at in members]
        for penalty, inverse, leverage in zip(penalties, inverses.T, leverages.T, strict=True):
            v = V @ (inverse[:, None] * right)
            fitted = np.concatenate([weighted(rows) @ v for rows in spans])
            blocks_of = [(B * inverse) @ B.T for B in of_units]
            held_out = _held_out(T, fitted, leverage, q, members, blocks_of)
            yield _fit(penalty, v, mean, scale, centre, held_out, q)
        return
    whole = weighted(slice(None))
    values, U = _eigen(whole @ whole.T)
    right = U.T @ T
    for penalty in penalties:
        kept = values / (values + penalty)
        fitted = U @ (kept[:, None] * right)
        leverage = np.square(U) @ kept
        v = whole.T @ (U @ (right / (values + penalty)[:, None]))
        blocks_of = [(U[at] * kept) @ U[at].T for at in members]
        yield _fit(penalty, v, mean, scale, centre, _held_out(T, fitted, leverage, q, members, blocks_of), q)


def huber_weights(residuals: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,), 0 … 1: what examples with these residuals (N, O) count in an iteration of Huber's estimator.

    P. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964; 1.345 deviations, told by the median
    absolute residual, keep 95 % of the efficiency where errors are normal. Of several outputs the largest counts.
    """
    size = np.abs(residuals)
    deviation = np.median(size, axis=0) / 0.6745
    limit = 1.345 * np.maximum(deviation, np.finfo(np.float64).tiny)
    return np.asarray(1.0 / np.maximum((size / limit).max(axis=1), 1.0))


def _eigen(gram: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    from scipy.linalg import eigh

    values, vectors = eigh(gram, overwrite_a=True, check_finite=False)
    return np.maximum(values, 0), vectors


def _several(units: NDArray[np.int64] | None) -> list[NDArray[np.int64]]:
    """The members of every unit that has more than one."""
    if units is None:
        return []
    order = np.argsort(units, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(units[order]) != 0])
    return [part for part in np.split(order, starts[1:]) if len(part) > 1]


def _held_out(
    T: NDArray[np.float64],
    fitted: NDArray[np.floating],
    leverage: NDArray[np.floating],
    q: NDArray[np.float64],
    members: Sequence[NDArray[np.int64]],
    blocks_of: Sequence[NDArray[np.floating]],
) -> NDArray[np.float64]:
    """√s·(prediction - mean) of every example by a fit without its unit, (N, O)."""
    residual = T - fitted
    tiny = np.finfo(np.float64).eps
    left_out = residual / np.maximum(1 - leverage - np.square(q), tiny)[:, None]
    for at, H in zip(members, blocks_of, strict=True):
        left_out[at] = np.linalg.lstsq(np.eye(len(at)) - H - np.outer(q[at], q[at]), residual[at], rcond=None)[0]
    return np.asarray(T - left_out)


def _fit(
    penalty: float,
    v: NDArray[np.floating],
    mean: Array,
    scale: Array,
    centre: NDArray[np.float64],
    held_out: NDArray[np.float64],
    q: NDArray[np.float64],
) -> RidgeFit:
    coef = v * scale[:, None].astype(np.float64)
    return RidgeFit(
        penalty=penalty,
        map=LinearMap(coef=coef.astype(np.float32), intercept=(centre - mean @ coef).astype(np.float32)),
        held_out=held_out / q[:, None] + centre,
    )
