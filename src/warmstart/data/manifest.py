"""Tables of labelled pictures → examples: CSV and TSV files, pairs, data frames.

Columns: ``path`` and ``label``, or others that hold what is to be learnt; ``split`` (train, val, test or empty) and ``group`` (pictures
that belong together: one patient, one scene, one video) if you like. Paths in a file are relative to its folder, those from Python to
the working folder.

Rows are read → columns checked → each row checked → examples. In the column ``label`` a picture has one: several are refused by name, and
belong in a column ``labels``. A row that says nothing of what is to be learnt is left out; one that says some of it is kept with the gap.
"""

import csv
import io
import os
import re
import reprlib
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote, urlsplit

from warmstart.csv_cells import text_of
from warmstart.data.class_names import class_name_of
from warmstart.data.folders import SPLIT_FOLDERS, Exclusions, problem_of_file
from warmstart.data.memory import name_of
from warmstart.data.text_tables import read_text_table
from warmstart.errors import DataError
from warmstart.records import Example, Problem, Split

_PAIR = ("path", "label")
_KNOWN = ("path", "label", "split", "group")

# What other tools call these columns; only to say so, for a guess about columns could be wrong without anybody noticing.
_OTHER_NAMES = {
    "path": ("file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "picture"),
    "label": ("class", "class_name", "classname", "target", "category", "y", "tag"),
    "split": ("set", "subset", "fold", "partition"),
    "group": ("group_id", "patient", "patient_id", "subject", "scene"),
}

_SCHEME = re.compile(r"(?i)(file(?=:)|[a-z][a-z0-9+.-]+(?=://))")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_WHOLE_NUMBER = re.compile(r"[+-]?\d+\.0")

LABELS = "labels"  # the column that holds any number of labels, read where there is no column 'label'

_ONE_LABEL = (
    "A column 'label' holds one label a picture; for multi-label data (a;b) call the column labels, or keep one label for each"
)

_FILL_IN_LABELS = "fill it in, or write - for a picture that has none of the labels; an empty cell is taken for unknown"


@dataclass(frozen=True, slots=True)
class _Row:
    where: str  # 'line 7', 'row 6', for messages
    cells: Mapping[str, Any]  # lower-case column → value


@dataclass(frozen=True, slots=True)
class Table:
    """What stands in a table."""

    examples: list[Example]
    problems: list[Problem]
    columns: tuple[str, ...]  # that hold what is to be learnt, where that is no label; lower case


def list_manifest(path: str, exclusions: Exclusions, columns: Sequence[str] = (), *, several: bool = False) -> Table:
    """A CSV or TSV file. Raises DataError when it is no manifest.

    ``columns``: those that hold what is to be learnt, if not 'label'; lower case. ``several``: whether a column 'labels' will do.
    """
    header, rows = _read_table(path, (*columns, LABELS))
    columns = _columns_read(repr(path), header, columns, several=several)
    problems = _check_columns(repr(path), header, path, columns)
    examples, more = _list_rows(repr(path), rows, os.path.dirname(path), exclusions, columns)  # noqa: PTH120
    return Table(examples, problems + more, columns)


def list_frame(frame: Any, exclusions: Exclusions, columns: Sequence[str] = (), *, several: bool = False) -> Table:
    """Anything with ``columns`` whose items are columns. Raises DataError as `list_manifest` does."""
    header = [str(column).strip().lower() for column in frame.columns]
    columns = _columns_read("the data frame", header, columns, several=several)
    problems = _check_columns("the data frame", header, "data frame", columns)
    names = dict(zip(header, frame.columns, strict=True))
    read = {name: list(frame[original]) for name, original in names.items() if name in (*_KNOWN, *columns)}
    rows = (
        _Row(f"row {number}", dict(zip(read, cells, strict=True)))
        for number, cells in enumerate(zip(*read.values(), strict=True))
    )
    examples, more = _list_rows("the data frame", rows, "", exclusions, columns)
    return Table(examples, problems + more, columns)


def list_pairs(pairs: Sequence[Any], exclusions: Exclusions) -> tuple[list[Example], list[Problem]]:
    """Examples and problems of pairs (picture, label), by path or as `data.memory` takes them. Raises DataError for what is no pair."""
    rows = []
    for number, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2 or pair[0] is None or isinstance(pair[0], int | float):
            raise DataError(
                f"item {number} of the list is {reprlib.repr(pair)}, expected a pair (path, label) or (picture, label)"
            )
        rows.append(_Row(f"item {number}", dict(zip(_PAIR, pair, strict=True))))
    return _list_rows("the list", rows, "", exclusions)


def _read_table(path: str, columns: Sequence[str]) -> tuple[list[str], Iterator[_Row]]:
    table = read_text_table(path, (*_KNOWN, *columns), expected="a CSV manifest whose first line is path,label")
    # A quote counts at the beginning of a cell and ends it, so space around quotes has to be passed over; elsewhere it belongs to a name.
    mark, text = re.escape(table.delimiter), table.text
    before = re.search(rf'(^|{mark}) +"', text, re.MULTILINE) is not None
    after = re.search(rf'" +({mark}|\r|$)', text, re.MULTILINE) is not None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=table.delimiter, strict=not after, skipinitialspace=before)
    try:
        header = [cell.strip().lower() for cell in next(reader)]
    except csv.Error as error:
        raise DataError(
            f"{path!r} line {table.lines_before + 1} is not proper CSV ({error}): check its double quotes"
        ) from error
    while len(header) > 1 and not header[-1]:  # a delimiter at the end of the line
        header.pop()
    return header, _rows(path, header, reader, table.lines_before)


def _rows(path: str, header: Sequence[str], reader: Any, lines_before: int) -> Iterator[_Row]:
    try:
        for cells in reader:
            line = lines_before + reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            while len(cells) > len(header) and not cells[-1].strip():
                cells.pop()
            if len(cells) != len(header):
                raise DataError(
                    f"{path!r} line {line} has {len(cells)} cells, its first line {len(header)}: "
                    'put names that hold a delimiter or a line break in double quotes ("like, this")'
                )
            yield _Row(f"line {line}", dict(zip(header, map(text_of, cells), strict=True)))
    except csv.Error as error:
        line = lines_before + reader.line_num
        raise DataError(f"{path!r} line {line} is not proper CSV ({error}): check its double quotes") from error


def _columns_read(shown: str, header: Sequence[str], columns: Sequence[str], *, several: bool) -> tuple[str, ...]:
    """Those that hold what is to be learnt: the ones that were named, or 'labels'; none where it is 'label'."""
    if columns or LABELS not in header:
        return tuple(columns)
    if "label" in header:
        raise DataError(
            f"{shown} has a column 'label' and a column 'labels', expected one of them. Remove the one that is not meant, or name it: "
            "--target labels for multi-label data"
        )
    if not several:
        raise DataError(
            f"{shown} has a column 'labels', which holds any number of labels a picture, and classes are looked at here: expected a column "
            "'label' with one. Multi-label data is learnt by train, and scored by evaluate"
        )
    return (LABELS,)


def _check_columns(shown: str, header: Sequence[str], path: str, columns: Sequence[str]) -> list[Problem]:
    """Problems for columns that nobody reads. Raises DataError for missing, doubled and misspelt ones."""
    required = ("path", *(columns or ("label",)))
    known = tuple(dict.fromkeys((*required, *_KNOWN)))
    unknown = [name for name in header if name not in known]
    for name in known:
        if (times := list(header).count(name)) > 1:
            raise DataError(f"{shown} has {times} columns {name!r}, expected one: rename or remove the others")
        if name in header:
            continue
        others = _OTHER_NAMES.get(name, ())
        near = [column for column in unknown if column in others]
        near = near or get_close_matches(name, unknown, n=1, cutoff=0.7)
        if name in required:
            guess = f" {near[0]!r} looks like it: rename that column." if near else ""
            raise DataError(
                f"{shown} has columns {', '.join(map(repr, header))} but no {name!r}; expected {','.join(required)}.{guess}"
            )
        # 'splt' must not be passed over: pictures would silently be split anew. Another word may mean something else.
        if near and near[0] not in others and not (columns and name == "label"):
            raise DataError(f"{shown} has an unknown column {near[0]!r}. Did you mean {name!r}? Rename or remove it.")
    return (
        []
        if columns
        else [
            Problem(
                path=path,
                kind="unknown-column",
                message=f"{shown} has a column {name!r}, which is not read; known: {', '.join(known)}{_like(name)}",
            )
            for name in dict.fromkeys(unknown)
        ]
    )


def _like(column: str) -> str:
    meant = [name for name, others in _OTHER_NAMES.items() if column in others]
    return f"; rename it to {meant[0]!r} if that is what it is" if meant else ""


def _list_rows(
    shown: str, rows: Iterable[_Row], folder: str, exclusions: Exclusions, columns: Sequence[str] = ()
) -> tuple[list[Example], list[Problem]]:
    examples: dict[str, Example] = {}
    problems: list[Problem] = []
    rows = _with_whole_numbers(list(rows))
    for number, row in enumerate(rows):
        written = row.cells["path"]
        content = written if _is_picture(written) else None
        named = (
            os.fspath(written)
            if isinstance(written, str | os.PathLike)
            else ""
            if content is None
            else name_of(content, number)
        )
        if not isinstance(named, str) or not named.strip():
            raise DataError(f"{shown} {row.where} has no path, expected the path of a picture file")
        path, hint = _located(named, folder) if content is None else (named, "")
        class_name = "" if columns else _class_name(shown, row)
        cells = {name: None if _text(row.cells[name]) is None else row.cells[name] for name in columns}
        empty = [name for name, value in cells.items() if value is None]
        if class_name is None or (cells and len(empty) == len(cells)):
            what = "label" if class_name is None else " and no ".join(empty)
            cure = _FILL_IN_LABELS if empty == [LABELS] else "fill it in"
            message = f"{shown} {row.where}: {named!r} has no {what}; left out: {cure}"
            problems.append(Problem(path=path, kind="no-label" if class_name is None else "no-target", message=message))
            continue
        if exclusions.match(class_name, named.replace(os.sep, "/"), named.strip().replace("\\", "/")):
            continue
        example = Example(
            path=path,
            class_name=class_name,
            split=_split(shown, row),
            group=_text(row.cells.get("group")),
            cells=cells,
            content=content,
        )
        problem = None if content is not None else _problem_of_row(shown, row, example, examples.get(path), hint)
        if problem is None:
            examples[path] = example
        else:
            problems.append(problem)
    return list(examples.values()), problems


def _is_picture(written: Any) -> bool:
    """Whether a cell for a path holds a picture in memory; what stands where nothing is, and numbers, are none."""
    return not isinstance(written, str | os.PathLike | int | float | None) and not _is_nothing(written)


def _located(named: str, folder: str) -> tuple[str, str]:
    """The file that a cell names, and what to say where it is not there.

    As written; else without space around it, as a file:// address, from the home folder (~), or with the other kind of slashes: the first
    of these that exists.
    """
    hint = "paths are relative to the manifest's folder" if folder else "relative paths start at the working folder"
    plain = named.strip()
    ways = [named, plain]
    scheme = _SCHEME.match(plain)
    if scheme and scheme[1].lower() == "file":
        address = urlsplit(plain)
        ways.append(unquote(address.path or plain[len("file:") :], errors="surrogateescape"))
        if address.netloc not in ("", "localhost"):
            hint = f"it lies on another machine, {address.netloc!r}: copy it here"
    elif scheme:
        hint = (
            f"{scheme[1]}:// is an address on the network, and pictures are read from this machine's disk: download them first"
        )
    elif _DRIVE.match(plain) and os.name != "nt":
        hint = "it is a path of a Windows machine: write paths relative to the manifest's folder"
    ways += [os.path.expanduser(plain)] if plain.startswith("~") else []  # noqa: PTH111
    ways += [plain.replace("\\", "/")] if "\\" in plain else []
    paths = [os.path.normpath(os.path.join(folder, way)) for way in dict.fromkeys(ways)]  # noqa: PTH118
    return next((path for path in paths if _exists(path)), paths[-1] if len(paths) > 1 else paths[0]), hint


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:  # a NUL in the name
        return False


def _with_whole_numbers(rows: list[_Row]) -> list[_Row]:
    """Labels and groups that are numbers and all whole stay whole: beside an empty cell, data frames make 1.0 of 1."""
    for column in ("label", "group"):
        texts = [text for row in rows if column in row.cells and (text := _text(row.cells[column])) is not None]
        if texts and all(_WHOLE_NUMBER.fullmatch(text) for text in texts):
            rows = [
                _Row(row.where, {**row.cells, column: text and text.removesuffix(".0")})
                for row in rows
                for text in [_text(row.cells.get(column))]
            ]
    return rows


def _class_name(shown: str, row: _Row) -> str | None:
    label = row.cells["label"]
    if isinstance(label, list | tuple | set | frozenset | dict):
        raise DataError(f"{shown} {row.where} has the labels {label!r}. {_ONE_LABEL}.")
    text = _text(label)
    if text is not None and any(mark in text for mark in "|;"):
        raise DataError(f"{shown} {row.where} has the label {text!r}, which reads as several. {_ONE_LABEL}, without | and ;.")
    return class_name_of(text) if text is not None else None


def _split(shown: str, row: _Row) -> Split | None:
    text = _text(row.cells.get("split"))
    if text is None:
        return None
    split = SPLIT_FOLDERS.get(text.lower())
    if split is None:
        near = get_close_matches(text.lower(), SPLIT_FOLDERS, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(f"{shown} {row.where} has the split {text!r}, expected train, val, test or nothing.{guess}")
    return split


def _problem_of_row(shown: str, row: _Row, example: Example, earlier: Example | None, hint: str) -> Problem | None:
    if earlier is not None:
        if earlier.class_name != example.class_name:
            labels = f"{earlier.class_name!r} and {example.class_name!r}"
            raise DataError(f"{shown} {row.where} lists {example.path!r} again: labels {labels}. {_ONE_LABEL}.")
        if earlier.cells != example.cells:
            both = f"{dict(earlier.cells)} and {dict(example.cells)}"
            raise DataError(f"{shown} {row.where} lists {example.path!r} again with other values, {both}: keep one row")
        if (earlier.split, earlier.group) != (example.split, example.group):
            raise DataError(f"{shown} {row.where} lists {example.path!r} again, in another split or group: keep one row")
        message = f"{shown} {row.where} lists {example.path!r} again; counted once: remove the row"
        return Problem(path=example.path, kind="repeated-path", message=message)
    try:
        example.path.encode()
        status = os.stat(example.path)  # noqa: PTH116 - 100,000 rows
    except PermissionError:
        message = f"{shown} {row.where}: {example.path!r} may not be read by this user: change its permissions"
        return Problem(path=example.path, kind="permission", message=message)
    except (OSError, ValueError):  # ValueError: a name that the file system cannot have, with a NUL say
        shown_path = example.path.encode(errors="backslashreplace").decode()
        message = f"{shown} {row.where}: {shown_path!r} does not exist; left out: {hint}"
        return Problem(path=shown_path, kind="missing", message=message)
    if not stat.S_ISREG(status.st_mode):
        message = f"{shown} {row.where}: {example.path!r} is no file, expected a picture: name a file"
        return Problem(path=example.path, kind="not-a-picture", message=message)
    return problem_of_file(example.path)


def _text(value: Any) -> str | None:
    """A cell as text without surrounding space; None for empty, None, NaN, NaT and NA, which data frames put where nothing is."""
    if value is None or _is_nothing(value):
        return None
    return str(value).strip() or None


def _is_nothing(value: Any) -> bool:
    """NaN and NaT differ from themselves; NA does not say whether it does."""
    try:
        return bool(value != value)
    except TypeError:
        return True
    except ValueError:  # an array: its text will be no label that anybody has
        return False
