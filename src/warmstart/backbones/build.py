"""From a spec to a network with random weights, and from a network to its backbone."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from warmstart.backbones.assembly import assemble
from warmstart.backbones.auto_chain import discover
from warmstart.backbones.catalog import BackboneSpec
from warmstart.backbones.chain import Backbone
from warmstart.backbones.declarations import DECLARATIONS

# torchvision's Inception networks come with auxiliary classifiers, which only their original training used; and their
# published weights expect the input to be shifted from ImageNet's mean to 0.5.
_INCEPTION: Mapping[str, Any] = {"aux_logits": False, "transform_input": True, "init_weights": True}
_TORCHVISION_OPTIONS: Mapping[str, Mapping[str, Any]] = {"googlenet": _INCEPTION, "inception_v3": _INCEPTION}


def build_network(spec: BackboneSpec, n_classes: int = 1000, *, seed: int = 0) -> nn.Module:
    """The library's own model in eval mode, initialised by the library under ``seed``; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if spec.library == "timm":
            import timm

            network = timm.create_model(spec.builder, num_classes=n_classes)
        elif spec.library == "torchvision":
            from torchvision import models

            options = _TORCHVISION_OPTIONS.get(spec.builder, {})
            network = models.get_model(spec.builder, weights=None, num_classes=n_classes, **options)
        else:
            from warmstart.backbones.zfnet import ZFNet

            network = ZFNet(n_classes)
    return cast(nn.Module, network.eval())


def to_backbone(spec: BackboneSpec, network: nn.Module) -> Backbone:
    """The network's links and cuts: as declared for its family, or found and proven where nothing is declared.

    Raises BackboneError when neither works.
    """
    if spec.declaration is None:
        return discover(spec, network)
    return assemble(spec, network, DECLARATIONS[spec.declaration])
