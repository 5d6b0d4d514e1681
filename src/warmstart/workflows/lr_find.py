"""lr-find: which learning rate the network right of a cut bears, as a curve and a suggestion."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warmstart.atomic import write_json
from warmstart.errors import UsageError
from warmstart.plan import Plan
from warmstart.session.listed import listed, of_task
from warmstart.session.probe import probe
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.run_folder import new_run_folder
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.session.training_inputs import training_inputs
from warmstart.training.execution import default_execution
from warmstart.training.frozen import with_cut
from warmstart.training.lr_find import LearningRateCurve, find_learning_rate


@dataclass(frozen=True, kw_only=True)
class LearningRateSearch:
    """The curve, and where its picture lies."""

    cut: str
    default: float  # the rate that training would take otherwise
    curve: LearningRateCurve
    folder: str  # lr-find.json and the picture, lr-find.png and lr-find.svg

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def lr_find(
    data: Any,
    plan: Plan,
    settings: TrainSettings | None = None,
    *,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
    watcher: Watcher | None = None,
) -> LearningRateSearch:
    """Train a copy for ``steps`` steps under rates from ``lowest`` to ``highest``. Raises what `train` raises."""
    from warmstart.report.learning_rates import draw_learning_rates

    settings, watcher = settings or TrainSettings(), watcher or NullProgress()
    plan = with_cut(plan)
    plan.require_runnable()
    if not plan.trains_network:
        raise UsageError(
            f"at --cut {plan.cut} nothing of the network is trained, so there is no rate to find; choose an earlier one"
        )
    listing, task = listed(data, settings, plan, watcher)
    plan = of_task(plan, task)
    with Session.opened(settings, task, watcher) as session:
        seen = probe(listing, plan, session)
        with training_inputs(seen, session) as inputs:
            curve = find_learning_rate(
                inputs.module,
                inputs.batches,
                inputs.objective,
                inputs.settings,
                lowest=lowest,
                highest=highest,
                steps=steps,
                execution=default_execution(),
                on_step=lambda done: watcher.progress("searching", done, steps),
            )
    folder = new_run_folder(settings.runs, f"{listing.source}-lr-find")
    result = LearningRateSearch(cut=seen.plan.cut, default=inputs.settings.learning_rate, curve=curve, folder=str(folder))
    draw_learning_rates(curve.rates, curve.losses, curve.smoothed, curve.suggestion, Path(folder))
    write_json(folder / "lr-find.json", result.to_dict())
    return result
