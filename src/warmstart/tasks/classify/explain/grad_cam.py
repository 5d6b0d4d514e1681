"""Grad-CAM: a stage's channels, each weighted by how much the class depends on it (R. Selvaraju et al., ICCV 2017, §3).

    αₖ = mean over positions of ∂s / ∂Aₖ        map = ReLU(Σₖ αₖ Aₖ)

s is the log-odds of the class, where the paper takes its logit: what raises every class alike then cancels. By default at the last
stage that the head reads. Of 100 pictures composed of two classes, both maps lay on their own halves in 88 so, in 83 with the logit,
in 84 and 63 one and two stages further left (docs/explain.md). Derivatives run through every tap that the head reads at this stage
or right of it. A stage's standard deviation adds nothing at the stage itself, because its derivatives sum to 0 over the
positions; occlusion sees it.

V views, C channels, H, W.
"""

import numpy as np
import torch
from torch import Tensor

from warmstart.data.views import undo_view
from warmstart.errors import UsageError
from warmstart.tasks.classify.explain.attribution_model import AttributionModel, ForwardPass, column_indices
from warmstart.tasks.classify.explain.heat_map import HeatMap, signed
from warmstart.tasks.classify.heads_in_torch import logits

METHOD = "grad-cam"


def grad_cam(subject: AttributionModel, seen: ForwardPass, label: int, layer: str) -> HeatMap:
    """``seen`` is from `look` with gradients, and can be used again.

    Raises UsageError for a head without gradient, and for a stage that the head does not depend on.
    """
    if layer == "pixels":
        raise UsageError("Grad-CAM weights the channels of a stage, and pixels are none; --layer stem is the first stage")
    activations = seen.maps[layer]  # (V, C, H, W)
    score = _log_odds(subject, seen.rows, label)
    (gradient,) = torch.autograd.grad(score, [activations], retain_graph=True, allow_unused=True)
    if gradient is None or not gradient.any():
        raise UsageError(
            f"the head reads {', '.join(subject.taps)}, and nothing of {layer} reaches any of them, so there is no Grad-CAM of it; "
            f"the last stage that counts is {last_layer_read(subject, seen)}"
        )
    # A sum over views: the rows are averaged, so each view's gradient carries its share.
    with torch.no_grad():
        maps = (gradient.mean(dim=(2, 3), keepdim=True) * activations).sum(dim=1).numpy()  # (V, H, W)
    plain = sum(undo_view(values, view) for values, view in zip(maps, subject.views, strict=True))
    return signed(METHOD, layer, label, np.asarray(plain))


def last_layer_read(subject: AttributionModel, seen: ForwardPass) -> str:
    """The last stage with positions on which anything that the head reads depends: Grad-CAM's own layer by default."""
    layers = tuple(name for name in subject.layers(seen.maps) if name != "pixels")
    if not {"pooled", "max"} & set(subject.taps):
        layers = tuple(name for name in layers if name in subject.taps)
    if not layers:
        raise UsageError("no stage of this network has positions that the head depends on; --method occlusion --layer pixels")
    return layers[-1]


def _log_odds(subject: AttributionModel, rows: Tensor, label: int) -> Tensor:
    features = rows[:, column_indices(subject.layout, subject.taps)].mean(dim=0, keepdim=True)
    z = logits(subject.head, features)[0] / subject.temperature
    others = torch.cat([z[:label], z[label + 1 :]])
    return z[label] - torch.logsumexp(others, dim=0)
