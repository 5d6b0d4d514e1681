"""Where the loop gets its batches: two small protocols, and the one way in which we fulfil them.

The loop knows neither pictures nor the store. Whoever has the numbers gives `read(indices, views) → tensors`: rows of a
tensor in memory, rows of the store, or pictures decoded and augmented on the spot.

N examples, B batch, V views.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from warmstart.errors import UsageError
from warmstart.training.sampling import Indices, balanced_order, epoch_order, epoch_views

Inputs = tuple[Tensor, ...]  # what the module's forward takes, each (B, …): activations, prefix taps
Batch = tuple[
    Inputs, Any
]  # inputs, and what the task collates of their targets: tensors (B, …), or tuples, lists, mappings of some
Read = Callable[[Indices, Indices], Inputs]  # which pictures (B,), which view of each (B,)
Collate = Callable[[Indices, Indices], Any]  # the same → what the objective takes


class BatchSource(Protocol):
    """The train split."""

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def epoch(self, epoch: int, start_batch: int, /) -> Iterator[Batch]:
        """The batches of an epoch (0, 1, …) from one of them on. Must be a function of its arguments alone."""
        ...


class ValSource(Protocol):
    """The val split, always in the same order."""

    def batches(self) -> Iterator[Batch]:
        """All of it, once."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainBatches:
    """A BatchSource: each epoch draws an order and a view of each picture. Raises UsageError for a batch size that cannot be.

    The batches of an epoch differ in size by at most one and none is larger than ``batch_size``: a last batch of one or two
    pictures would weigh as much as a full one, and batch norm cannot learn from it.

    ``n_views`` is the number of stored views; where views are made on the spot, a large number makes every view new.
    """

    n: int  # N
    read: Read
    collate: Collate
    batch_size: int
    seed: int
    n_views: int = 1
    kinds: Indices | None = None  # (N,): each of these numbers comes equally often; None: every picture does

    def __post_init__(self) -> None:
        _check(self.n, self.batch_size, "train")
        if self.batch_size > self.n:
            raise UsageError(
                f"a batch of {self.batch_size} is larger than the train split ({self.n} pictures). "
                f"Choose a batch size of at most {self.n}, better {max(1, self.n // 8)}."
            )

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-self.n // self.batch_size)

    def epoch(self, epoch: int, start_batch: int, /) -> Iterator[Batch]:
        """See `BatchSource.epoch`."""
        n = self.n
        order = epoch_order(self.seed, epoch, n) if self.kinds is None else balanced_order(self.seed, epoch, self.kinds)
        views = epoch_views(self.seed, epoch, n, self.n_views)
        for places in np.array_split(np.arange(n), len(self))[start_batch:]:
            chosen = order[places]
            yield self.read(chosen, views[places]), self.collate(chosen, views[places])


@dataclass(frozen=True, kw_only=True)
class ValBatches:
    """A ValSource: view 0 of every picture, in order."""

    n: int  # N
    read: Read
    collate: Collate
    batch_size: int

    def __post_init__(self) -> None:
        _check(self.n, self.batch_size, "val")

    def batches(self) -> Iterator[Batch]:
        """See `ValSource.batches`."""
        for start in range(0, self.n, self.batch_size):
            chosen = np.arange(start, min(start + self.batch_size, self.n))
            plain = np.zeros_like(chosen)
            yield self.read(chosen, plain), self.collate(chosen, plain)


def _check(n: int, batch_size: int, split: str) -> None:
    if n == 0:
        raise UsageError(f"the {split} split holds no picture; training needs pictures in train and in val.")
    if batch_size < 1:
        raise UsageError(
            f"batch size {batch_size} is not a number of pictures; choose 1 or more, 32 if nothing speaks against it."
        )
