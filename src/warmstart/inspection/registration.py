"""Whether two pictures show the same photograph: one is laid over the other, and what is left over is measured.

    thumbnails → shift and stretch on 32 px → the unlikely ones leave → the same on 64 px → residual and detail

A copy that was saved anew, resized or slightly cropped differs from its original by a stretch and a shift along each axis. Those
four numbers are found by Gauss-Newton steps on the squared difference (B. Lucas, T. Kanade, IJCAI 1981), together with a gain and an
offset of brightness. As the axes stay apart, laying over is a product with a matrix of weights on either side.

P pairs, S the side of a thumbnail in pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

SIDE_PX = 64
COARSE_STEPS, FINE_STEPS = 8, 4
WORTH_A_CLOSER_LOOK = 0.85  # correlation on 32 px; planted copies had at least 0.95
PAIRS_AT_ONCE = 256
# A copy's colours differ by JPEG's noise and the seams of resampling, those of a similar picture by more, and its detail is elsewhere.
# Chosen on 160 planted copies among clothing photographs (at most 0.071; other pictures at least 0.150) and on solar cells, of which many
# reach 0.10 without being copies. Examples in docs/doctor.md.
LARGEST_RESIDUAL = 0.08
LEAST_DETAIL = 0.70
_STRETCH, _SHIFT = (0.75, 1.33), 0.2  # what is tried at most; shift as a share of the side


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """How well each pair agrees once laid over one another."""

    residual: Float  # (P,) root of the colours' unexplained share: 0 for the same picture, about 1 for unlike ones
    detail: Float  # (P,) correlation of edges and texture of 1 to 3 px, -1 … 1

    @property
    def same(self) -> NDArray[np.bool_]:
        """(P,): copies of one another."""
        return (self.residual <= LARGEST_RESIDUAL) & (self.detail >= LEAST_DETAIL)


def agreement(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Agreement:
    """Of pairs of thumbnails, each (P, S, S, 3) with S = `SIDE_PX`, the whole picture squashed to a square."""
    residual, detail = np.full(len(first), 1, np.float32), np.zeros(len(first), np.float32)
    for start in range(0, len(first), PAIRS_AT_ONCE):
        block = slice(start, start + PAIRS_AT_ONCE)
        residual[block], detail[block] = _agreement(first[block].astype(np.float32), second[block].astype(np.float32))
    return Agreement(residual=residual, detail=detail)


def _agreement(first: Float, second: Float) -> tuple[Float, Float]:
    residual, detail = np.full(len(first), 1, np.float32), np.zeros(len(first), np.float32)
    A, B = first.mean(axis=3), second.mean(axis=3)
    start = np.tile(np.array([1, 0, 1, 0], np.float32), (len(A), 1))
    coarse, correlation = _register(_halved(A), _halved(B), start, COARSE_STEPS)
    near = np.flatnonzero(correlation > WORTH_A_CLOSER_LOOK)
    if len(near):
        warp, _ = _register(A[near], B[near], coarse[near] * np.array([1, 2, 1, 2], np.float32), FINE_STEPS)
        residual[near], detail[near] = _left_over(first[near], second[near], warp)
    return residual, detail


def _register(A: Float, B: Float, warp: Float, steps: int) -> tuple[Float, Float]:
    """The warp (P, 4) = (stretch, shift) of rows and of columns that lays B (P, S, S) best over A, and the correlation there (P,)."""
    best, found = np.full(len(A), -1, np.float32), warp.copy()
    side = A.shape[1]
    longest = np.array([0.1, 0.08 * side, 0.1, 0.08 * side], np.float32)  # a step beyond it is a guess
    from_centre = np.arange(side, dtype=np.float32) - (side - 1) / 2
    for step in range(steps + 1):
        laid, inside = _lay(B, warp)
        correlation = _correlation(A, laid, inside)
        better = correlation > best
        best, found = np.where(better, correlation, best), np.where(better[:, None], warp, found)
        if step == steps:
            break
        # The slope of the laid picture by position, and by stretch and shift through the position.
        by_row, by_column = (slope.astype(np.float32) for slope in np.gradient(laid, axis=(1, 2)))
        by_row, by_column = by_row / warp[:, 0, None, None], by_column / warp[:, 2, None, None]
        slopes = np.stack(
            [by_row * from_centre[:, None], by_row, by_column * from_centre, by_column, -A, -np.ones_like(A)], axis=-1
        )
        J = (slopes * inside[..., None]).reshape(len(A), -1, 6)
        H = J.transpose(0, 2, 1) @ J
        H += (1e-3 * H + 1e-3) * np.eye(6, dtype=np.float32)  # a flat picture has no slope to follow
        move = np.linalg.solve(H, -(J.transpose(0, 2, 1) @ (laid * inside).reshape(len(A), -1, 1)))[:, :4, 0]
        warp = warp + np.clip(move, -longest, longest)
        warp[:, ::2] = np.clip(warp[:, ::2], *_STRETCH)
        warp[:, 1::2] = np.clip(warp[:, 1::2], -_SHIFT * side, _SHIFT * side)
    return found, best


def _left_over(first: Float, second: Float, warp: Float) -> tuple[Float, Float]:
    from scipy.ndimage import gaussian_filter  # half a second to import, and only where something is measured

    laid = np.stack([_lay(second[..., channel], warp)[0] for channel in range(3)], axis=-1)
    inside = _lay(second[..., 0], warp)[1]
    weight = inside[..., None]
    laid = np.where(weight > 0, laid, first)
    # One pixel of blur, so that it is colours that are compared, and not how the two were resampled.
    difference = gaussian_filter((first - laid) * weight, (0, 1, 1, 0))
    covered = 3 * inside.sum(axis=(1, 2))
    centre = (first * weight).sum(axis=(1, 2, 3)) / covered
    spread = (np.square(first - centre[:, None, None, None]) * weight).sum(axis=(1, 2, 3))
    residual = np.sqrt((np.square(difference) * weight).sum(axis=(1, 2, 3)) / (spread + covered))  # + 1 level²: blank ones
    return residual, _correlation(_band(first.mean(axis=3)), _band(laid.mean(axis=3)), inside)


def _band(picture: Float) -> Float:
    """(P, S, S) without what is finer than the thumbnail resolves safely and without its areas."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(picture, (0, 0.7, 0.7)) - gaussian_filter(picture, (0, 1.4, 1.4)))


def _correlation(A: Float, B: Float, weight: Float) -> Float:
    """(P,) over what lies inside; 0 where nothing varies."""
    total = weight.sum(axis=(1, 2), keepdims=True) + np.finfo(np.float32).tiny
    a = (A - (A * weight).sum(axis=(1, 2), keepdims=True) / total) * weight
    b = (B - (B * weight).sum(axis=(1, 2), keepdims=True) / total) * weight
    scale = np.sqrt(np.square(a).sum(axis=(1, 2)) * np.square(b).sum(axis=(1, 2)))
    product = (a * b).sum(axis=(1, 2))
    return np.asarray(np.divide(product, scale, out=np.zeros(len(A), np.float32), where=scale > 1e-3))


def _lay(picture: Float, warp: Float) -> tuple[Float, Float]:
    """The picture (P, S, S) seen through the warp, and where that lies inside it: 1 or 0 (P, S, S)."""
    rows, row_inside = _bilinear(warp[:, 0], warp[:, 1], picture.shape[1])
    columns, column_inside = _bilinear(warp[:, 2], warp[:, 3], picture.shape[2])
    inside = row_inside[:, :, None] & column_inside[:, None, :]
    return np.asarray(rows @ picture @ columns.transpose(0, 2, 1), np.float32), inside.astype(np.float32)


def _bilinear(stretch: Float, shift: Float, side: int) -> tuple[Float, NDArray[np.bool_]]:
    """Weights (P, S, S) that read row i at stretch · (i - centre) + centre + shift, and which i lie inside (P, S)."""
    centre = (side - 1) / 2
    at = stretch[:, None] * (np.arange(side, dtype=np.float32) - centre) + centre + shift[:, None]
    inside = (at >= 0) & (at <= side - 1)
    at = np.clip(at, 0, side - 1)
    low = np.minimum(at.astype(np.int64), side - 2)
    weights = np.zeros((len(at), side, side), np.float32)
    pair, row = np.arange(len(at))[:, None], np.arange(side)
    weights[pair, row, low] = 1 - (at - low)
    weights[pair, row, low + 1] = at - low
    return weights, inside


def _halved(picture: Float) -> Float:
    p, side, _ = picture.shape
    return np.asarray(picture.reshape(p, side // 2, 2, side // 2, 2).mean(axis=(2, 4)))
