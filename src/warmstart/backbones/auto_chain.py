"""Stages for a network that no declaration covers: found by trying, believed only when proven.

    children in order, sequences opened → run one by one → a stage ends where the resolution drops → a Declaration → proof

What cannot be proven gets the two cuts that every classifier has: `pixels` and `pooled`.

B batch, C channels, H, W.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from warmstart.backbones.assembly import assemble, assemble_whole
from warmstart.backbones.catalog import BackboneSpec
from warmstart.backbones.chain import Backbone
from warmstart.backbones.declarations import Declaration
from warmstart.backbones.proof import is_proven, randomise
from warmstart.errors import BackboneError

# How libraries get from the last map to a vector when they do it in `forward` rather than in a module.
_FUNCTIONAL_ENDINGS = ("", "+flatten", "+spatial_mean +flatten", "+relu +spatial_mean +flatten")

# What modules raise when they are run in an order that was not meant: shapes, number or kind of arguments.
_MISFITS = (RuntimeError, TypeError, ValueError, AttributeError)


def discover(spec: BackboneSpec, network: nn.Module) -> Backbone:
    """The finest chain that is proven for this network. Its weights are not touched: the proof runs on a copy.

    Raises BackboneError when even the classifier alone cannot be separated.
    """
    witness = deepcopy(network).eval()
    randomise(witness)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, spec.input_size_px, spec.input_size_px, generator=generator)
    x[1] *= 0.5  # two pictures of different contrast, so that a lost normalisation shows
    for ending in _FUNCTIONAL_ENDINGS:
        declaration = _guess(witness, x, ending)
        if declaration is not None and _holds(assemble(spec, witness, declaration), x):
            return assemble(spec, network, declaration)
    classifier = _classifier_path(network)
    if classifier is None or not _holds(assemble_whole(spec, witness, classifier), x):
        raise BackboneError(
            f"{spec.name!r} does not end in one linear layer over a vector, so no head can take that layer's place. "
            f"Backbones that do: warmstart backbones"
        )
    return assemble_whole(spec, network, classifier)


def _guess(network: nn.Module, x: Tensor, ending: str) -> Declaration | None:
    """The children as links, grouped by resolution; None when they don't run one after the other."""
    paths = _opened_children(network)
    if not isinstance(network.get_submodule(paths[-1]), nn.Linear):
        return None
    *body, classifier = paths
    dropout: list[str] = []
    while body and isinstance(network.get_submodule(body[-1]), nn.Dropout):
        dropout.insert(0, body.pop())
    groups: list[list[str]] = []  # runs of links whose outputs have one resolution
    pooling: list[str] = []
    resolution = x.shape[-1]
    for path in body:
        try:
            with torch.inference_mode():
                x = network.get_submodule(path)(x)
        except _MISFITS:
            return None
        if not isinstance(x, Tensor) or (x.dim() == 4 and x.shape[2] != x.shape[3]):
            return None  # several outputs, or channels last
        if pooling or x.dim() != 4 or x.shape[-1] == 1:
            pooling.append(path)
        elif not groups or x.shape[-1] < resolution:
            groups.append([path])
            resolution = x.shape[-1]
        else:
            groups[-1].append(path)
    if len(groups) < 2:
        return None
    return Declaration(
        stem=" ".join(groups[0]),
        stages=tuple(" ".join(group) for group in groups[1:]),
        pooling=" ".join([*pooling, *ending.split()]),
        dropout=" ".join(dropout),
        classifier=classifier,
    )


def _holds(backbone: Backbone, x: Tensor) -> bool:
    try:
        return is_proven(backbone, x)
    except _MISFITS:
        return False


def _opened_children(network: nn.Module) -> list[str]:
    """Paths of the direct children in order; a plain sequence is replaced by its children."""
    paths = []
    for name, child in network.named_children():
        # Not a subclass of Sequential: timm and torchvision have some whose `forward` does more.
        paths += [f"{name}.{inner}" for inner, _ in child.named_children()] if type(child) is nn.Sequential else [name]
    return paths


def _classifier_path(network: nn.Module) -> str | None:
    """The last linear layer, which is the classifier if the proof says so."""
    return next((path for path, module in reversed(list(network.named_modules())) if isinstance(module, nn.Linear)), None)
