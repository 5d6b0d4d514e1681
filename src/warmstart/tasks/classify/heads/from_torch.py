"""A module of the user's, which is not fitted yet, as an entry of the catalogue. N examples, D features, K classes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from warmstart.heads.standardising import Array, mean_and_scale
from warmstart.plan import MODULE
from warmstart.tasks.classify.heads.catalog import HeadSpec
from warmstart.tasks.classify.heads.module import ModuleHead
from warmstart.tasks.classify.heads.protocol import Head, Labels, Settings, fit_one_by_one, one_weighting

if TYPE_CHECKING:
    from torch import Tensor, nn


def module_spec(module: "nn.Module", seed: int) -> HeadSpec:
    """The module as a head whose one setting is how many steps it learns."""

    class Given:
        """Fits the module that was handed over."""

        name: ClassVar[str] = MODULE

        def __init__(self, *, steps: int) -> None:
            self.steps = steps

        def fit(self, X: Array, y: Labels, *, n_classes: int, sample_weight: Array | None = None) -> ModuleHead:
            """See `Head.fit`."""
            import torch

            from warmstart.training.own_head import fitted, made

            weights = one_weighting(y, sample_weight)
            mean, scale = mean_and_scale(X, weights)
            targets, shares = torch.from_numpy(np.ascontiguousarray(y)), torch.from_numpy(weights[0])

            def loss(logits: "Tensor", at: Any) -> "Tensor":
                losses = torch.nn.functional.cross_entropy(logits, targets[at], reduction="none")
                return (losses * shares[at]).sum() / shares[at].sum()

            own = fitted(made(module, X.shape[1]), X, loss, mean=mean[0], scale=scale[0], steps=self.steps, seed=seed)
            return ModuleHead(own=own)

        @classmethod
        def fit_path(
            cls, X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
        ) -> Iterator[Iterable[Any]]:
            """See `Head.fit_path`."""
            return fit_one_by_one(cast(type[Head], cls), X, y, n_classes=n_classes, weights=weights, grid=grid)

    from warmstart.training.own_head import STEPS

    return HeadSpec(cast(type[Head], Given), tuple({"steps": steps} for steps in STEPS))
