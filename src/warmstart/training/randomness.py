"""Every random number in training is a function of (seed, purpose, position); no generator is carried from step to step.

So a run that is resumed in the middle of an epoch draws what the undisturbed run drew there, nothing has to be saved for
it, and a caller who draws random numbers between two events changes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

Purpose = Literal["order", "views", "mixup", "network"]
_NUMBERS: dict[Purpose, int] = {"order": 1, "views": 2, "mixup": 3, "network": 4}


def generator(seed: int, purpose: Purpose, *position: int) -> np.random.Generator:
    """The generator for one purpose at one position; position: epoch, or step and batch within it. All are ≥ 0."""
    return np.random.default_rng([seed, _NUMBERS[purpose], *position])


@contextmanager
def seeded_network(seed: int, step: int, device: str) -> Iterator[None]:
    """Within: the network's own random numbers (dropout, stochastic depth) are this step's. After: as if none was drawn."""
    cuda = [torch.cuda.current_device()] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(int(generator(seed, "network", step).integers(2**63)))
        yield
