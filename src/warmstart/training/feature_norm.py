"""The standardisation between features and head, kept true while the features change.

A frozen head is fitted on features with mean 0 and deviation 1. Where target pictures look much alike (solar cells), a feature
differs little from picture to picture compared with its size, so a step of training that changes it by one percent for all
pictures alike moves it by several deviations, and the head with it. Measured on solar cells: with the standardisation of the
start, the first epoch cost 2 to 5 points of accuracy on val at any learning rate from 3e-5 to 3e-4.

So live features go through batch norm (Ioffe and Szegedy 2015, §3) after the standardisation of the start: what is common to all
pictures cancels. It begins with the statistics that change nothing, so that the trained model starts as the frozen one. Taps of
the prefix are constants and stay as they are. There is no gain and no bias: the head has both.

Evaluation needs statistics of its own. A running mean over the last batches lags behind features that move: seen on solar cells,
0.44 accuracy on val after an epoch in which training went well. So before each evaluation they are taken afresh from some batches
(Y. Wu, J. Johnson, "Rethinking 'Batch' in BatchNorm", 2021, §3), which also makes them right for an average of weights.

B batch, D features.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from warmstart.heads.standardising import Array

# Beside a variance of 1 at the start: a channel that falls silent is not blown up by more than 10.
EPS = 0.01
SETTLING_BATCHES = 12  # of 32 pictures, mostly: the error of a mean is then 5 % of its deviation


class FeatureNorm(nn.Module):
    """(B, D) → (B, D), float32. ``mean``, ``scale`` (D,): the start. ``live`` (D,), bool: what comes from the suffix."""

    start_mean: Tensor
    start_scale: Tensor
    live: Tensor

    def __init__(self, mean: Array, scale: Array, live: Array) -> None:
        super().__init__()
        self.register_buffer("start_mean", torch.from_numpy(mean).float().clone())
        self.register_buffer("start_scale", torch.from_numpy(scale).float().clone())
        self.register_buffer("live", torch.from_numpy(live), persistent=False)
        self.batch = nn.BatchNorm1d(len(mean), eps=EPS, affine=False, momentum=None)  # None: the plain mean over batches
        self._begin()

    def forward(self, features: Tensor) -> Tensor:
        """In training mode by the statistics of the batch; a single picture has none, and is seen as in evaluation."""
        standard = (features - self.start_mean) * self.start_scale
        if self.batch.training and len(features) < 2:
            mean, scale = self.statistics()
            return (features - mean) * scale
        return torch.where(self.live, self.batch(standard), standard)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """mean and scale (D,) with which (x - mean) · scale is what evaluation sees now."""
        running_mean, running_var = self.batch.running_mean, self.batch.running_var
        assert running_mean is not None
        assert running_var is not None
        deviation = torch.where(self.start_scale > 0, 1 / self.start_scale, 0.0)
        mean = self.start_mean + running_mean * deviation
        scale = self.start_scale * torch.rsqrt(running_var + EPS)
        return torch.where(self.live, mean, self.start_mean), torch.where(self.live, scale, self.start_scale)

    @contextmanager
    def settling(self) -> Iterator[None]:
        """Within, batches that are put through make the statistics of evaluation, and what was known before is forgotten."""
        self._begin()
        self.batch.train()
        with torch.no_grad():
            yield
        self.batch.eval()

    def _begin(self) -> None:
        """The statistics that change nothing; they stay where all batches are of one picture."""
        self.batch.reset_running_stats()
        assert self.batch.running_var is not None
        self.batch.running_var.fill_(1 - EPS)
