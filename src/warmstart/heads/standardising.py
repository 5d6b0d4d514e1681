"""Features with mean 0 and standard deviation 1, so that one penalty suits all of them, without a standardised copy.

N examples, D features, F weightings, H outputs of a product.

With v and c the parameters for standardised features, (x - mean)·scale·v + c = x·w + b for w = scale·v and b = c - mean·w. So
a product with standardised features, its gradient, and prediction all read the raw X where it lies.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# A feature whose spread is below this share of its mean carries only float32's rounding (6e-8 per number, and sums of them).
RESOLUTION = 1e-5
ROWS_AT_ONCE = 128  # a block's copies stay in the processor's cache and weigh nothing


class StandardisedFeatures:
    """X (N, D) seen through the mean and spread that it has under each row of weights (F, N)."""

    def __init__(self, X: Array, weights: Array) -> None:
        self.X = X
        self.mean, self.scale = mean_and_scale(X, weights)  # (F, D) each

    def folded(self, V: Array, c: Array) -> tuple[Array, Array]:
        """Weights (F, H, D) and biases (F, H) for raw features, from those for standardised ones."""
        W = V * self.scale[:, None, :]
        return W, c - np.matmul(W, self.mean[:, :, None])[:, :, 0]

    def product(self, V: Array, c: Array) -> Array:
        """(N, F, H): every weighting's own product. Side by side in one matrix product, F cost about half of F apart."""
        W, b = self.folded(V, c)
        f, h, d = W.shape
        out = (self.X @ W.reshape(f * h, d).T).reshape(-1, f, h)
        out += b
        return out

    def gradient(self, slope: Array) -> tuple[Array, Array]:
        """By V (F, H, D) and by c (F, H), for the slope (N, F, H) of a loss by the product."""
        n, f, h = slope.shape
        by_c = slope.sum(axis=0)
        by_V = (slope.reshape(n, f * h).T @ self.X).reshape(f, h, -1)
        by_V -= by_c[:, :, None] * self.mean[:, None, :]
        by_V *= self.scale[:, None, :]
        return by_V, by_c


def mean_and_scale(X: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted means (F, D) and factors (F, D) = 1 / standard deviation of X (N, D) under each row of weights (F, N).

    The factor of a feature that does not vary is 0: it takes no part instead of dividing by nothing. Two passes over blocks of
    rows (the mean first, then the squares of what is left), because the mean of squares minus the square of the mean loses
    all digits of a small spread around a large mean.
    """
    share = (weights / weights.sum(axis=1, keepdims=True, dtype=np.float64)).astype(np.float32)
    mean = np.zeros((len(weights), X.shape[1]))
    for rows in blocks(len(X)):
        mean += share[:, rows] @ X[rows]
    mean32 = mean.astype(np.float32)
    variance = np.zeros_like(mean)
    for rows in blocks(len(X)):
        for f in range(len(weights)):
            variance[f] += share[f, rows] @ np.square(X[rows] - mean32[f])
    deviation = np.sqrt(variance)
    varies = deviation > RESOLUTION * np.abs(mean) + np.finfo(np.float32).tiny
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
    return mean32, scale.astype(np.float32)


def floored(scale: Array, share: float) -> Array:
    """The factors (D,) with no deviation below ``share`` of the median one: 1 / √(deviation² + (share · median)²). 0 stays 0.

    A feature that hardly varies in train, and does in a picture to come, is then not blown up without bound.
    """
    varies = scale > 0
    if not varies.any():
        return scale
    deviation = np.divide(1, scale, out=np.zeros_like(scale), where=varies)
    least = share * float(np.median(deviation[varies]))
    return np.where(varies, 1 / np.sqrt(np.square(deviation) + least**2), 0).astype(np.float32)


def blocks(n: int) -> list[slice]:
    """Slices of `ROWS_AT_ONCE` that cover 0 … n-1."""
    return [slice(start, start + ROWS_AT_ONCE) for start in range(0, n, ROWS_AT_ONCE)]
