"""One thread: small pictures don't gain from a second, and other tests should not have to wait for it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from explain_examples import SIDE_PX


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, SIDE_PX, SIDE_PX), dtype=np.uint8)
