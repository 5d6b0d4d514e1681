"""A network small enough to work out by hand."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone, Classifier, Link, Stage
from warmstart.tasks.classify.explain.attribution_model import AttributionModel
from warmstart.tasks.classify.heads.linear import LinearHead
from warmstart.tasks.classify.heads.protocol import Head

SIDE_PX = 16


def linear_head(coef: np.ndarray, intercept: np.ndarray) -> Head:
    arrays = {"coef": coef.astype(np.float32), "intercept": intercept.astype(np.float32)}
    return LinearHead.from_arrays({"penalty": 0.03}, arrays)


def toy_backbone() -> Backbone:
    """16×16 pixels / 255 → two channels of 8×8, each a weighted sum of a patch of 2×2 → their means."""
    spec = replace(find("zfnet"), name="toy", input_size_px=SIDE_PX, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    convolution, pool, flatten = nn.Conv2d(3, 2, 2, stride=2, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(1)
    with torch.no_grad():
        convolution.weight[0], convolution.weight[1] = 1 / 12, 0  # brightness
        convolution.weight[1, 0] = 0.25  # red
    classifier = nn.Linear(2, 2)
    return Backbone(
        spec=spec,
        network=nn.Sequential(convolution, pool, flatten, classifier).eval(),
        links=(Link("convolution", convolution), Link("pool", pool), Link("flatten", flatten)),
        stages=(Stage("stem", "convolution", 0, 1), Stage("pooled", "flatten", 1, 3)),
        dropout=(),
        classifier=Classifier("3", classifier),
    )


def toy(
    *, taps: tuple[str, ...] = ("pooled",), views: tuple[str, ...] = ("plain",), head: Head | None = None
) -> AttributionModel:
    """Class 0 is bright, class 1 is red."""
    backbone = toy_backbone()
    return AttributionModel(
        backbone=backbone,
        head=head or linear_head(np.array([[3.0, -1.0], [-2.0, 4.0]]), np.array([0.5, -0.5])),
        layout=backbone.tap_layout(SIDE_PX),
        taps=taps,
        temperature=2.0,
        views=views,
    )
