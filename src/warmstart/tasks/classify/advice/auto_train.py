"""train without a recipe: the probe first, so that a model exists after seconds; then what the advice has that fits the time.

    ready → rows → probe → model/ ───────────────────────────────────────┐
                 └→ evidence → advice → candidates, one after the other ─┴→ best on val → test, once → run folder

A candidate is taken only where it is better on val than the probe by more than chance, so an advised run is never worse there.
Ctrl-C ends training and keeps the best so far; after a kill `train.resume` goes on with the candidate that was interrupted.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.session.clock import Clock
from warmstart.session.dataset import prepare
from warmstart.session.outcome import Run, finish, frozen, held_against_others, require_room_for
from warmstart.session.probe import extracted, make_ready, probed
from warmstart.session.run_folder import MODEL, keep_candidate, new_run_folder, resumable, under_way, write_plan, write_start
from warmstart.session.session import Session
from warmstart.strategy.forecast import Forecast, fits
from warmstart.tasks.classify.advice.advise import Advised, advised, draw_evidence, of_all, plan_for_advice
from warmstart.tasks.classify.advice.plan_search import OnVal, Tried, on_val, ranked, try_each
from warmstart.tasks.classify.advice.rules import TRAIN_BUDGET_S
from warmstart.workflows.reported import reported


def train_advised(
    listing: Listing,
    plan: Plan,
    session: Session,
    folder: Path | None = None,
) -> Run:
    """Within the session's budget; without one, within `TRAIN_BUDGET_S`.

    ``plan`` says what is not the advice's to decide. ``folder``: of the run, if not a new one; of a session that resumes, the run that was
    interrupted. Raises what `train` raises, and KeyboardInterrupt, once the run is written, where that ended its training.
    """
    budget_s = session.clock.budget_s or TRAIN_BUDGET_S
    session = replace(session, clock=replace(session.clock, budget_s=budget_s))
    settings, watcher = session.settings, session.watcher
    dataset = prepare(listing, plan, session)
    ready = make_ready(listing, dataset, plan_for_advice(dataset, plan, session), session)
    require_room_for(ready.backbone, folder or settings.runs, models=2)  # the first one stays until a better one stands
    seen = extracted(ready, session)
    probe = probed(seen, session, may_be_trained=True)
    trained = frozen(probe, watcher)
    first = best = on_val(probe, trained) if len(probe.choosing) else None
    folder = folder or new_run_folder(settings.runs, listing.source)
    with under_way(folder):
        write_start(folder, listing.source, plan, settings)
        trained.model.save(folder / MODEL)
    watcher.say(f"a first model is in {folder}{_accuracy(first)}")

    advice: Advised | None = None
    expected: Forecast | None = None
    tried: list[Tried] = []
    stopped = False
    try:
        advice = advised(seen, of_all(seen, plan.seed), session, budget_s=budget_s, start_s=0.0)
        draw_evidence(advice.evidence, listing.source, folder)
        candidates = ranked(advice.advice, advice.forecasts, probe) if first else []
        expected = _expected(candidates, session.clock)
        write_plan(folder / "plan.json", probe.plan, expected)
        if first and best:
            for one, result in try_each(candidates, first, session, folder):
                tried.append(one)
                watcher.say(f"{one.cut}: {one.outcome}{_accuracy(result)}")
                if result and result.log_loss < best.log_loss:
                    best = result
                    with resumable(folder):
                        best.trained.model.save(folder / MODEL)
    except KeyboardInterrupt:
        stopped = True
        watcher.say("stopping; the best so far is tested and kept")
    if best is not first and best:
        keep_candidate(folder, best.probe.plan.cut)
    elif any(one.by_val for one in tried):
        trained = held_against_others(probe, trained)
    with resumable(folder):
        run = finish(
            best.probe if best else probe,
            trained if best is first or best is None else best.trained,
            session,
            folder,
            expected=expected,
            advice=_document(advice, first, tried) if advice else None,
        )
    reported(run, probe, session)
    if stopped:
        raise KeyboardInterrupt
    return run


def _expected(candidates: Sequence[tuple[Plan, Forecast]], clock: Clock) -> Forecast | None:
    """Of this process: what it has taken, and all candidates that will fit, one after the other. None where there is none."""
    left = clock.left()
    if left is None or clock.budget_s is None:
        return None
    chosen: list[Forecast] = []
    for _, needed in candidates:
        if fits(needed, left):
            chosen.append(needed)
            left -= min(left, needed.seconds["total"])
    if not chosen:
        return None
    spent = clock.elapsed()
    seconds = {name: sum(needed.seconds[name] for needed in chosen) for name in ("extract", "train")}
    return replace(
        max(chosen, key=lambda needed: needed.memory_bytes),
        seconds={**seconds, "total": clock.budget_s - left - clock.earlier_s},
        longest_s=min(clock.budget_s, spent + sum(needed.longest_s for needed in chosen)),
        store_bytes=sum(needed.store_bytes for needed in chosen),
    )


def _document(advice: Advised, first: OnVal | None, tried: Sequence[Tried]) -> dict[str, Any]:
    """For the run record."""
    probe = {"val_accuracy": first.accuracy, "val_log_loss": first.log_loss} if first else {}
    return {**advice.to_dict(), "probe": probe, "tried": [asdict(one) for one in tried]}


def _accuracy(result: OnVal | None) -> str:
    return f" (accuracy on val {result.accuracy:.3f})" if result else ""
