"""train: a folder of images in, a tested and saved classifier out.

ready → forecast → rows of the frozen backbone → probe → [tune: the network right of the cut] → outcome: test, run folder
"""

import time
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.data.augmentation import view_names
from warmstart.data.views import RESIZE_MODES, VIEW_POLICIES
from warmstart.engines.build import ENGINES, PRECISIONS
from warmstart.errors import UnknownNameError, UsageError
from warmstart.heads.catalog import head_spec
from warmstart.heads.selection import CLASS_WEIGHTS
from warmstart.records import ADVISED, Listing, Plan
from warmstart.store.cache import Store
from warmstart.training.frozen import with_cut
from warmstart.training.settings import planned_settings
from warmstart.workflows.advised import train_advised
from warmstart.workflows.dataset import prepare
from warmstart.workflows.fixes import listed
from warmstart.workflows.forecasting import foresee, in_words
from warmstart.workflows.outcome import Run, Trained, finish, frozen, reported, require_room_for, tuned
from warmstart.workflows.probe import extracted, make_ready, probe, probed
from warmstart.workflows.run_folder import new_run_folder, read_start, resumable, under_way, write_plan, write_start
from warmstart.workflows.settings import TrainSettings
from warmstart.workflows.watch import Nobody, Watcher

RECIPE = ("taps", "head", "views", "unfreeze", "freeze", "augment", "training")  # what advice decides beside the cut


def train(
    data: Any,
    plan: Plan | None = None,
    settings: TrainSettings | None = None,
    *,
    watcher: Watcher | None = None,
    strata: Mapping[str, Hashable] | None = None,
    folder: Path | None = None,
    seconds_before: float = 0.0,
    stop_keeps: bool = True,
) -> Run:
    """Train a classifier on a folder, manifest, list of (path, label) or DataFrame.

    strata: path → what to stratify splits by instead of the class. folder: the run folder, if not a new one in ``settings.runs``.
    seconds_before: time that the process had used before this call. stop_keeps: Ctrl-C ends training, the best epoch so far is tested and
    kept, and KeyboardInterrupt is raised then; otherwise, and a second time, the run is left as it is, for `resume`.
    Raises DataError, UsageError, BackboneError or StoreError, each saying what to do.
    """
    plan, settings, watcher = with_cut(plan or Plan()), settings or TrainSettings(), watcher or Nobody()
    begin = time.perf_counter() - seconds_before
    check_plan(plan)
    listing = listed(data, settings)
    if plan.cut == ADVISED:
        return train_advised(listing, plan, settings, watcher, begin=begin, strata=strata, folder=folder)
    with Store(machine.store_folder(), settings.store_bytes) as store:
        dataset = prepare(listing, store, plan, watcher, strata=strata)
        ready = make_ready(dataset, plan, settings, watcher, listing=listing, strata=strata)
        expected = foresee(ready, store, begin=begin, budget_s=settings.budget_s)
        watcher.say(in_words(expected))
        require_room_for(ready.backbone, folder or settings.runs, checkpoints=1 if plan.trains_network else 0)
        folder = folder or new_run_folder(settings.runs, listing.source)
        with under_way(folder):
            write_plan(folder / "plan.json", plan, expected)
            seen = probed(ready, extracted(ready, settings, store, watcher))
            if plan.trains_network:
                write_start(folder, listing.source, plan, settings)
                trained = tuned(seen, store, watcher, folder, begin=begin, budget_s=settings.budget_s, stop_keeps=stop_keeps)
            else:
                trained = frozen(seen, watcher)
            run = finish(seen, trained, folder, begin, expected=expected)
    return _raised_if_stopped(reported(run, seen, settings, watcher), trained)


def resume(
    folder: Path,
    *,
    data: Listing | None = None,
    watcher: Watcher | None = None,
    strata: Mapping[str, Hashable] | None = None,
    download: bool = False,
    seconds_before: float = 0.0,
    stop_keeps: bool = True,
) -> Run:
    """Go on with a run whose training was interrupted, from its last checkpoint, to the weights it would have had.

    data, strata: what the run was started with, where that was more than a folder or a manifest. Raises UsageError when data, plan
    or code are not what they were, InputError when there is nothing to resume.
    """
    watcher = watcher or Nobody()
    begin = time.perf_counter() - seconds_before
    source, plan, settings = read_start(folder)
    settings = replace(settings, download=download)
    listing = listed(data or source, settings)
    if plan.cut == ADVISED:
        return train_advised(listing, plan, settings, watcher, begin=begin, strata=strata, folder=folder, resume=True)
    with Store(machine.store_folder(), settings.store_bytes) as store:
        seen = probe(listing, plan, settings, store, watcher, strata=strata)
        budget_s = settings.budget_s
        with resumable(folder):
            trained = tuned(seen, store, watcher, folder, begin=begin, budget_s=budget_s, resume=True, stop_keeps=stop_keeps)
            run = finish(seen, trained, folder, begin)
    return _raised_if_stopped(reported(run, seen, settings, watcher), trained)


def _raised_if_stopped(run: Run, trained: Trained) -> Run:
    if trained.stopped:
        raise KeyboardInterrupt
    return run


def check_plan(plan: Plan) -> None:
    """Names that can be checked before anything is read. Raises UnknownNameError or UsageError."""
    head_spec(plan.head)
    for what, name, known in (
        ("views", plan.views, VIEW_POLICIES),
        ("resize", plan.resize, RESIZE_MODES),
        ("engine", plan.engine, ENGINES),
        ("precision", plan.precision, PRECISIONS),
        ("class weight", plan.class_weight, CLASS_WEIGHTS),
    ):
        if name not in known:
            raise UnknownNameError(what, name, known)
    find(plan.backbone)
    if plan.cut == ADVISED:
        _check_left_open(plan)
    if plan.threshold is not None and plan.positive is None:
        raise UsageError("--threshold is a probability of one class: name it with --positive CLASS")
    if plan.cut == "pixels" and not plan.trains_network:
        raise UsageError(
            "at --cut pixels there are no features for a head: the network itself is trained there, with --head linear"
        )
    if plan.augment != "none" and not plan.trains_network:
        raise UsageError(
            "--augment makes views to train the network on, and with this cut and head nothing of it is trained. "
            "Choose an earlier --cut, or average features over --views."
        )
    if plan.unfreeze and not plan.trains_network:
        raise UsageError(
            f"--unfreeze {','.join(plan.unfreeze)} trains the network in steps, and with this cut and head nothing of it is trained. "
            "Choose an earlier --cut with --head linear, or leave --unfreeze out."
        )
    if plan.freeze and plan.cut != "pooled" and not plan.trains_network:
        raise UsageError(
            f"--freeze {','.join(plan.freeze)} says what stays as it is while the network is trained, and with --head {plan.head}"
            f"{' and 0 epochs' if plan.training.get('epochs') == 0 else ''} nothing of it is trained. Train with --head linear and "
            "one epoch or more, or leave --freeze out."
        )
    view_names(plan.augment, plan.augment_views)
    # Also where nothing is trained: a misspelt name is a slip anywhere.
    planned_settings(plan.training, cold=False, seed=plan.seed)


def _check_left_open(plan: Plan) -> None:
    """With cut 'auto' the recipe is the advice's. Raises UsageError when a part of it was given."""
    usual = Plan()
    given = [name for name in RECIPE if getattr(plan, name) != getattr(usual, name)]
    if given:
        raise UsageError(
            f"cut 'auto' leaves the recipe to what is measured, and {', '.join(given)} was given: name a cut as well, such as pooled"
        )
