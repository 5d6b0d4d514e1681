"""Which parts of a network learn: a new classifier, frozen layers, and seeing it as a table.

Frozen means that nothing changes: parameters take no gradient, *and* the module computes as in eval mode, so that running
statistics stay and dropout is off. PyTorch has a flag for the first only. For the second, a frozen module carries a forward
pre-hook that puts it back into eval mode just before it runs: `.train()` on any parent cannot thaw it, `deepcopy` carries the
hook along, state dicts don't see it, and it can be looked up (`is_frozen`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import nn

from warmstart.backbones.chain import Backbone, Classifier, with_submodule
from warmstart.errors import UnknownNameError


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
    """Freeze, in place, every module or parameter whose path matches one of ``patterns`` (as in a shell: * ? [ ]).

    A matched module is frozen with everything in it. With a Backbone, a stage name ('stem', 'stage2', 'pooled') stands for
    the links of that stage. Raises UnknownNameError for a pattern that matches nothing.
    """
    modules, parameters = _select(target, patterns)
    for parameter in parameters:
        parameter.requires_grad_(False)
    for module in modules:
        module.training = False
        if not is_frozen(module):
            module.register_forward_pre_hook(_stay_in_eval)


def unfreeze(target: Backbone | nn.Module, patterns: str | Iterable[str]) -> None:
    """The inverse of `freeze`, with the same patterns. Modules stay in eval mode until someone calls `.train()`."""
    modules, parameters = _select(target, patterns)
    for parameter in parameters:
        parameter.requires_grad_(True)
    for module in modules:
        for key in [key for key, hook in module._forward_pre_hooks.items() if hook is _stay_in_eval]:
            del module._forward_pre_hooks[key]


def freeze_up_to(backbone: Backbone, cut: str) -> None:
    """Freeze the prefix of a cut, in place: everything left of it. Raises UnknownNameError for an unknown cut."""
    cuts = backbone.cuts
    freeze(backbone, cuts[1 : cuts.index(backbone.resolve_cut(cut)) + 1])


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


def _select(target: Backbone | nn.Module, patterns: str | Iterable[str]) -> tuple[list[nn.Module], list[nn.Parameter]]:
    """The modules and parameters that the patterns cover, with everything in them."""
    network = target.network if isinstance(target, Backbone) else target
    cuts = target.cuts if isinstance(target, Backbone) else ()
    modules: list[nn.Module] = []
    parameters: list[nn.Parameter] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if isinstance(target, Backbone) and pattern in cuts:
            covered = _modules_of_stage(target, pattern)
            single: list[nn.Parameter] = []
        else:
            covered = [module for name, module in network.named_modules() if name and fnmatchcase(name, pattern)]
            single = [parameter for name, parameter in network.named_parameters() if fnmatchcase(name, pattern)]
            if not covered and not single:
                raise UnknownNameError("layer", pattern, [*cuts, *(name for name, _ in network.named_modules() if name)])
        modules += [inner for module in covered for inner in module.modules()]
        parameters += [*single, *(parameter for module in covered for parameter in module.parameters())]
    return modules, parameters


def _modules_of_stage(backbone: Backbone, name: str) -> list[nn.Module]:
    return [link.module for stage in backbone.stages if stage.name == name for link in backbone.links[stage.start : stage.stop]]
