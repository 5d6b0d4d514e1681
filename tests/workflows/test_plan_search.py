"""Which plans of an advice are tried, in which order, and what they start from."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from warmstart.plan import Plan
from warmstart.strategy.forecast import Forecast
from warmstart.tasks.classify.advice.plan_search import ranked


def test_plans_that_train_are_tried_by_their_gain_and_read_what_the_probe_reads() -> None:
    plans = (Plan(cut="pixels"), Plan(cut="stage5"), Plan(cut="stage3"), Plan())
    needed = Forecast(seconds={"total": 1.0}, longest_s=1.0, test_s=0.0, memory_bytes=0, store_bytes=0)
    forecasts = [replace(needed, longest_s=float(i)) for i in range(4)]
    advice: Any = SimpleNamespace(plans=plans, gains=(1.0, 3.0, 2.0, 0.0))
    own = Plan(taps="stage5,pooled", engine="pytorch", precision="f32")
    found = ranked(advice, forecasts, SimpleNamespace(plan=own))  # type: ignore[arg-type]
    assert [(plan.cut, forecast.longest_s) for plan, forecast in found] == [("stage5", 1.0), ("stage3", 2.0), ("pixels", 0.0)]
    assert {(plan.taps, plan.engine, plan.precision) for plan, _ in found} == {(own.taps, own.engine, own.precision)}
