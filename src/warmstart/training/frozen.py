"""What a plan freezes: where the cut stands, what is held right of it, and the proof by digests, taken before training and after."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from warmstart.backbones.build import build_network, to_backbone
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone, split
from warmstart.backbones.freezing import FrozenParts, cut_by_freezing, frozen_parts
from warmstart.errors import UsageError
from warmstart.plan import ADVISED, GIVEN, Plan


def of_given(plan: Plan, given: Backbone | None) -> Plan:
    """The plan for a backbone that was handed over."""
    return plan if given is None else replace(plan, backbone=given.spec.name, weights=GIVEN)


def with_cut(plan: Plan, given: Backbone | None = None) -> Plan:
    """The plan with the cut that its `freeze` leads to, the last one that has nothing left of it which learns; else as it is.

    'pooled', the default, leaves the cut to `freeze`. An earlier cut may be given as well: what is frozen right of it is held. Raises
    UnknownNameError for what is no layer, UsageError for a cut right of a layer that learns. ``given``: the backbone, if it is at hand.
    """
    if not plan.freeze or plan.cut == ADVISED:
        return plan
    backbone = given or _chain(plan.backbone)
    asked, cuts = f"--freeze {','.join(plan.freeze)}", backbone.cuts
    if not frozen_parts(backbone, plan.freeze).parameters:
        raise UsageError(
            f"{asked} names nothing that learns: these layers have no weights. Name layers that have, such as a stage ({cuts[1]})."
        )
    cut = cut_by_freezing(backbone, plan.freeze)
    if plan.cut == cut == "pooled" and (plan.augment != "none" or plan.unfreeze):
        raise UsageError(
            f"{asked} freezes the whole network, and {'--unfreeze' if plan.unfreeze else '--augment'} is for training it. Leave that out, "
            "or freeze less."
        )
    if plan.cut == "pooled":
        return replace(plan, cut=cut)
    wanted = backbone.resolve_cut(plan.cut)
    if cut == "pooled" and plan.trains_network:
        raise UsageError(
            f"{asked} freezes the whole network, and --cut {plan.cut} is to train what is right of it. Leave --cut out to fit a head on "
            "the frozen network, or freeze less."
        )
    if cuts.index(wanted) > cuts.index(cut):
        learning = backbone.stages[cuts.index(cut)].name
        raise UsageError(
            f"{asked} leaves {learning} to learn, and --cut {plan.cut} freezes everything up to {given}. Leave --cut out, and it stands "
            f"at {cut}, before the first layer that learns; or freeze {learning} as well."
        )
    return plan


def prefix_digest(backbone: Backbone, cut: str) -> str:
    """SHA-256 (hex) over names, types, shapes and bytes of the prefix's tensors: parameters *and* buffers.

    Equal before and after training: not a bit left of the cut has changed. Raises UnknownNameError for an unknown cut.
    """
    prefix, _ = split(backbone, cut)
    return _digest((*prefix.named_parameters(), *prefix.named_buffers()))


def parts_digest(parts: FrozenParts) -> str:
    """The same of what is frozen right of the cut."""
    return _digest(parts.tensors().items())


def _digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors:
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _chain(name: str) -> Backbone:
    """Its layers by name; where a family is declared, without any weights, so that it takes no time."""
    spec = find(name)
    with torch.device("cpu" if spec.declaration is None else "meta"):
        return to_backbone(spec, build_network(spec))
