"""What people decided about pictures of a data set: which ones the next training leaves out, and which it calls otherwise.

A list as `workflows.fixes` applies it, beside the data set. Decisions about pictures and classes that are gone since count no more.
"""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from warmstart.atomic import replaced
from warmstart.csv_cells import cell_of, text_of
from warmstart.errors import DataError
from warmstart.inspection.findings import Action
from warmstart.records import Listing
from warmstart.serve.errors import ApiError
from warmstart.task_registry import USUAL, find_task, part

ACTIONS: tuple[str, ...] = get_args(Action)
COLUMNS = ("path", "class", "finding", "detail", "suggestion", "action", "new_label")  # of a list of fixes

Decisions = dict[str, tuple[str, str]]  # path → action and new label


def read(file: Path, listing: Listing) -> Decisions:
    """Those about pictures and classes that there still are; none where there is no file."""
    if not file.is_file():
        return {}
    known = {example.path for example in listing.examples}
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
        table = csv.reader(lines)
        header = next(table, [])
        named = (dict(zip(header, map(text_of, cells), strict=False)) for cells in table)
        rows = [row for row in named if row.get("path") in known and row.get("action") != "keep"]
    return {
        row["path"]: (row["action"], row["new_label"])
        for row in rows
        if row["action"] == "drop" or row["new_label"] in listing.class_names
    }


def change(file: Path, listing: Listing, wanted: Iterable[Mapping[str, Any]], *, whole: bool) -> int:
    """Decide for each {n, action, new_label}; ``whole``: and forget what was decided before. How many decisions there are then.

    Raises ApiError for a picture or action that there is not, DataError for a label that there is not and where too little is left.
    """
    decisions = {} if whole else read(file, listing)
    for fix in wanted:
        n, action = int(fix["n"]), str(fix["action"])
        if not 0 <= n < len(listing.examples):
            raise ApiError(404, "unknown-picture", found=f"picture {n}", expected=f"0 to {len(listing.examples) - 1}")
        if action not in ACTIONS:
            raise ApiError(422, "unknown-name", found=f"action {action!r}", expected=f"one of {', '.join(ACTIONS)}")
        path = listing.examples[n].path
        decisions.pop(path, None)
        if action != "keep":
            decisions[path] = (action, str(fix.get("new_label") or ""))
    if not decisions:
        file.unlink(missing_ok=True)
        return 0
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced(file) as fresh:
        _write(fresh, decisions, listing)
        try:
            _applied(listing, fresh)
        except DataError as reason:
            raise DataError(str(reason).replace(repr(str(fresh)), "the list of fixes")) from reason
    return len(decisions)


def applied(file: Path, listing: Listing) -> Listing:
    """The listing with the decisions carried out; beside the file lies then what was carried out. Raises DataError."""
    decisions = read(file, listing)
    if not decisions:
        return listing
    used = file.with_name("fixes-used.csv")
    with replaced(used) as fresh:
        _write(fresh, decisions, listing)
    return _applied(listing, used)


def _applied(listing: Listing, file: Path) -> Listing:
    fixed: Listing = part(find_task(USUAL), "fixes")(listing, file)
    return fixed


def _write(file: Path, decisions: Decisions, listing: Listing) -> None:
    with file.open("w", newline="", encoding="utf-8", errors="surrogateescape") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        for example in listing.examples:
            if example.path in decisions:
                action, new_label = decisions[example.path]
                row = (example.path, example.class_name, "", "", "", action, new_label)
                writer.writerow(map(cell_of, row))
