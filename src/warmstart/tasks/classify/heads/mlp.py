"""A network with one hidden layer, fitted like the linear head: full batches, L-BFGS, a penalty on the weights.

    logits = tanh(standardised(x) V₁ + c₁) V₂ + c₂

Full batches because the features fit into memory, and then a quasi-Newton method needs no learning rate, no schedule and no
shuffling; tanh because it is smooth, which is what quasi-Newton steps count on.

N examples, D features, H hidden units, K classes, F fits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.lbfgs import minimise
from warmstart.heads.standardising import Array, StandardisedFeatures
from warmstart.heads.stored_arrays import checked_arrays
from warmstart.tasks.classify.heads.affine import CLOSE, CLOSE_ENOUGH_TO_CHOOSE, shares_of, softmax_loss
from warmstart.tasks.classify.heads.protocol import Labels, Settings, checked_settings, one_weighting

Layers = tuple[Array, Array, Array, Array]  # V₁ (F, H, D), c₁ (F, H), V₂ (F, K, H), c₂ (F, K)


class MlpHead:
    """One hidden layer of ``hidden`` units; ``penalty`` beside the mean loss, on the weights of both layers."""

    name: ClassVar[str] = "mlp"

    def __init__(self, *, penalty: float = 0.003, hidden: int = 32, seed: int = 0) -> None:
        self.penalty = penalty
        self.hidden = hidden
        self.seed = seed

    def fit(self, X: Array, y: Labels, *, n_classes: int, sample_weight: Array | None = None) -> Self:
        """See `Head.fit`."""
        (layers,) = self._fits(X, y, n_classes, one_weighting(y, sample_weight), CLOSE)
        return self._learnt(*layers)

    def logits(self, X: Array) -> Array:
        """See `Head.logits`."""
        hidden: Array = np.tanh(X @ self.coef1_ + self.intercept1_)
        return hidden @ self.coef2_ + self.intercept2_

    def settings(self) -> dict[str, Any]:
        """See `Head.settings`."""
        return {"penalty": self.penalty, "hidden": self.hidden, "seed": self.seed}

    def arrays(self) -> dict[str, Array]:
        """Weights (D, H) and biases (H,) for raw features, then (H, K) and (K,)."""
        return {
            "coef1": self.coef1_,
            "intercept1": self.intercept1_,
            "coef2": self.coef2_,
            "intercept2": self.intercept2_,
        }

    @classmethod
    def from_arrays(cls, settings: Settings, arrays: Mapping[str, Array]) -> Self:
        """See `Head.from_arrays`."""
        head = cls(**checked_settings(cls, settings))
        shapes = {"coef1": "DH", "intercept1": "H", "coef2": "HK", "intercept2": "K"}
        head.coef1_, head.intercept1_, head.coef2_, head.intercept2_ = checked_arrays(arrays, shapes)
        return head

    @classmethod
    def fit_path(
        cls, X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
    ) -> Iterator[Iterable[Self]]:
        """See `Head.fit_path`: all weightings in one optimisation. Every setting starts afresh, because a strong penalty can
        drive all weights to zero, where the gradient is zero too and a weaker one would stay.
        """
        for settings in grid:
            fits = cls(**settings)._fits(X, y, n_classes, weights, CLOSE_ENOUGH_TO_CHOOSE)
            yield tuple(cls(**settings)._learnt(*layers) for layers in fits)

    def _fits(self, X: Array, y: Labels, n_classes: int, weights: Array, tolerance: float) -> list[Layers]:
        """For each weighting the layers for raw features, without the axis F."""
        d = X.shape[1]
        f, h, k = len(weights), self.hidden, n_classes
        features = StandardisedFeatures(X, weights)
        shares = shares_of(weights)
        ends = np.cumsum([h * d, h, k * h])

        def layers_of(theta: Array) -> Layers:
            V1, c1, V2, c2 = np.split(theta, ends, axis=1)
            return V1.reshape(f, h, d), c1, V2.reshape(f, k, h), c2

        def loss_of(theta: Array) -> tuple[NDArray[np.float64], Array]:
            V1, c1, V2, c2 = layers_of(theta)
            hidden = np.tanh(features.product(V1, c1)).transpose(1, 0, 2)  # (F, N, H)
            logits = (hidden @ V2.transpose(0, 2, 1)).transpose(1, 0, 2) + c2
            value, slope = softmax_loss(logits, y, shares)
            by_logits = slope.transpose(1, 0, 2)  # (F, N, K)
            by_hidden = (by_logits @ V2) * (1 - hidden * hidden)
            by_V1, by_c1 = features.gradient(np.ascontiguousarray(by_hidden.transpose(1, 0, 2)))
            by_V2 = by_logits.transpose(0, 2, 1) @ hidden
            return value, np.concatenate([by_V1.reshape(f, -1), by_c1, by_V2.reshape(f, -1), slope.sum(axis=0)], axis=1)

        # Unit variance before and after tanh (Y. LeCun et al., "Efficient BackProp", 1998, §4.6).
        rng = np.random.default_rng(self.seed)
        first = rng.normal(0, 1 / np.sqrt(d), h * d)
        second = rng.normal(0, 1 / np.sqrt(h), k * h)
        start = np.concatenate([first, np.zeros(h), second, np.zeros(k)]).astype(np.float32)
        penalty = np.full(start.shape, self.penalty, np.float32)
        penalty[ends[0] : ends[1]] = 0
        penalty[ends[2] :] = 0
        (theta,) = minimise(loss_of, np.tile(start, (f, 1)), [penalty], tolerance=tolerance)
        V1, c1, V2, c2 = layers_of(theta)
        W1, b1 = features.folded(V1, c1)
        return list(zip(W1, b1, V2, c2, strict=True))

    def _learnt(self, W1: Array, b1: Array, W2: Array, b2: Array) -> Self:
        self.coef1_, self.intercept1_ = np.ascontiguousarray(W1.T), b1.copy()
        self.coef2_, self.intercept2_ = np.ascontiguousarray(W2.T), b2.copy()
        return self
