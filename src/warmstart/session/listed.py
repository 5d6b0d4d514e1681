"""What the user named → a listing, with fixes applied, and the task that learns from it."""

from pathlib import Path
from typing import Any

from warmstart.data.files import found_again
from warmstart.data.listing import read_listing
from warmstart.errors import InputError, UsageError
from warmstart.records import Listing, read_json
from warmstart.session.settings import TrainSettings
from warmstart.task_protocol import Task
from warmstart.task_registry import USUAL, find_task, part


def listed(data: Any, settings: TrainSettings, task: Task | None = None) -> Listing:
    """What a verb is to learn from. A listing is taken as it is: it had its fixes before. Raises DataError, UsageError."""
    if isinstance(data, Listing):
        return data
    listing = read_listing(data, exclude=settings.exclude)
    if settings.fixes is None:
        return listing
    task = task or find_task(USUAL)
    apply_fixes = part(task, "fixes")
    if apply_fixes is None:
        raise UsageError(f"--fixes is not for the task {task.name}: lists of fixes are made by the doctor of another")
    fixed: Listing = apply_fixes(listing, settings.fixes)
    return fixed


def listing_of_run(folder: Path) -> Listing | str:
    """The listing that the run beside the model was made from, or why there is none."""
    record = next((path for path in (folder / "run.json", folder.parent / "run.json") if path.is_file()), None)
    if record is None:
        return f"there is no run.json in or beside {folder} to say where they are"
    try:
        data = read_json(record, errors="surrogateescape")["data"]
        return read_listing(found_again(data["source"], data.get("working_folder")), min_classes=1)
    except (OSError, ValueError, KeyError, TypeError) as reason:
        return f"{record} does not say where they are ({type(reason).__name__})"
    except InputError as reason:
        return f"they are not where the run found them ({reason})"
