"""A backbone as a chain of links that can be cut.

    normalised pixels → [link, link, …] → pooled → dropout → classifier → logits
                         └ stem ┘└ stage1 ┘ …

Running the links in order *is* the network: the same modules (shared, not copied) in the same order, to the bit. That is
what the contract test demands of every entry of the catalogue, for every cut.

B batch, C channels, H, W.
"""

from collections.abc import Iterable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from warmstart.backbones.catalog import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec
from warmstart.backbones.cut_names import unknown_cut
from warmstart.backbones.functional_layers import SpatialMean
from warmstart.errors import BackboneError

# What layers make of a size. A run opens the same network more than once, a server and a search many times, and a trace takes 0.2 s. The
# name of a network of one's own tells what it computes (`own._structure`).
_TRACED: dict[str, dict[str, tuple[int, ...]]] = {}


@dataclass(frozen=True)
class Link:
    """One module of the chain. ``name`` is the library's own path, or the step's name where the library calls a function."""

    name: str
    module: nn.Module


@dataclass(frozen=True)
class Classifier:
    """The final layer and its path in the network."""

    name: str
    module: nn.Linear


@dataclass(frozen=True)
class Stage:
    """A run of links with a cut behind it: ``backbone.links[start:stop]``."""

    name: str  # canonical: stem, stage1 … stageN, pooled
    alias: str  # the library's path of the last module in it
    start: int
    stop: int


@dataclass(frozen=True)
class Backbone:
    """A network, its links up to `pooled`, and what stands behind them.

    ``network`` is the library's own model, in eval mode when it is handed out; the links hold its own modules.
    """

    spec: BackboneSpec
    network: nn.Module
    links: tuple[Link, ...]
    stages: tuple[Stage, ...]  # stem, stage1 … stageN, pooled; only pooled where nothing finer is proven
    dropout: tuple[Link, ...]  # between pooled and the classifier
    classifier: Classifier
    _shapes: dict[int, dict[str, tuple[int, ...]]] = field(init=False, repr=False, compare=False, default_factory=dict)

    @property
    def cuts(self) -> tuple[str, ...]:
        """Canonical names, left to right."""
        return ("pixels", *(stage.name for stage in self.stages))

    def resolve_cut(self, name: str) -> str:
        """The canonical name for a canonical name or an alias. Raises UnknownNameError."""
        if name in self.cuts:
            return name
        for stage in self.stages:
            if stage.alias == name:
                return stage.name
        raise unknown_cut(self.spec.name, name, self.cuts, [stage.alias for stage in self.stages])

    @property
    def tap_names(self) -> tuple[str, ...]:
        """What one pass reads: mean and deviation of every stage, the pooled features, the maximum of the last stage.

        The last stage is left out where the pooled features are its mean.
        """
        *maps, pooled = self.stages
        if not maps:
            return (pooled.name,)
        if _averages(self.links[pooled.start : pooled.stop]):
            return (*(stage.name for stage in maps[:-1]), "pooled", "max")
        return (*(stage.name for stage in maps), "pooled", "max")

    def tap_layout(self, size_px: int | None = None) -> tuple[tuple[str, int], ...]:
        """(tap, width) in the order in which `tapped` concatenates them. ``size_px`` None: the backbone's own."""
        channels = {cut: shape[0] for cut, shape in self.shapes(size_px).items()}
        widths = {name: 2 * c for name, c in channels.items()} | {"pooled": channels["pooled"]}
        widths["max"] = channels[self.stages[-2].name] if len(self.stages) > 1 else 0
        return tuple((name, widths[name]) for name in self.tap_names)

    def shapes(self, size_px: int | None = None) -> dict[str, tuple[int, ...]]:
        """Cut → shape of one picture's activations there, (C, H, W) or (C,). Computed once a size, without touching a weight.

        Raises BackboneError when the network does not work at that size.
        """
        size_px = size_px or self.spec.input_size_px
        if size_px not in self._shapes:
            layers = repr((self.spec.name, size_px, self.stages, [link.module for link in self.links]))
            if layers not in _TRACED:
                _TRACED[layers] = self._traced_shapes(size_px)
            self._shapes[size_px] = _TRACED[layers]
        return dict(self._shapes[size_px])

    @classmethod
    def from_module(
        cls,
        network: nn.Module,
        *,
        size_px: int = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        name: str | None = None,
    ) -> "Backbone":
        """A network of your own as a backbone; see `backbones.own.from_module`."""
        from warmstart.backbones.own import from_module

        return from_module(network, size_px=size_px, mean=mean, std=std, name=name)

    def __call__(self, pictures: Tensor) -> Tensor:
        """What the network says of a batch: class scores (B, K). ``pictures`` (B, 3, H, W): uint8, or float and normalised already."""
        if pictures.dtype == torch.uint8:
            mean, std = (
                torch.tensor(values, device=pictures.device).view(1, 3, 1, 1) for values in (self.spec.mean, self.spec.std)
            )
            pictures = (pictures.float() / 255 - mean) / std
        return cast(Tensor, self.network(pictures))

    def _traced_shapes(self, size_px: int) -> dict[str, tuple[int, ...]]:
        x = torch.empty(2, 3, size_px, size_px, device="meta")  # two: batch norm in train mode refuses one
        shapes: dict[str, tuple[int, ...]] = {"pixels": tuple(x.shape[1:])}
        for stage in self.stages:
            for link in self.links[stage.start : stage.stop]:
                try:
                    x = run_on_meta(link.module, x)
                except RuntimeError as error:
                    raise BackboneError(
                        f"backbone {self.spec.name!r} does not work on pictures of {size_px}×{size_px} px: link {link.name!r} "
                        f"says '{error}'. Its own size is {self.spec.input_size_px} px."
                    ) from error
            shapes[stage.name] = tuple(x.shape[1:])
        return shapes


def split(backbone: Backbone, cut: str) -> tuple[nn.Sequential, nn.Sequential]:
    """(prefix, suffix) at a cut: normalised pixels → activations, activations → logits (with the classifier).

    Both are plain sequences of the network's own modules; training the suffix trains the network. The prefix of 'pixels' is
    empty. Raises UnknownNameError for a cut that the backbone does not have.
    """
    name = backbone.resolve_cut(cut)
    at = next((stage.stop for stage in backbone.stages if stage.name == name), 0)
    behind = sequence((*backbone.links[at:], *backbone.dropout))
    return sequence(backbone.links[:at]), behind.append(backbone.classifier.module)


def trainable_copy(backbone: Backbone, cut: str) -> Backbone:
    """The same network to be changed right of ``cut``: tensors left of it are shared, for nothing changes them, all others are copies."""
    prefix, _ = split(backbone, cut)
    shared = {id(tensor): tensor for tensor in (*prefix.parameters(), *prefix.buffers())}
    return deepcopy(backbone, shared)


def sequence(links: Iterable[Link]) -> nn.Sequential:
    """The links as one module. Its children are numbered; `torch` allows no dots in their names."""
    return nn.Sequential(*(link.module for link in links))


def with_submodule(module: nn.Module, path: str, new: nn.Module) -> nn.Module:
    """A shallow copy of ``module`` in which ``path`` is ``new``: only the containers on the way are copied, no tensor is."""
    child, _, rest = path.partition(".")
    changed = copy(module)
    changed._modules = dict(module._modules)
    changed._modules[child] = with_submodule(cast(nn.Module, module._modules[child]), rest, new) if rest else new
    return changed


def run_on_meta(module: nn.Module, x: Tensor) -> Tensor:
    """Shapes only: the module's forward with tensors that have no storage."""
    tensors = {name: tensor.to("meta") for name, tensor in (*module.named_parameters(), *module.named_buffers())}
    with torch.inference_mode():
        return cast(Tensor, functional_call(module, tensors, (x,)))


def _averages(pooling: Sequence[Link]) -> bool:
    """Whether these links are a plain spatial mean, however the library spells it."""
    kinds = [module for link in pooling for module in link.module.modules() if not list(module.children())]
    return all(
        isinstance(module, nn.Identity | nn.Flatten | SpatialMean)
        or (isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)))
        for module in kinds
    )
