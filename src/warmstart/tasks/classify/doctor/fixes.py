"""A list of fixes: what the doctor found as a CSV file that a person edits, and how it is applied to a listing without touching a file.

    path,class,finding,detail,suggestion,action,new_label
    photos/hat/7.jpg,hat,label,"called hat (probability 0.002), looks like shoes (0.98)",look; …,relabel,shoes

A picture may stand in several rows, one for each finding. *keep* says that this finding is no reason to change anything, so it gives way
to a drop or relabel in another row of the same picture; a drop and a relabel of one picture contradict each other.
"""

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from warmstart.atomic import write_asked
from warmstart.csv_cells import cell_of, text_of
from warmstart.data.class_names import class_name_of
from warmstart.data.text_tables import check_is_readable
from warmstart.errors import DataError
from warmstart.inspection.findings import Action, Finding
from warmstart.records import Listing

COLUMNS = ("path", "class", "finding", "detail", "suggestion", "action", "new_label")
NEEDED = ("path", "action")
ACTIONS: tuple[Action, ...] = get_args(Action)


@dataclass(frozen=True, slots=True)
class _Fix:
    line: int
    path: str  # as in the listing
    action: Action
    new_label: str


def write_fix_list(
    target: Path, findings: Sequence[Finding], pictures: Mapping[str, tuple[str, str | None]], *, force: bool = False
) -> int:
    """One row for each picture of each finding; returns how many. ``pictures``: path → class and split.

    Prefilled are only drops that need no eye: broken files, and all but one of equal bytes in one class. Everything else says keep,
    beside a suggestion. A list that is there is replaced only where nothing is lost by it: where it is what would be written now, or with
    ``force``; otherwise DataError. Raises what `atomic.write_asked` raises.
    """
    rows = [
        (path, pictures[path][0], finding.kind, finding.detail, finding.suggestion, action, finding.new_label or "")
        for finding in findings
        for path in finding.paths
        for action in ("drop" if path in finding.drop else "keep",)
    ]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    writer.writerows(map(cell_of, row) for row in rows)
    content = table.getvalue().encode("utf-8", "surrogateescape")
    if not force:
        _must_be_ours(target, content)
    write_asked("--fix-list", target, content)
    return len(rows)


def _must_be_ours(target: Path, content: bytes) -> None:
    """Raise DataError where a file is there that is not, to the byte, what would be written now."""
    with contextlib.suppress(OSError):  # what cannot be read is not there, or writing it will say what is wrong
        if target.is_file() and target.stat().st_size and target.read_bytes() != content:
            raise DataError(
                f"--fix-list {str(target)!r} is there already and is not what would be written now: it was edited, or the data has changed "
                "since. Name another file, or give --force to replace it and lose what was decided in it"
            )


def apply_fixes(listing: Listing, file: Path) -> Listing:
    """The listing as the file says it should be: pictures dropped, labels changed, everything else as it was.

    Raises DataError naming row, found, expected and the nearest name for an unknown path, action, label or column.
    """
    fixes = _merged(file, list(_read(file, listing)))
    examples = []
    for example in listing.examples:
        fix = fixes.get(example.path)
        if fix is None or fix.action == "keep":
            examples.append(example)
        elif fix.action == "relabel":
            examples.append(replace(example, class_name=fix.new_label))
    actions = [fixes[example.path].action for example in listing.examples if example.path in fixes]
    class_names = tuple(sorted({example.class_name for example in examples}))
    if len(class_names) < 2:
        raise DataError(
            f"{str(file)!r} leaves {len(class_names)} class with pictures; at least two are needed: keep more of them"
        )
    return replace(
        listing,
        examples=tuple(examples),
        class_names=class_names,
        fixes={"file": str(file), "dropped": actions.count("drop"), "relabelled": actions.count("relabel")},
    )


def _read(file: Path, listing: Listing) -> Iterator[_Fix]:
    shown = repr(str(file))
    check_is_readable(str(file), "a list of fixes, as `warmstart doctor DATA --fix-list FILE` makes one")
    try:
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as reason:
        raise DataError(
            f"{shown} cannot be read ({reason.strerror}); `warmstart doctor DATA --fix-list FILE` makes a list of fixes"
        ) from reason
    if not text.strip():
        raise DataError(f"{shown} is empty, expected a list of fixes whose first line has path and action")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader)]
        _check_columns(shown, header)
        known = _Known(listing)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{shown} line {reader.line_num}"
            if len(cells) != len(header):
                raise DataError(
                    f"{where} has {len(cells)} cells, its first line {len(header)}: put a cell that holds a comma in double quotes"
                )
            row = dict(zip(header, map(text_of, cells), strict=True))
            action = _action(where, row["action"].strip())
            label = known.label(where, row.get("new_label", "")) if action == "relabel" else ""
            yield _Fix(reader.line_num, known.path(where, row["path"]), action, label)
    except csv.Error as error:
        raise DataError(f"{shown} line {reader.line_num} is not proper CSV ({error}): check its double quotes") from error


def _check_columns(shown: str, header: Sequence[str]) -> None:
    for name in NEEDED:
        if name in header:
            continue
        near = get_close_matches(name, header, n=1, cutoff=0.6)
        guess = f" Did you mean {near[0]!r}? Rename it." if near else ""
        raise DataError(
            f"{shown} has columns {', '.join(map(repr, header))} but no {name!r}; expected {','.join(COLUMNS)}.{guess}"
        )
    for name in COLUMNS:
        if header.count(name) > 1:
            raise DataError(f"{shown} has {header.count(name)} columns {name!r}, expected one: remove the others")


class _Known:
    """What a fix may name: the pictures of a listing, by any path that leads to them, and its classes."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        paths = [*(e.path for e in listing.examples), *(problem.path for problem in listing.problems)]
        self._by_place = {os.path.abspath(path): path for path in paths}  # noqa: PTH100 - 100,000 rows
        source = Path(listing.source)
        self._folder = str(source if source.is_dir() else source.parent)

    def path(self, where: str, given: str) -> str:
        """As the listing has it; relative ones count from here or from the data."""
        for name in dict.fromkeys((given, given.strip())):  # a name may begin or end with a space
            for candidate in (name, os.path.join(self._folder, name)):  # noqa: PTH118
                found = self._by_place.get(os.path.abspath(candidate))  # noqa: PTH100
                if name and found is not None:
                    return found
        given = given.strip()
        listed = self._listing.examples
        # Compared from the root on; among very many that would take longer than reading the list did.
        near = get_close_matches(os.path.abspath(given), self._by_place, n=1) if given and len(listed) <= 20_000 else []  # noqa: PTH100
        guess = f" Did you mean {self._by_place[near[0]]!r}?" if near else ""
        raise DataError(
            f"{where}: the path {given!r} is none of the {len(listed):,} pictures of {self._listing.source!r}; "
            f"expected one of them, from the same folder as the list was made of.{guess}"
        )

    def label(self, where: str, given: str) -> str:
        """An existing class: a new one would hold only what was relabelled, and is far more often a slip."""
        name = class_name_of(given)
        classes = self._listing.class_names
        if name in classes:
            return name
        if not name:
            raise DataError(f"{where}: relabel without a new_label; expected one of {', '.join(classes[:20])}")
        near = get_close_matches(name, classes, n=1, cutoff=0.4)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{where}: unknown new_label {name!r}; expected one of {', '.join(classes[:20])}.{guess}")


def _action(where: str, given: str) -> Action:
    for action in ACTIONS:
        if given.lower() == action:
            return action
    near = get_close_matches(given.lower(), ACTIONS, n=1, cutoff=0.4)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise DataError(f"{where}: unknown action {given!r}; expected keep, drop or relabel.{guess}")


def _merged(file: Path, fixes: Sequence[_Fix]) -> dict[str, _Fix]:
    """Path → the fix that counts."""
    merged: dict[str, _Fix] = {}
    for fix in fixes:
        before = merged.get(fix.path)
        if before is None or before.action == "keep":
            merged[fix.path] = fix
        elif fix.action != "keep" and (before.action, before.new_label) != (fix.action, fix.new_label):
            raise DataError(
                f"{str(file)!r} lines {before.line} and {fix.line} say {_said(before)} and {_said(fix)} of {fix.path!r}; "
                "expected one of the two: change one of them to keep"
            )
    return merged


def _said(fix: _Fix) -> str:
    return f"{fix.action} as {fix.new_label!r}" if fix.action == "relabel" else fix.action
