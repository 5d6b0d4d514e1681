"""What every head can do.

N examples, D features, K classes, F fits on the same features.

`fit` learns, `logits` predicts, `settings` and `arrays` are all that is needed to predict again elsewhere, and `fit_path` is
how a setting is chosen: it fits the same pictures under F different weightings, for every setting of a grid. A fold is such a
weighting, with weight 0 on the pictures it holds out, so a head that can share work between folds or between neighbouring
settings does, and need not copy the features for each.

Features are finite: what is stored never holds inf or NaN, and heads do not look again.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array
from warmstart.records import expected, fits

Labels = NDArray[np.int64]  # (N,), each 0 … K-1
Settings = Mapping[str, Any]  # the keyword arguments a head is made with, JSON-ready


class Head(Protocol):
    """A small classifier on features."""

    name: ClassVar[str]  # in the catalogue

    def __init__(self, **settings: Any) -> None: ...

    def fit(self, X: Array, y: Labels, *, n_classes: int, sample_weight: Array | None = None) -> Self:
        """Learn from X (N, D) and y (N,). An example of weight w counts like w examples. Classes may be absent from y."""
        ...

    def logits(self, X: Array) -> Array:
        """(N, K), also for two classes: softmax(logits / temperature) is the probability. Needs numpy only."""
        ...

    def settings(self) -> dict[str, Any]:
        """The settings this head was made with."""
        ...

    def arrays(self) -> dict[str, Array]:
        """Everything learnt, by name."""
        ...

    @classmethod
    def from_arrays(cls, settings: Settings, arrays: Mapping[str, Array]) -> Self:
        """The fitted head back from `settings` and `arrays`: its logits are equal to the bit. Raises ValueError for what no head wrote."""
        ...

    @classmethod
    def fit_path(
        cls, X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
    ) -> Iterator[Iterable[Self]]:
        """For each setting of the grid in turn, F heads: one for each row of ``weights`` (F, N).

        Close enough to `fit` to choose by. What is not asked for need not be fitted: take the F heads before the next setting.
        """
        ...


H = TypeVar("H", bound=Head)


def checked_settings(head: type[Head], settings: Settings) -> Settings:
    """Settings out of a file. Raises ValueError for one that the head does not have, or whose value it cannot have."""
    hints = get_type_hints(head.__init__)
    if not isinstance(settings, Mapping):
        raise ValueError(f"the settings of head {head.name!r}, expected an object")
    for name, value in settings.items():
        if name not in hints:
            raise ValueError(f"{name!r:.80}, which head {head.name!r} does not have")
        if not fits(value, hints[name]):
            raise ValueError(f"{name!r} = {value!r:.80} of head {head.name!r}, expected {expected(hints[name])}")
        least = int(hints[name] is int and name != "seed")
        if not math.isfinite(value) or value < least:
            raise ValueError(f"{name!r} = {value!r} of head {head.name!r}, expected at least {least}")
    return settings


def fit_one_by_one(
    cls: type[H], X: Array, y: Labels, *, n_classes: int, weights: Array, grid: Sequence[Settings]
) -> Iterator[Iterable[H]]:
    """`Head.fit_path` for a head whose fits have nothing to share. One copy of the features lives at a time."""

    def fitted(settings: Settings, w: Array) -> H:
        rows = w > 0
        return cls(**settings).fit(X[rows], y[rows], n_classes=n_classes, sample_weight=w[rows])

    for settings in grid:
        yield (fitted(settings, w) for w in weights)


def one_weighting(y: Labels, sample_weight: Array | None) -> Array:
    """Weights (1, N) of a single fit."""
    return np.ones((1, len(y)), np.float32) if sample_weight is None else sample_weight.astype(np.float32)[None]


def without_weightless(X: Array, y: Labels, sample_weight: Array | None) -> tuple[Array, Labels, Array]:
    """X, y and weights (N,) of the examples that count, for heads that keep examples: one of weight 0 must not take a place."""
    weights = one_weighting(y, sample_weight)[0]
    counts = weights > 0
    return (X, y, weights) if counts.all() else (X[counts], y[counts], weights[counts])
