"""fit: every picture is learnt from, and a model comes out. No test and no run folder: whoever calls this measures by himself.

listing → rows of the frozen backbone → probe → [tune: the network right of the cut] → model
"""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from warmstart.errors import UsageError
from warmstart.model.predictor import Model
from warmstart.plan import ADVISED, Plan
from warmstart.records import Listing, Problem
from warmstart.session.dataset import prepare
from warmstart.session.listed import listed
from warmstart.session.outcome import about, frozen, tuned
from warmstart.session.own_parts import NONE, OwnParts
from warmstart.session.probe import extracted, make_ready, probed
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.training.frozen import of_given, with_cut


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What was learnt, and what of the data had to be left out for it."""

    model: Model
    problems: tuple[Problem, ...]


def fit(
    listing: Listing,
    plan: Plan,
    *,
    own: OwnParts = NONE,
    val_share: float = 0.2,
    download: bool = False,
    watcher: Watcher | None = None,
) -> Fit:
    """Fit what the plan says on all pictures of a listing that can be used.

    own: objects of the user's. val_share: of the pictures, to choose the best epoch by where the plan trains the network, or a task its
    own module; the head on the frozen network needs none. Raises what `train` raises.
    """
    plan, watcher = with_cut(of_given(plan, own.backbone), own.backbone), watcher or NullProgress()
    plan.require_runnable()
    if plan.cut == ADVISED:
        raise UsageError(
            "cut 'auto' leaves the recipe to advice, which takes a val and a time: here name a cut, such as pooled"
        )
    # Near copies are of one split, whatever they are: there is no test that they could flatter.
    settings = TrainSettings(download=download, group_duplicates=False)
    listing, task = listed(listing, settings, plan, watcher)
    trains = plan.trains_network or task.trains_in_fit
    plan = replace(plan, fractions=(1 - val_share, val_share, 0.0) if trains else (1.0, 0.0, 0.0))
    with (
        Session.opened(settings, task, watcher, own=own, stop_keeps=False) as session,
        TemporaryDirectory() as place,
    ):
        ready = make_ready(listing, prepare(listing, plan, session), plan, session)
        seen = probed(extracted(ready, session), session, Path(place))
        trained = tuned(seen, session, Path(place)) if plan.trains_network else frozen(seen, watcher)
        model = replace(trained.model, about=about(seen.plan, {}, seen.dataset, seen.backbone))
    return Fit(model=model, problems=seen.dataset.problems)
