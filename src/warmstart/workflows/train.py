"""train: a folder or table of images in, a tested and saved model out.

ready → forecast → rows of the frozen backbone → probe → [tune: the network right of the cut] → outcome: test, run folder
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from warmstart.plan import ADVISED, Plan
from warmstart.records import Listing
from warmstart.session.clock import Clock
from warmstart.session.dataset import prepare
from warmstart.session.forecasting import foresee, in_words
from warmstart.session.history import earlier_seconds
from warmstart.session.listed import listed, of_task
from warmstart.session.outcome import Run, Trained, finish, frozen, require_room_for, tuned
from warmstart.session.own_parts import NONE, OwnParts
from warmstart.session.probe import extracted, make_ready, probe, probed
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.run_folder import new_run_folder, read_start, resumable, under_way, write_plan, write_start
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.task_registry import part
from warmstart.training.frozen import of_given, with_cut
from warmstart.workflows.reported import reported


def train(
    data: Any,
    plan: Plan | None = None,
    settings: TrainSettings | None = None,
    *,
    watcher: Watcher | None = None,
    folder: Path | None = None,
    own: OwnParts = NONE,
    seconds_before: float = 0.0,
    stop_keeps: bool = True,
) -> Run:
    """Train on what `data.listing` takes, a folder say: a classifier, or what else the plan or the data ask for.

    own: objects of the user's.
    folder: the run folder, if not a new one in ``settings.runs``.
    seconds_before: time that the process had used before this call. stop_keeps: Ctrl-C ends training, the best epoch so far is tested and
    kept, and KeyboardInterrupt is raised then; otherwise, and a second time, the run is left as it is, for `resume`.
    Raises DataError, UsageError, BackboneError or StoreError, each saying what to do.
    """
    settings, watcher = settings or TrainSettings(), watcher or NullProgress()
    plan = with_cut(of_given(plan or Plan(), own.backbone), own.backbone)
    clock = Clock(begin=time.perf_counter() - seconds_before, budget_s=settings.budget_s)
    plan.require_runnable()
    listing, task = listed(data, settings, plan, watcher)
    plan = of_task(plan, task)
    if plan.cut == ADVISED and part(task, "advised training") is None:
        watcher.say(f"the task {task.name} has no advice, so what is learnt is learnt on the frozen network; --cut trains more")
        plan = replace(plan, cut="pooled")
    with Session.opened(
        settings,
        task,
        watcher,
        clock=clock,
        own=own,
        stop_keeps=stop_keeps,
    ) as session:
        if plan.cut == ADVISED:
            found: Run = part(task, "advised training")(listing, plan, session, folder)
            return found
        ready = make_ready(listing, prepare(listing, plan, session), plan, session)
        expected = foresee(ready, session)
        watcher.say(in_words(expected))
        require_room_for(ready.backbone, folder or settings.runs, checkpoints=1 if plan.trains_network else 0)
        folder = folder or new_run_folder(settings.runs, listing.source)
        with under_way(folder):
            write_plan(folder / "plan.json", plan, expected)
            if plan.trains_network or task.trains_in_fit:
                write_start(folder, listing.source, plan, settings)
            seen = probed(extracted(ready, session), session, folder)
            trained = tuned(seen, session, folder) if plan.trains_network else frozen(seen, watcher)
            run = finish(seen, trained, session, folder, expected=expected)
    return _raised_if_stopped(reported(run, seen, session), trained)


def resume(
    folder: Path,
    *,
    data: Listing | None = None,
    watcher: Watcher | None = None,
    own: OwnParts = NONE,
    download: bool = False,
    seconds_before: float = 0.0,
    stop_keeps: bool = True,
) -> Run:
    """Go on with a run whose training was interrupted, from its last checkpoint, to the weights it would have had.

    data, own: what the run was started with, where that was more than a folder or a manifest, and names. Raises UsageError when data,
    plan or code are not what they were, InputError when there is nothing to resume.
    """
    watcher = watcher or NullProgress()
    begin = time.perf_counter() - seconds_before
    source, plan, settings = read_start(folder)
    settings = replace(settings, download=download)
    clock = Clock(begin=begin, budget_s=settings.budget_s, earlier_s=earlier_seconds(folder))
    listing, task = listed(data or source, settings, plan, watcher)
    with Session.opened(settings, task, watcher, clock=clock, own=own, resumes=True, stop_keeps=stop_keeps) as session:
        if plan.cut == ADVISED:
            found: Run = part(task, "advised training")(listing, plan, session, folder)
            return found
        with resumable(folder):
            seen = probe(listing, plan, session, folder)
            trained = tuned(seen, session, folder) if seen.plan.trains_network else frozen(seen, watcher)
            run = finish(seen, trained, session, folder)
    return _raised_if_stopped(reported(run, seen, session), trained)


def _raised_if_stopped(run: Run, trained: Trained) -> Run:
    if trained.stopped:
        raise KeyboardInterrupt
    return run
