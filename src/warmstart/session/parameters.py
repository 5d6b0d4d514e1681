"""How many parameters a run's network has, and how many of them were trained."""

from collections.abc import Sequence
from typing import Any

from warmstart.backbones.chain import Backbone
from warmstart.plan import Plan


def count_parameters(backbone: Backbone, plan: Plan) -> dict[str, Any]:
    """How many parameters the network has, without its classifier, and how many of them were trained; a head is not counted."""
    from warmstart.backbones.describe import parameters_right
    from warmstart.backbones.freezing import frozen_parts

    right = parameters_right(backbone)
    held = frozen_parts(backbone, plan.freeze, right_of=plan.cut)
    stages = [cut for cut in backbone.cuts if cut not in ("pixels", "pooled")]
    frozen = [stage for stage in stages if stage in held.names or _left(stage, plan, backbone.cuts)]
    return {
        "network": right["pixels"],
        "trained": right[plan.cut] - held.count() if plan.trains_network else 0,
        "frozen_stages": frozen,
        "trained_stages": [stage for stage in stages if stage not in frozen],
    }


def _left(stage: str, plan: Plan, cuts: Sequence[str]) -> bool:
    return not plan.trains_network or cuts.index(stage) <= cuts.index(plan.cut)
