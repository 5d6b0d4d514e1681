"""The plans that `compare` puts side by side, from short names.

frozen            the head on frozen features
stage5            the network right of a cut is trained
full              all of it, from pretrained weights
scratch           all of it, from random weights
stage5+dihedral   with an augmentation policy
full@128          at another input size, in pixels; both may be given: full+flip@128
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from warmstart.errors import UnknownNameError, UsageError
from warmstart.plan import Plan

_NAME = re.compile(r"(?P<what>[\w.]+)(\+(?P<augment>\w+))?(@(?P<size_px>\d+))?")

# Where the partial plan cuts when nobody says: two thirds down the stages. Lower layers are general, upper ones specific, and the
# change comes about in the middle (Yosinski et al., How transferable are features in deep neural networks?, 2014, §4).
PARTIAL_DEPTH = 2 / 3


def default_names(cuts: Sequence[str]) -> tuple[str, ...]:
    """Frozen, partial, full, scratch: the cheapest first. ``cuts`` of the backbone, in order."""
    stages = [cut for cut in cuts if cut.startswith("stage")]
    partial = stages[round(PARTIAL_DEPTH * len(stages)) - 1]
    return "frozen", partial, "full", "scratch"


def plans_by_name(names: Sequence[str], base: Plan, cuts: Sequence[str]) -> dict[str, Plan]:
    """Name → plan, as ``base`` but for what the name says. ``base.augment`` is for the plans that train the network.

    Raises UsageError for a name that is not of the form above or stands twice, UnknownNameError for a cut that is not in ``cuts``.
    """
    if base.freeze:
        raise UsageError(
            f"the names {', '.join(names)} say by themselves what is frozen, and freeze {','.join(base.freeze)} was given for all of "
            "them: give plans with freeze by names of your own, as in {'mine': Plan(freeze=…)}"
        )
    plans: dict[str, Plan] = {}
    for name in names:
        if name in plans:
            raise UsageError(f"the plan {name!r} is there twice; a plan is compared with others")
        plans[name] = _plan(name, base, cuts)
    if not plans:
        raise UsageError("no plan to compare; name some, for example --plans frozen,stage5,full,scratch")
    return plans


def _plan(name: str, base: Plan, cuts: Sequence[str]) -> Plan:
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f"plan {name!r} is not of the form NAME[+AUGMENT][@PX], for example stage5+flip or full@128")
    what, augment, size_px = match["what"], match["augment"] or base.augment, match["size_px"]
    plan = replace(base, unfreeze=(), image_size_px=int(size_px) if size_px else base.image_size_px)
    if what in ("frozen", "pooled"):
        if match["augment"]:
            raise UsageError(f"plan {name!r}: a frozen network is not trained, so there is nothing to augment for")
        return replace(plan, cut="pooled", augment="none")
    if what == "full":
        return replace(plan, cut="pixels", augment=augment)
    if what == "scratch":
        return replace(plan, cut="pixels", augment=augment, weights="random")
    if what not in cuts:
        raise UnknownNameError("plan", what, ["frozen", "full", "scratch", *cuts])
    return replace(plan, cut=what, augment=augment)
