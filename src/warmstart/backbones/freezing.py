"""Which parts of a network learn: a new classifier, frozen layers, and seeing it as a table.

Frozen means that nothing changes: parameters take no gradient, *and* the module computes as in eval mode, so that running
statistics stay and dropout is off. PyTorch has a flag for the first only. For the second, a frozen module carries a forward
pre-hook that puts it back into eval mode just before it runs: `.train()` on any parent cannot thaw it, `deepcopy` carries the
hook along, state dicts don't see it, and it can be looked up (`is_frozen`).

What is frozen is said by patterns as in a shell (* ? [ ], where * also takes dots):

    stage3  stage[1-4]  stage*  *       stages, by their canonical names: stem, stage1 … stageN, pooled
    layer4  layer4.0  *.bn*  fc.bias    modules and parameters, by the network's own paths
    stage4.*.bn*                        modules and parameters inside a stage

A pattern that fits a stage's name means stages and nothing else. A module all of whose parameters are frozen is frozen whole: the
statistics of a norm go with its weights.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from warmstart.backbones.chain import Backbone, Classifier, Link, Stage, with_submodule
from warmstart.errors import UnknownNameError

SHOWN = 5  # names in a sentence


@dataclass(frozen=True, kw_only=True)
class FrozenRow:
    """One module that owns parameters or buffers."""

    name: str  # the library's path
    params: int
    trainable: int
    buffers: int
    buffers_frozen: int

    @property
    def frozen(self) -> bool:
        """Nothing in it can change."""
        return self.trainable == 0 and self.buffers_frozen == self.buffers


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenParts:
    """What patterns cover of a backbone, by the network's own paths and in its order."""

    names: tuple[str, ...]  # few: a stage that is covered whole by its name, else the outermost modules, else parameters
    modules: Mapping[str, nn.Module]
    parameters: Mapping[str, nn.Parameter]

    def tensors(self) -> dict[str, Tensor]:
        """Every parameter and buffer in it."""
        buffers = {
            _joined(path, name): buffer
            for path, module in self.modules.items()
            for name, buffer in module.named_buffers(recurse=False)
        }
        return {**self.parameters, **buffers}

    def in_words(self) -> str:
        """The first few names."""
        more = len(self.names) - SHOWN
        return ", ".join(self.names[:SHOWN]) + (f" and {more} more" if more > 0 else "")

    def count(self) -> int:
        """How many numbers its parameters are."""
        return sum(parameter.numel() for parameter in set(self.parameters.values()))


def replace_classifier(backbone: Backbone, n_classes: int, *, seed: int = 0) -> Backbone:
    """The same backbone with a new final layer for ``n_classes``, drawn under ``seed`` as PyTorch draws linear layers.

    The given backbone keeps its classifier; every other module is shared between the two.
    """
    old = backbone.classifier.module
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = nn.Linear(old.in_features, n_classes).to(old.weight.device).train(old.training)
    network = with_submodule(backbone.network, backbone.classifier.name, classifier)
    return replace(backbone, network=network, classifier=Classifier(backbone.classifier.name, classifier))


def freeze(target: Backbone | nn.Module, patterns: str | Iterable[str]) -> None:
    """Freeze, in place, every stage, module or parameter that one of ``patterns`` covers, for a loop of your own.

    `train` does the same with the patterns of `Plan.freeze`. Raises UnknownNameError for a pattern that covers nothing.
    """
    modules, parameters = _covered(target, patterns)
    for parameter in parameters:
        parameter.requires_grad_(False)
    for module in modules:
        module.training = False
    _hooked(modules)


def unfreeze(target: Backbone | nn.Module, patterns: str | Iterable[str]) -> None:
    """The inverse of `freeze`, with the same patterns. Modules stay in eval mode until someone calls `.train()`."""
    modules, parameters = _covered(target, patterns)
    for parameter in parameters:
        parameter.requires_grad_(True)
    for module in modules:
        for key in [key for key, hook in module._forward_pre_hooks.items() if hook is _stay_in_eval]:
            del module._forward_pre_hooks[key]


def frozen_parts(backbone: Backbone, patterns: Iterable[str], *, right_of: str = "pixels") -> FrozenParts:
    """What the patterns cover right of a cut, up to 'pooled'. Nothing is changed.

    Raises UnknownNameError for a pattern that covers nothing left of the classifier, wherever the cut is.
    """
    modules, parameters = _covered(backbone, patterns, head_too=False)
    held, fixed = set(modules), set(parameters)
    names: list[str] = []
    inside: dict[str, nn.Module] = {}
    single: dict[str, nn.Parameter] = {}
    for stage in backbone.stages[backbone.cuts.index(backbone.resolve_cut(right_of)) :]:
        own = parameters_of(backbone, stage)
        whole = bool(own) and fixed.issuperset(own)
        names += [stage.name] if whole else []
        for layer in _layers_of(backbone, stage):
            path = layer.path
            if layer.module in held:
                inside[path] = layer.module
                if not whole and _has_tensors(layer.module) and not _under(path, names):
                    names.append(path)
            for name, parameter in layer.module.named_parameters(recurse=False):
                if parameter in fixed:
                    single[_joined(path, name)] = parameter
                    if not whole and not _under(_joined(path, name), names):
                        names.append(_joined(path, name))
    return FrozenParts(names=tuple(names), modules=inside, parameters=single)


def cut_by_freezing(backbone: Backbone, patterns: Iterable[str]) -> str:
    """The last cut that has nothing left of it which learns while the patterns are frozen: 'pooled' where all is frozen."""
    fixed = set(frozen_parts(backbone, patterns).parameters.values())
    learning = (at for at, stage in enumerate(backbone.stages) if not fixed.issuperset(parameters_of(backbone, stage)))
    return backbone.cuts[next(learning, -1)]


def parameters_of(backbone: Backbone, stage: Stage) -> list[nn.Parameter]:
    """Of its links."""
    return [parameter for link in backbone.links[stage.start : stage.stop] for parameter in link.module.parameters()]


@contextmanager
def held(parts: FrozenParts) -> Iterator[None]:
    """Within: these parts are frozen. After: they are as they were."""
    learning = [parameter for parameter in parts.parameters.values() if parameter.requires_grad]
    hooks = _hooked(parts.modules.values())
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for parameter in learning:
            parameter.requires_grad_(True)


def is_frozen(module: nn.Module) -> bool:
    """Whether this module is held in eval mode; its parameters have their own `requires_grad`."""
    return _stay_in_eval in module._forward_pre_hooks.values()


def frozen_table(target: Backbone | nn.Module) -> list[FrozenRow]:
    """A row for each module that owns parameters or buffers, in the network's order. Counts are of numbers, not tensors."""
    network = target.network if isinstance(target, Backbone) else target
    rows = []
    for name, module in network.named_modules():
        parameters = list(module.parameters(recurse=False))
        n_buffers = sum(buffer.numel() for buffer in module.buffers(recurse=False))
        if parameters or n_buffers:
            rows.append(
                FrozenRow(
                    name=name,
                    params=sum(parameter.numel() for parameter in parameters),
                    trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
                    buffers=n_buffers,
                    buffers_frozen=n_buffers if is_frozen(module) else 0,
                )
            )
    return rows


def _stay_in_eval(module: nn.Module, _inputs: object) -> None:
    module.training = False


def _hooked(modules: Iterable[nn.Module]) -> list[RemovableHandle]:
    """Of those that were not frozen before."""
    return [module.register_forward_pre_hook(_stay_in_eval) for module in modules if not is_frozen(module)]


@dataclass(frozen=True, slots=True)
class _Layer:
    """A module, how it is called in the network, and within its stage: '' where it has no such name."""

    module: nn.Module
    path: str
    in_stage: str = ""

    def fits(self, pattern: str) -> bool:
        return any(name and fnmatchcase(name, pattern) for name in (self.path, self.in_stage))

    def parameters(self, pattern: str) -> list[nn.Parameter]:
        """Those of its own that the pattern names."""
        prefixes = [self.path, *([self.in_stage] if self.in_stage else [])]
        own = self.module.named_parameters(recurse=False)
        return [p for name, p in own if any(fnmatchcase(_joined(prefix, name), pattern) for prefix in prefixes)]


def _covered(
    target: Backbone | nn.Module, patterns: str | Iterable[str], *, head_too: bool = True
) -> tuple[list[nn.Module], list[nn.Parameter]]:
    """The modules and parameters that the patterns cover, with everything in them, each once and in a fixed order.

    ``head_too``: also what stands behind 'pooled'.
    """
    stages = target.stages if isinstance(target, Backbone) else ()
    layers = _layers(target, head_too=head_too)
    modules: dict[nn.Module, None] = {}
    parameters: dict[nn.Parameter, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        named = [stage for stage in stages if fnmatchcase(stage.name, pattern)]
        if isinstance(target, Backbone) and named:
            found = [link.module for stage in named for link in target.links[stage.start : stage.stop]]
            single: list[nn.Parameter] = []
        else:
            found = [layer.module for layer in layers if layer.fits(pattern)]
            single = [parameter for layer in layers for parameter in layer.parameters(pattern)]
            if not found and not single:
                raise _unknown(target, pattern, [layer.path for layer in layers if layer.path])
        modules |= dict.fromkeys(inner for module in found for inner in module.modules())
        parameters |= dict.fromkeys([*single, *(parameter for module in found for parameter in module.parameters())])
    links = [[link.module for link in target.links[s.start : s.stop]] for s in stages] if isinstance(target, Backbone) else []
    for whole in (*([layer.module] for layer in layers), *links):
        own = [parameter for module in whole for parameter in module.parameters()]
        if own and all(parameter in parameters for parameter in own):
            modules |= dict.fromkeys(inner for module in whole for inner in module.modules())
    return list(modules), list(parameters)


def _layers(target: Backbone | nn.Module, *, head_too: bool) -> list[_Layer]:
    if not isinstance(target, Backbone):
        return [_Layer(module, name) for name, module in target.named_modules(remove_duplicate=False)]
    chain = [layer for stage in target.stages for layer in _layers_of(target, stage)]
    known = {layer.module for layer in chain}
    behind = [
        _Layer(module, name)
        for name, module in target.network.named_modules(remove_duplicate=False)
        if head_too and module not in known
    ]
    return [*chain, *behind]


def _layers_of(backbone: Backbone, stage: Stage) -> Iterator[_Layer]:
    """Every module of a stage, outer ones first. Within a stage of several links a link goes by its path."""
    links: Sequence[Link] = backbone.links[stage.start : stage.stop]
    for link in links:
        # A step that the library writes as a function, or a network that is one link, has no path of its own.
        inside = _module_at(backbone.network, link.name) is link.module
        for name, module in link.module.named_modules(remove_duplicate=False):
            path = (_joined(link.name, name) if inside else name) or link.name
            yield _Layer(module, path, _joined(stage.name, path if len(links) > 1 else name))


def _module_at(network: nn.Module, path: str) -> nn.Module | None:
    try:
        return network.get_submodule(path)
    except AttributeError:
        return None


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


def _under(path: str, names: Iterable[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in names)


def _joined(path: str, name: str) -> str:
    return ".".join(part for part in (path, name) if part)


def _unknown(target: Backbone | nn.Module, pattern: str, paths: list[str]) -> UnknownNameError:
    if not isinstance(target, Backbone):
        return UnknownNameError("layer", pattern, paths)
    stages = [stage.name for stage in target.stages]
    error = UnknownNameError("layer", pattern, [*stages, *paths])
    if fnmatchcase(target.classifier.name, pattern):
        found = f"{pattern!r} is the old classifier of {target.spec.name!r}, whose place a new head takes, which always learns."
    else:
        found = f"unknown layer {pattern!r}: nothing in backbone {target.spec.name!r} has that name."
    guess = f" Did you mean {' or '.join(repr(near) for near in error.nearest)}?" if error.nearest else ""
    example = next((path for path in paths if path.count(".") > 1), paths[-1] if paths else "layer4.0")
    error.args = (
        f"{found} Layers are named by stages ({', '.join(stages)}), by the network's own paths (such as {example}), or by patterns "
        f"of either (stage*, *.bn*).{guess} List them: warmstart backbones {target.spec.name}",
    )
    return error
