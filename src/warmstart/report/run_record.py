"""run.json, read: the record of a finished run as it was in memory, its plan and its scores typed.

A run from before a key existed has it empty.
"""

import dataclasses
from pathlib import Path
from typing import Any

from warmstart.errors import InputError, UnknownNameError, UsageError
from warmstart.plan import Plan
from warmstart.records import RECORD_FORMAT, Cache, RunRecord, read_json
from warmstart.task_registry import USUAL, find_task


def read_record(folder: Path) -> RunRecord:
    """Of a run folder. Raises InputError where there is no run, its record cannot be read, or its task is not installed."""
    path = record_path(folder)
    try:
        document = dict(read_json(path, errors="surrogateescape"))
        if (found := document.get("format", 1)) > RECORD_FORMAT:
            raise InputError(f"{path} has format {found}, this warmstart reads up to {RECORD_FORMAT}: update warmstart")
        plan = Plan.from_dict(document["plan"])
        task = find_task(plan.task or USUAL)
        values: dict[str, Any] = {f.name: document[f.name] for f in dataclasses.fields(RunRecord) if f.name in document}
        return RunRecord(
            **{
                "seconds": {},
                "images_per_second": None,
                "run_dir": str(folder),
                **values,
                "plan": plan,
                "scores": {split: task.read_scores(one) for split, one in document["scores"].items() if one},
                "cache": Cache(**document.get("cache", {"hits": 0, "misses": 0})),
            }
        )
    except (UsageError, UnknownNameError, OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise unreadable(path, reason) from reason


def record_path(folder: Path) -> Path:
    """The record of a finished run. Raises InputError where there is none."""
    path = folder / "run.json"
    if not path.is_file():
        there = "it does not exist" if not folder.exists() else "there is no run.json in it"
        raise InputError(
            f"{folder} is not a finished run: {there}. Expected a folder that train or compare wrote, such as runs/<time>-<name>."
        )
    return path


def unreadable(path: Path, reason: Exception) -> InputError:
    """What is said of a record that is none."""
    return InputError(f"{path} is not the record of a run ({type(reason).__name__}: {reason}). Copy it again, or train again.")
