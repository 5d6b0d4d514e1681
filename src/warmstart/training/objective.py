"""What training minimises and how two epochs are compared: a task's own, given to the loop.

B batch, N examples of val.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ValScores:
    """How good a module is on val."""

    loss: float  # mean over the examples; NaN where an output is not finite
    rank: tuple[float, ...]  # what epochs are compared by, the first number first: lower is better
    named: Mapping[str, float]  # in the task's words, for people and for history.csv; the last one is what is watched

    def better_than(self, other: "ValScores") -> bool:
        """Strictly; never where a number is not finite."""
        return bool(np.isfinite([self.loss, *self.rank]).all()) and self.rank < other.rank


class Objective(Protocol):
    """Of one task and data set."""

    def targets(self, collated: Any) -> Any:
        """What `loss` takes, of what a batch brings. Tensors (B, …) where mixup is to mix them."""
        ...

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """The *sum* over the batch of what is minimised: a scalar. Sums, because then parts of a batch add up to the batch."""
        ...

    def scores(self, outputs: Sequence[Any], collated: Sequence[Any]) -> ValScores:
        """Of all of val: what the module gave for each batch, on the CPU, and what the batches brought."""
        ...


def mapped(value: Any, change: Any) -> Any:
    """``change`` of every tensor in a value: a tensor, or tuples, lists and mappings of some. What else is in it stays."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(mapped(item, change) for item in value)
    return value
