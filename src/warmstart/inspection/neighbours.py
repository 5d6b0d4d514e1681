"""The pictures that are nearest to each picture, in features of which each has mean 0 and standard deviation 1.

N pictures, D features, k neighbours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array

ROWS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """The k nearest of each picture, nearest first, itself left out."""

    index: NDArray[np.int64]  # (N, k)
    distance: Array  # float32 (N, k), Euclidean
    cosine: Array  # float32 (N, k), of the same pictures, -1 … 1


def standardised(X: Array) -> Array:
    """X (N, D) with mean 0 and deviation 1 in every column; a column that does not vary becomes 0."""
    X = X - X.mean(axis=0)
    deviation = X.std(axis=0)
    return np.asarray(np.divide(X, deviation, out=np.zeros_like(X), where=deviation > 1e-6))


def nearest(Z: Array, k: int) -> Neighbours:
    """Of standardised Z (N, D), exactly: N² D multiplications, in blocks. k is at most N - 1."""
    n = len(Z)
    k = min(k, n - 1)
    square = np.einsum("nd,nd->n", Z, Z)
    index, distance, cosine = np.empty((n, k), np.int64), np.empty((n, k), np.float32), np.empty((n, k), np.float32)
    for start in range(0, n, ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, n))
        product = Z[rows] @ Z.T
        squared = square[rows, None] + square - 2 * product
        here = np.arange(squared.shape[0])
        squared[here, here + start] = np.inf
        found = np.argpartition(squared, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(squared, found, 1), axis=1, kind="stable")
        found = np.take_along_axis(found, order, 1)
        index[rows] = found
        distance[rows] = np.sqrt(np.maximum(np.take_along_axis(squared, found, 1), 0))
        length = np.sqrt(np.maximum(square[rows, None] * square[found], np.finfo(np.float32).tiny))
        cosine[rows] = np.take_along_axis(product, found, 1) / length
    return Neighbours(index=index, distance=distance, cosine=cosine)


def directions(Z: Array) -> Array:
    """Rows of Z (N, D) with length 1, so that a distance is one of direction alone."""
    return np.asarray(Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), np.finfo(np.float32).tiny))
