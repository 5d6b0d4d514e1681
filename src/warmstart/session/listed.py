"""What the user named → a listing, with fixes applied, and the task that learns from it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from warmstart.data.files import found_again
from warmstart.data.listing import read_listing
from warmstart.errors import InputError, PlugInError, UsageError
from warmstart.options import fields_of, from_document
from warmstart.plan import Plan
from warmstart.records import Listing, read_json
from warmstart.report.run_record import DataRecord
from warmstart.session.progress import Watcher
from warmstart.session.settings import TrainSettings
from warmstart.task_protocol import Task
from warmstart.task_registry import OURS, USUAL, find_task, options_of_ours, part, task_names


def listed(data: Any, settings: TrainSettings, plan: Plan, watcher: Watcher) -> tuple[Listing, Task]:
    """What a verb is to learn from, and the task: the plan's, or the one that the data is for, which is said then.

    A listing is taken as it is: it had its fixes before. Raises DataError, UsageError, UnknownNameError.
    """
    asked = None if plan.task is None else find_task(plan.task)
    listing = data
    if not isinstance(data, Listing):
        listing = read_listing(
            data, exclude=settings.exclude, min_classes=0, columns=plan.target, several=True, nested=plan.nested
        )
    task = asked or _claimed(listing, plan, watcher)
    options_of(task, plan)  # wrong ones are told before any work
    if settings.fixes is None or isinstance(data, Listing):
        return task.usable(listing), task
    apply_fixes = part(task, "fixes")
    if apply_fixes is None:
        raise UsageError(f"--fixes is not for the task {task.name}: lists of fixes are of classes")
    return task.usable(apply_fixes(listing, settings.fixes)), task


def of_task(plan: Plan, task: Task) -> Plan:
    """The plan that names its task; the usual one goes without saying where nobody has named it, as it always did."""
    return plan if plan.task else replace(plan, task=None if task.name == USUAL else task.name)


def options_of(task: Task, plan: Plan) -> Any:
    """The task's own options, as the plan has them; None for a task without. Raises UsageError, UnknownNameError."""
    if task.options is not None:
        return from_document(task.options, plan.options, f"option of the task {task.name}")
    if plan.options:
        raise UsageError(f"the task {task.name} has no options, and {', '.join(plan.options)} was given")
    return None


def _claimed(listing: Listing, plan: Plan, watcher: Watcher) -> Task:
    """The task that a data set is for, or the one of ours that alone has the plan's options. Raises UsageError where several say so."""
    claims: dict[str, str] = {}
    by_options = [
        name for name, of in options_of_ours().items() if plan.options and plan.options.keys() <= fields_of(of).keys()
    ]
    if len(by_options) == 1:
        claims[by_options[0]] = f"{', '.join(plan.options)} was given"
    for name in task_names():
        if len(by_options) == 1 and name in OURS:
            continue
        try:
            reason = find_task(name).claims(listing)
        except (UsageError, PlugInError) as problem:  # of another's package, which this data set may have nothing to do with
            watcher.say(f"not asked: {problem}")
            continue
        if reason:
            claims[name] = reason
    if len(claims) > 1:
        both = "; ".join(f"{name} ({reason})" for name, reason in claims.items())
        raise UsageError(
            f"{listing.source!r} is claimed by {len(claims)} tasks: {both}. Name the one that is meant with --task"
        )
    if not claims:
        return find_task(USUAL)
    ((name, reason),) = claims.items()
    watcher.say(f"the task is {name}, for {reason}; --task names another")
    return find_task(name)


def listing_of_run(folder: Path) -> Listing | str:
    """The listing that the run beside the model was made from, or why there is none."""
    record = next((path for path in (folder / "run.json", folder.parent / "run.json") if path.is_file()), None)
    if record is None:
        return f"there is no run.json in or beside {folder} to say where they are"
    try:
        document = read_json(record, errors="surrogateescape")
        data, plan = DataRecord.from_dict(document["data"]), document["plan"]
        return read_listing(
            found_again(data.source, data.working_folder),
            min_classes=1,
            columns=plan.get("target") or (),
            several=True,
            nested=plan.get("nested") is True,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        return f"{record} does not say where they are ({type(reason).__name__})"
    except InputError as reason:
        return f"they are not where the run found them ({reason})"
