"""A plan out of a request: the parts of it that strangers may decide, checked before a job is made of it."""

from collections.abc import Mapping
from typing import Any

from warmstart.backbones.catalog import find
from warmstart.data.augmentation import view_names
from warmstart.data.views import RESIZE_MODES, VIEW_POLICIES
from warmstart.errors import UnknownNameError
from warmstart.heads.catalog import head_spec
from warmstart.records import Plan, to_json
from warmstart.serve.problems import ApiError

WEIGHTS = ("default", "random")  # a file of the server's disk is nobody's business


def checked_plan(values: Mapping[str, Any], *, cut: str) -> Plan:
    """The plan; ``cut`` where none is given. Raises UsageError, UnknownNameError or ApiError 422.

    What takes the network to tell is told by the job.
    """
    plan = Plan.from_dict({"cut": "pooled" if values.get("freeze") else cut, **values})
    find(plan.backbone)
    head_spec(plan.head)
    view_names(plan.augment, plan.augment_views)
    for what, name, known in (
        ("views", plan.views, VIEW_POLICIES),
        ("resize", plan.resize, RESIZE_MODES),
        ("weights", plan.weights, WEIGHTS),
    ):
        if name not in known:
            raise UnknownNameError(what, name, known)
    if plan.batch_size > 1024:
        raise ApiError(422, "usage", found=f"batch size {plan.batch_size}", expected="at most 1024")
    try:
        to_json(plan.to_dict()).encode("utf-8", "surrogateescape")
    except ValueError as reason:
        raise ApiError(
            422,
            "usage",
            found=f"a plan that cannot be written down ({reason})",
            expected="numbers that are finite and texts that are Unicode",
            fix="leave out NaN, Infinity and lone surrogates",
        ) from reason
    return plan
