"""How the learning rate changes over a run: pure functions from the step to a factor of the learning rate that was set.

A step is one optimizer update: step 0 is the first, `total` the number of all.
"""

import math

import numpy as np

from warmstart.training_settings import ScheduleName


def multiplier(name: ScheduleName, step: int, total: int, *, warmup: float) -> float:
    """The factor, above 0 and at most 1, for a step 0 … total-1. ``warmup`` is the share of all steps, for 'cosine'."""
    if name == "one-cycle":
        return one_cycle(step, total)
    return warmup_cosine(step, total, warmup_steps=math.ceil(warmup * total))


def warmup_cosine(step: int, total: int, *, warmup_steps: int) -> float:
    """A straight rise to 1, then half a cosine towards 0 (I. Loshchilov and F. Hutter, SGDR, ICLR 2017, eq. 5; no restarts).

    The rise is there because Adam's estimate of the gradient's variance is poor in its first steps.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / (total - warmup_steps)))


def one_cycle(step: int, total: int) -> float:
    """A tenth to 1 and back in two equal straight lines, then the last tenth of the steps down by two more orders of magnitude.

    L. Smith and N. Topin, "Super-convergence", 2018, §3; lowest and highest rate a factor of 10 apart as in L. Smith, "A
    disciplined approach to neural network hyper-parameters", 2018, §4.1. Momentum is not cycled.
    """
    return float(np.interp(step / total, (0, 0.45, 0.9, 1), (0.1, 1, 0.1, 0.001)))
