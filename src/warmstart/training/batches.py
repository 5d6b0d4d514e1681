"""Where the loop gets its batches: two small protocols, and the one way in which we fulfil them.

The loop knows neither pictures nor the store. Whoever has the numbers gives `read(indices, views) → tensors`: rows of a
tensor in memory, rows of the store, or pictures decoded and augmented on the spot.

N examples, B batch, V views.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from warmstart.errors import UsageError
from warmstart.training.sampling import Indices, balanced_order, epoch_order, epoch_views

Inputs = tuple[Tensor, ...]  # what the module's forward takes, each (B, …): activations, prefix taps
Batch = tuple[Inputs, Tensor]  # inputs, labels int64 (B,)
Read = Callable[[Indices, Indices], Inputs]  # which pictures (B,), which view of each (B,)


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

    labels: Indices  # (N,)
    read: Read
    batch_size: int
    seed: int
    n_views: int = 1
    balanced: bool = False  # every class equally often

    def __post_init__(self) -> None:
        _check(self.labels, self.batch_size, "train")
        if self.batch_size > len(self.labels):
            raise UsageError(
                f"a batch of {self.batch_size} is larger than the train split ({len(self.labels)} pictures). "
                f"Choose a batch size of at most {len(self.labels)}, better {max(1, len(self.labels) // 8)}."
            )

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self.labels) // self.batch_size)

    def epoch(self, epoch: int, start_batch: int, /) -> Iterator[Batch]:
        """See `BatchSource.epoch`."""
        n = len(self.labels)
        order = balanced_order(self.seed, epoch, self.labels) if self.balanced else epoch_order(self.seed, epoch, n)
        views = epoch_views(self.seed, epoch, n, self.n_views)
        for places in np.array_split(np.arange(n), len(self))[start_batch:]:
            chosen = order[places]
            yield self.read(chosen, views[places]), torch.from_numpy(self.labels[chosen])


@dataclass(frozen=True, kw_only=True)
class ValBatches:
    """A ValSource: view 0 of every picture, in the order of ``labels``."""

    labels: Indices  # (N,)
    read: Read
    batch_size: int

    def __post_init__(self) -> None:
        _check(self.labels, self.batch_size, "val")

    def batches(self) -> Iterator[Batch]:
        """See `ValSource.batches`."""
        for start in range(0, len(self.labels), self.batch_size):
            chosen = np.arange(start, min(start + self.batch_size, len(self.labels)))
            yield self.read(chosen, np.zeros_like(chosen)), torch.from_numpy(self.labels[chosen])


def _check(labels: Indices, batch_size: int, split: str) -> None:
    if len(labels) == 0:
        raise UsageError(f"the {split} split holds no picture; training needs pictures in train and in val.")
    if batch_size < 1:
        raise UsageError(
            f"batch size {batch_size} is not a number of pictures; choose 1 or more, 32 if nothing speaks against it."
        )
