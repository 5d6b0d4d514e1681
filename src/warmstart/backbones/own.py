"""A network of the user's own as a backbone: any module that takes one batch of pictures.

    module → a copy on the CPU → identity by what it computes → links found and proven, otherwise `pixels` and `pooled` → Backbone

B batch, C channels, H, W, D features.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from warmstart.backbones.auto_chain import discover
from warmstart.backbones.catalog import IMAGENET_MEAN, IMAGENET_STD, OWN, BackboneSpec
from warmstart.backbones.chain import Backbone
from warmstart.backbones.freezing import frozen_parts, unfreeze
from warmstart.backbones.functional_layers import SpatialMean
from warmstart.backbones.operations import exported
from warmstart.backbones.weights import load_backbone
from warmstart.errors import BackboneError, UsageError

EXPECTED = (
    "expected a module that takes float32 pictures (B, 3, H, W) and gives class scores or features (B, D), or maps (B, C, H, W)"
)


def from_module(
    network: nn.Module,
    *,
    size_px: int = 224,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    name: str | None = None,
) -> Backbone:
    """A backbone whose weights are a copy of the module's; the module stays as it is.

    size_px: side of its square input. mean, std: of each channel, by which pictures from 0 to 1 are normalised; by default ImageNet's.
    name: for people; the class's by default. A network that ends in features or maps gets a linear layer over them, of use only to be
    replaced. Raises BackboneError for what cannot be a backbone, UsageError for wrong settings.
    """
    if not isinstance(network, nn.Module):
        raise UsageError(f"{type(network).__name__} is no network: {EXPECTED}")
    for what, values in (("mean", mean), ("std", std)):
        if len(values) != 3 or (what == "std" and min(values) <= 0):
            raise UsageError(f"{what} is {tuple(values)}; expected three numbers, one a channel{', above 0' * (what == 'std')}")
    name = name or type(network).__name__
    whole = _ending_in_a_classifier(deepcopy(network).cpu().float().eval(), name, size_px)
    spec = BackboneSpec(
        name=f"{OWN}{name}-{_structure(whole, name, size_px)}",
        library="own",
        builder=name,
        declaration=None,
        input_size_px=size_px,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        weights_tag=None,
        params_millions=sum(parameter.numel() for parameter in whole.parameters()) / 1e6,
    )
    return discover(spec, whole)


def given_backbone(given: Any) -> Backbone:
    """A copy of a backbone, in eval mode on the CPU and nothing of it frozen; of a module, as one with the usual input.

    Raises what `from_module` raises.
    """
    if not isinstance(given, Backbone):
        return from_module(given)
    copy = deepcopy(given)
    copy.network.cpu().float().eval()
    unfreeze(copy.network, "*")
    return copy


def backbone_of(given: Any, *, weights: str = "default", download: bool = False, seed: int = 0) -> Backbone:
    """A name's, a module's, or a copy of a backbone. Raises what `load_backbone` and `from_module` raise."""
    if isinstance(given, str):
        return load_backbone(given, weights=weights, download=download, seed=seed)
    return given_backbone(given)


def frozen_by_hand(given: Any) -> tuple[str, ...]:
    """What of a backbone was frozen, as `Plan.freeze` takes it; () where nothing was."""
    if not isinstance(given, Backbone):
        return ()
    of_classifier = f"{given.classifier.name}."
    fixed = [
        name
        for name, parameter in given.network.named_parameters()
        if not parameter.requires_grad and not name.startswith(of_classifier)
    ]
    return frozen_parts(given, fixed).names if fixed else ()


def with_tensors(backbone: Backbone, tensors: Mapping[str, Tensor]) -> Backbone:
    """A copy with these weights, named as in its network. Raises BackboneError where they do not fit."""
    copy = deepcopy(backbone)
    try:
        missing, unexpected = copy.network.load_state_dict(dict(tensors), strict=False)
    except RuntimeError as reason:
        raise BackboneError(
            f"the weights do not fit {backbone.spec.name!r}: {str(reason).splitlines()[-1].strip()}"
        ) from reason
    left_out = {f"{copy.classifier.name}.weight", f"{copy.classifier.name}.bias"}
    missing = [name for name in missing if name not in left_out and not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise BackboneError(
            f"the weights do not fit {backbone.spec.name!r}: {len(missing)} are missing ({', '.join(missing[:3])}), "
            f"{len(unexpected)} unknown ({', '.join(unexpected[:3])}). Give the network that the model was made with"
        )
    return copy


def _ending_in_a_classifier(network: nn.Module, name: str, size_px: int) -> nn.Module:
    """The network, or the network with a linear layer behind what it gives."""
    x = torch.zeros(2, 3, size_px, size_px)
    found: dict[bool, Any] = {}
    for training in (False, True):
        witness = deepcopy(network).train(training)
        given = x.clone()
        try:
            with torch.no_grad():
                found[training] = witness(given)
        except Exception as reason:  # it is the user's code
            why = (str(reason).splitlines() or [""])[0][:200]
            mode = "train" if training else "eval"
            raise BackboneError(
                f"{name} fails in {mode} mode on pictures (2, 3, {size_px}, {size_px}) ({type(reason).__name__}: {why}): {EXPECTED}"
            ) from reason
        if not torch.equal(given, x):
            raise BackboneError(f"{name} changes its input in place, which others read too: let its first layer work on a copy")
    shape, in_training = _shape(found[False]), _shape(found[True])
    if shape is None or in_training is None:
        raise BackboneError(f"{name} gives {type(found[shape is not None]).__name__}: {EXPECTED}")
    if shape != in_training:
        raise BackboneError(f"{name} gives {shape} in eval mode and {in_training} in train mode: it must give the same in both")
    last = [module for module in network.modules() if not list(module.children())][-1:]
    if len(shape) == 2 and last and isinstance(last[0], nn.Linear) and last[0].out_features == shape[1]:
        return network
    if len(shape) not in (2, 4):
        raise BackboneError(f"{name} gives {shape} for two pictures: {EXPECTED}")
    pooling: list[tuple[str, nn.Module]] = [("pool", SpatialMean()), ("flatten", nn.Flatten())] if len(shape) == 4 else []
    parts = OrderedDict([("features", network), *pooling, ("classifier", nn.Linear(shape[1], 2))])
    return nn.Sequential(parts).eval()


def _shape(out: Any) -> tuple[int, ...] | None:
    return tuple(out.shape) if isinstance(out, Tensor) and out.is_floating_point() else None


def _structure(network: nn.Module, name: str, size_px: int) -> str:
    """8 hex digits over what the network computes, whatever its weights: its operations in order, with their settings and constants.

    Two modules of the same tensors and another `forward` compute other features, and rows are kept under this name.
    """
    try:
        program = exported(network, (torch.zeros(2, 3, size_px, size_px),), name)
    except UsageError as reason:
        raise BackboneError(str(reason)) from reason.__cause__
    digest = hashlib.sha256(str(program.graph).encode())
    for key, constant in sorted(program.constants.items()):
        digest.update(key.encode())
        if isinstance(constant, Tensor):
            digest.update(constant.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:8]
