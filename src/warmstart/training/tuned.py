"""The part that learns: the stages right of the cut and a head on taps, linear or a module of the user's, which starts as the frozen one.

    activations at the cut → stage → stage → … → live taps ─┐
    taps of the prefix, stored, constant ────────────────────┴→ in the head's order → (x - mean) · scale → head → outputs

Starting from the head that was fitted on frozen features (LP-FT: A. Kumar et al., "Fine-tuning can distort pretrained
features", ICLR 2022) the first steps improve the features instead of adapting them to a random head. The stages are the
backbone's own modules, so training changes `backbone.network`; with `learnt_head` the result is what it was before: a backbone
and a head.

B batch, C channels, H, W, D features (P of them from the prefix), O outputs.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from warmstart.backbones.chain import Backbone, sequence
from warmstart.backbones.taps import TappedPrefix
from warmstart.errors import UnknownNameError, UsageError
from warmstart.heads.linear_map import LinearMap
from warmstart.heads.standardising import Array
from warmstart.training.feature_norm import FeatureNorm
from warmstart.training.learner import Learner
from warmstart.training.own_head import OwnHead, made
from warmstart.training_settings import StatisticsPolicy


class TiedLinear(nn.Linear):
    """One row of weights for all outputs, each with a bias of its own: thresholds on one scale."""

    def __init__(self, width: int, n_outputs: int) -> None:
        super().__init__(width, 1)
        self.bias = nn.Parameter(torch.zeros(n_outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) → (B, O)."""
        return nn.functional.linear(features, self.weight) + self.bias


class TunedSuffix(Learner):
    """activations (B, C, H, W) at the cut, prefix taps (B, P) → outputs (B, O), all float32.

    ``mean`` and ``scale`` (D,), features seen as (x - mean) · scale, are those the head was fitted under: with inputs of
    one size AdamW's one step size suits every weight. Where they go from there: `feature_norm`. `split_taps` tells which taps
    come from the prefix.
    """

    def __init__(
        self, backbone: Backbone, cut: str, taps: Sequence[str], head: LinearMap | OwnHead, mean: Array, scale: Array
    ) -> None:
        super().__init__()
        self.cut, self.taps = backbone.resolve_cut(cut), tuple(taps)
        self.prefix_taps, self.live_taps = split_taps(backbone, self.cut, taps)
        self.widths = {tap: width for tap, width in backbone.tap_layout() if tap in self.taps}
        at = backbone.cuts.index(self.cut)
        stages = backbone.stages[at : 1 + max((_stage_of(backbone, tap) for tap in self.live_taps), default=-1)]
        modules = [(stage.name, sequence(backbone.links[stage.start : stage.stop])) for stage in stages]
        self.suffix = TappedPrefix(nn.Identity(), modules, self.live_taps)
        self.is_own = isinstance(head, OwnHead)
        self.head: nn.Module = (
            deepcopy(head.module)
            if isinstance(head, OwnHead)
            else _linear(*_for_standardised(head, mean, scale, width=sum(self.widths.values())))
        )
        live = np.concatenate([np.full(self.widths[tap], tap in self.live_taps) for tap in self.taps])
        self.norm = FeatureNorm(mean, scale, live)

    def forward(self, activations: Tensor, prefix_taps: Tensor) -> Tensor:
        """The head always computes in float32, also where the stages run under autocast."""
        parts = dict(zip(self.prefix_taps, _columns(prefix_taps, self.prefix_taps, self.widths), strict=True))
        if self.live_taps:
            live = self.suffix(activations)
            parts |= zip(self.live_taps, _columns(live, self.live_taps, self.widths), strict=True)
        features = torch.cat([parts[tap].float() for tap in self.taps], dim=1)
        with torch.autocast(features.device.type, enabled=False):
            return cast(Tensor, self.head(self.norm(features)))

    def by_depth(self) -> tuple[tuple[int, nn.Module], ...]:
        """(depth, module): the head has depth 0, the last stage with weights 1, and so on to the left."""
        weighty = [stage for stage in self.suffix.stages if any(True for _ in stage.parameters())]
        return ((0, self.head), *enumerate(reversed(weighty), start=1))

    @property
    def trained_stages(self) -> tuple[str, ...]:
        """The stages in which something learns. Empty: only the head does."""
        stages = zip(self.suffix.stage_names, self.suffix.stages, strict=True)
        return tuple(name for name, stage in stages if any(parameter.requires_grad for parameter in stage.parameters()))

    def penalised(self) -> Tensor | None:
        """The weights of a linear head."""
        return None if self.is_own else cast(nn.Linear, self.head).weight

    def feature_norm(self) -> FeatureNorm:
        """The one before the head."""
        return self.norm

    def learnt_head(self) -> LinearMap | OwnHead:
        """The head as it is now, for raw features; a linear one as coef (D, O), or (D, 1) where it is tied, intercept (O,), computed in
        float64.
        """
        if self.is_own:
            mean, scale = (statistic.detach().cpu().numpy() for statistic in self.norm.statistics())
            return OwnHead(module=deepcopy(self.head).cpu().eval(), mean=mean, scale=scale)
        linear = cast(nn.Linear, self.head)
        tensors = (linear.weight, linear.bias, *self.norm.statistics())
        weight, bias, mean, scale = (tensor.detach().cpu().double().numpy() for tensor in tensors)
        coef = weight * scale
        return LinearMap(coef=np.ascontiguousarray(coef.T, np.float32), intercept=(bias - coef @ mean).astype(np.float32))


def cold_start(
    backbone: Backbone, taps: Sequence[str], n_outputs: int, *, own: nn.Module | None = None, tied: bool = False
) -> TunedSuffix:
    """Training from scratch: the whole network, and a head that begins at zero on features as they are; ``own`` begins as it came.

    ``tied``: one row of weights for all outputs.

    Not standardised at the start: statistics of random features stop being true with the first steps, and the norm before the
    head finds its own.
    """
    width = sum(width for tap, width in backbone.tap_layout() if tap in taps)
    mean, scale = np.zeros(width, np.float32), np.ones(width, np.float32)
    head: LinearMap | OwnHead = LinearMap(
        coef=np.zeros((width, 1 if tied else n_outputs), np.float32), intercept=np.zeros(n_outputs, np.float32)
    )
    if own is not None:
        head = OwnHead(module=made(own, width), mean=mean, scale=scale)
    return TunedSuffix(backbone, "pixels", taps, head, mean, scale)


def split_taps(backbone: Backbone, cut: str, taps: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(taps of the prefix, taps of the suffix) of a cut, each in the order of ``taps``. Raises UnknownNameError."""
    for tap in taps:
        if tap not in backbone.tap_names:
            raise UnknownNameError("tap", tap, backbone.tap_names)
    at = backbone.cuts.index(backbone.resolve_cut(cut))  # stages[:at] are the prefix
    # The maximum is of the last map's values: known at that cut, although it is read on the way to `pooled`.
    stored = [tap for tap in taps if (_stage_of(backbone, tap) if tap != "max" else len(backbone.stages) - 2) < at]
    return tuple(stored), tuple(tap for tap in taps if tap not in stored)


def set_training(module: nn.Module, batch_norm: StatisticsPolicy, head_norm: StatisticsPolicy = "update") -> None:
    """Training mode; with 'stored', batch norm, or the norm before the head, goes on using the statistics that it came with.

    For the network's own batch norm 'stored' is the default for small data: its statistics were learnt with its weights, from a
    million pictures. On solar cells, which look like none of those, 'update' began with a loss of 5 instead of 0.4, fitted
    train faster, and ended worse on val (log-loss 0.34 instead of 0.29).
    """
    module.train()
    for name, part in module.named_modules():
        policy = head_norm if name.startswith("norm.") else batch_norm
        if isinstance(part, _BatchNorm) and policy == "stored":
            part.eval()


def _stage_of(backbone: Backbone, tap: str) -> int:
    """The index of the stage that must run for this tap to be read."""
    return [stage.name for stage in backbone.stages].index("pooled" if tap == "max" else tap)


def _columns(features: Tensor, taps: Sequence[str], widths: dict[str, int]) -> tuple[Tensor, ...]:
    expected = sum(widths[tap] for tap in taps)
    if features.shape[1] != expected:
        raise UsageError(f"found {features.shape[1]} features for the taps {', '.join(taps) or '(none)'}; expected {expected}.")
    return torch.split(features, [widths[tap] for tap in taps], dim=1) if taps else ()


def _linear(weight: Array, bias: Array) -> nn.Linear:
    layer = (nn.Linear if len(weight) == len(bias) else TiedLinear)(weight.shape[1], len(bias))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer


def _for_standardised(head: LinearMap, mean: Array, scale: Array, *, width: int) -> tuple[Array, Array]:
    """(O, D) and (O,) with weight · ((x - mean) · scale) + bias = x · coef + intercept."""
    coef, intercept = head.coef.T.astype(np.float64), head.intercept.astype(np.float64)
    if not coef.shape[1] == len(mean) == len(scale) == width:
        raise UsageError(
            f"the taps are {width} features wide, but the head has {coef.shape[1]}, mean {len(mean)} and scale {len(scale)}; "
            "all must be of the same taps in the same order."
        )
    if np.any(coef[:, scale == 0]):
        raise UsageError(
            "a feature with scale 0 takes no part, but the head gives it a weight: mean and scale are not the head's."
        )
    weight = np.divide(coef, scale, out=np.zeros_like(coef), where=scale != 0)
    return weight.astype(np.float32), (intercept + coef @ mean.astype(np.float64)).astype(np.float32)
