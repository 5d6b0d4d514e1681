"""What an engine is: a frozen module compiled for one machine, fed uint8 batches, returning float32 rows.

B batch, S image side, D features.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

Token = TypeVar("Token")


class Engine(Protocol):
    """Runs a frozen prefix. Normalisation is inside the prefix, so pictures go in as they were decoded."""

    name: str  # 'openvino' or 'pytorch'
    precision: str  # 'bf16' or 'f32': what the arithmetic really runs in
    device: str  # 'cpu', 'cuda', 'mps'
    batch_size: int  # how many pictures a batch should have to run fastest; any other number is allowed

    def map(self, batches: Iterable[tuple[Token, np.ndarray]]) -> Iterator[tuple[Token, np.ndarray]]:
        """Results as they become ready, not necessarily in order: each with the token of its batch.

        batches: (token, uint8 (B, 3, S, S)); drawn one at a time, only when the engine has room, so a slow engine holds its source back.
        Yields (token, float32 (B, …)): whatever the compiled module returns, row for row.

        On the CPU a row depends on its own picture alone, bit for bit: not on the batch's size, order or companions, nor on the
        number of threads. That is what makes rows worth storing.
        """
        ...
