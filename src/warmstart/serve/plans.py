"""A plan out of a request: what strangers may not decide, beside what no plan can be."""

from collections.abc import Mapping
from typing import Any

from warmstart.errors import UnknownNameError
from warmstart.plan import Plan
from warmstart.records import to_json
from warmstart.serve.errors import ApiError

WEIGHTS = ("default", "random")  # a file of the server's disk is nobody's business
MOST_BATCH = 1024


def checked_plan(values: Mapping[str, Any], *, cut: str) -> Plan:
    """The plan; ``cut`` where none is given. Raises what `Plan` raises, or ApiError 422.

    What takes weights or pictures to tell is told by the job.
    """
    plan = Plan.from_dict({"cut": "pooled" if values.get("freeze") else cut, **values})
    if plan.weights not in WEIGHTS:
        raise UnknownNameError("weights", plan.weights, WEIGHTS)
    if plan.batch_size > MOST_BATCH:
        raise ApiError(422, "usage", found=f"batch size {plan.batch_size}", expected=f"at most {MOST_BATCH}")
    if plan.nested:
        raise ApiError(
            422,
            "usage",
            found="nested in a plan",
            expected="names of nested classes in a table, for folders of a data set that was uploaded are named by the first of them",
            fix="put a CSV file with columns path,label into the zip file, with labels such as animal>dog>pug",
        )
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
    plan.require_runnable()
    return plan
