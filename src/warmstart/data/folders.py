"""Folders of class folders → examples.

    photos/cat/1.jpg            the class is the first folder; folders below it belong to it
    photos/train/cat/1.jpg      train, val (or valid, validation) and test folders are used as they are

Links are followed; a folder that is reached a second time is a named problem, so no loop and no picture counted twice.
"""

import fnmatch
import os
import re
from collections.abc import Sequence
from pathlib import Path

from warmstart.data.class_names import class_name_of
from warmstart.data.formats import PICTURE_EXTENSIONS, READABLE, SNIFF_BYTES, UNREADABLE, sniff
from warmstart.errors import DataError
from warmstart.records import Example, Problem, Split

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

_CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})  # and everything that begins with a dot

_LAYOUT = "expected one folder per class: FOLDER/cat/1.jpg, FOLDER/dog/2.jpg"


class Exclusions:
    """fnmatch patterns that remember which of them were of use, so that a misspelt one is noticed."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = {pattern: re.compile(fnmatch.translate(pattern)) for pattern in patterns}
        self._used: set[str] = set()

    def match(self, *names: str) -> bool:
        """Whether any pattern matches any of ``names``."""
        hits = {pattern for pattern, compiled in self._patterns.items() if any(compiled.match(name) for name in names)}
        self._used |= hits
        return bool(hits)

    def unused(self) -> list[Problem]:
        """One problem for each pattern that never matched."""
        return [
            Problem(
                path=pattern,
                kind="unused-exclude",
                message=f"exclude pattern {pattern!r} matches no class, folder or file: check its spelling",
            )
            for pattern in self._patterns
            if pattern not in self._used
        ]


def list_folder(root: str, exclusions: Exclusions) -> tuple[list[Example], list[Problem]]:
    """Examples below ``root`` and problems, unsorted. Raises DataError for a folder without class folders."""
    problems: list[Problem] = []
    try:
        folders, files = _scan(root, problems)
    except OSError as error:
        raise DataError(f"{root!r} may not be read by this user ({error.strerror}): change its permissions") from error
    if not folders:
        raise _without_class_folders(root, files, problems)
    splits = _split_folders(root, [entry.name for entry in folders])
    _name_stray_pictures(root, files, exclusions, problems)
    examples: list[Example] = []
    if not splits:
        _list_classes(root, folders, "", None, exclusions, examples, problems)
        return examples, problems
    for entry in folders:
        split = splits.get(entry.name)
        if split is None:
            if not exclusions.match(entry.name):
                message = f"{entry.path!r} stands beside train and is no split; left out: name it val or test, or move it away"
                problems.append(Problem(path=entry.path, kind="not-a-split", message=message))
            continue
        scanned = _scan_or_problem(entry.path, problems)
        _name_stray_pictures(root, scanned[1], exclusions, problems)
        _list_classes(root, scanned[0], f"{entry.name}/", split, exclusions, examples, problems)
    return examples, problems


def walk(top: str, exclusions: Exclusions, *, prefix: str = "", above: Sequence[str] = ()) -> tuple[list[str], list[Problem]]:
    """Paths of all pictures below ``top``, unsorted, and problems.

    ``prefix`` is the path of ``top`` relative to the root, with a slash at the end, for ``exclusions``; ``above`` are the
    folders that lead to ``top``: a link back to one of them is a loop.
    """
    paths: list[str] = []
    problems: list[Problem] = []
    seen = {_identity(folder) for folder in (*above, top)}
    stack = [(top, prefix)]
    while stack:
        folder, prefix = stack.pop()
        folders, files = _scan_or_problem(folder, problems)
        for entry in folders:
            relative = prefix + entry.name
            if exclusions.match(entry.name, relative):
                continue
            identity = _identity(entry.path)
            if identity in seen:
                message = f"{entry.path!r} leads back to a folder that is listed already; not followed: remove the link"
                problems.append(Problem(path=entry.path, kind="symlink-loop", message=message))
                continue
            seen.add(identity)
            stack.append((entry.path, relative + "/"))
        for entry in files:
            if exclusions.match(entry.name, prefix + entry.name):
                continue
            problem = problem_of_file(entry.path)
            if problem is None:
                paths.append(entry.path)
            else:
                problems.append(problem)
    return paths, problems


def problem_of_file(path: str) -> Problem | None:
    """None for a file that is, by its extension or else by its first bytes, a picture that can be read."""
    if os.path.splitext(path)[1].lower() in PICTURE_EXTENSIONS:  # noqa: PTH122 - a Path a file would double the time
        return None
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            format_name = sniff(file.read(SNIFF_BYTES))
    except PermissionError:
        return Problem(path=path, kind="permission", message=f"{path!r} may not be read by this user: change its permissions")
    except OSError as error:
        return Problem(path=path, kind="missing", message=f"{path!r} cannot be read ({error.strerror}): check the disk")
    if format_name in READABLE:
        return None
    if format_name in UNREADABLE:
        message = f"{path!r} is a {format_name} file, which cannot be read here: {UNREADABLE[format_name]}"
        return Problem(path=path, kind="unsupported", message=message)
    message = f"{path!r} is no picture, neither by its extension nor by its first bytes; left out: move it elsewhere"
    return Problem(path=path, kind="not-a-picture", message=message)


def has_class_folder(folder: Path) -> bool:
    """Whether ``folder`` is one and holds another, clutter aside."""
    try:
        return any(entry.is_dir() and not _is_clutter(entry.name) for entry in folder.iterdir())
    except OSError:
        return False


def _list_classes(
    root: str,
    folders: Sequence[os.DirEntry[str]],
    prefix: str,
    split: Split | None,
    exclusions: Exclusions,
    examples: list[Example],
    problems: list[Problem],
) -> None:
    """Appends to ``examples`` and ``problems`` what stands in each class folder."""
    named: dict[str, str] = {}  # class → the first folder of it
    above = (root,) if not prefix else (root, os.path.join(root, prefix))  # noqa: PTH118
    for entry in folders:
        if exclusions.match(entry.name, prefix + entry.name, class_name_of(entry.name)):
            continue
        if _identity(entry.path) in {_identity(folder) for folder in above}:
            message = f"{entry.path!r} is a link back to the folder that it stands in; not followed: remove it"
            problems.append(Problem(path=entry.path, kind="symlink-loop", message=message))
            continue
        paths, below = walk(entry.path, exclusions, prefix=f"{prefix}{entry.name}/", above=above)
        problems += below
        class_name = class_name_of(entry.name) or entry.name
        if (first := named.setdefault(class_name, entry.name)) != entry.name:
            message = (
                f"class folders {first!r} and {entry.name!r} are one class, {class_name!r}: space around a name and how Unicode writes it "
                "do not count. Rename one of them if they are two"
            )
            problems.append(Problem(path=entry.path, kind="merged-class", message=message))
        examples += [Example(path=path, class_name=class_name, split=split) for path in paths]
        if not paths and not any(problem.path == entry.path for problem in below):
            message = f"class folder {entry.path!r} holds no picture that can be used; left out: add pictures or remove it"
            problems.append(Problem(path=entry.path, kind="empty-class", message=message))


def _scan(folder: str, problems: list[Problem]) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """Folders and files in ``folder``, by name, clutter left out. Raises OSError when it cannot be read."""
    folders: list[os.DirEntry[str]] = []
    files: list[os.DirEntry[str]] = []
    with os.scandir(folder) as entries:
        for entry in sorted((e for e in entries if not _is_clutter(e.name)), key=lambda e: os.fsencode(e.name)):
            problem = _problem_of_entry(entry)
            if problem is not None:
                problems.append(problem)
            elif entry.is_dir():
                folders.append(entry)
            else:
                files.append(entry)
    return folders, files


def _scan_or_problem(folder: str, problems: list[Problem]) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    try:
        return _scan(folder, problems)
    except OSError as error:
        message = f"{folder!r} may not be read by this user ({error.strerror}); left out: change its permissions"
        problems.append(Problem(path=folder, kind="permission", message=message))
        return [], []


def _problem_of_entry(entry: os.DirEntry[str]) -> Problem | None:
    """Names that cannot be written down, links that lead nowhere, and what is neither file nor folder."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        shown = entry.path.encode(errors="backslashreplace").decode()
        message = f"{shown} has a name that is not UTF-8, so no record could name it; left out: rename it"
        return Problem(path=shown, kind="unreadable-name", message=message)
    try:
        if entry.is_dir() or entry.is_file():
            return None
        if entry.is_symlink():
            message = f"{entry.path!r} is a link to something that does not exist: repair or remove it"
            return Problem(path=entry.path, kind="missing", message=message)
        message = f"{entry.path!r} is a pipe or device, expected a picture file: remove it"
        return Problem(path=entry.path, kind="not-a-picture", message=message)
    except PermissionError:
        message = f"{entry.path!r} leads to where this user may not look: change its permissions"
        return Problem(path=entry.path, kind="permission", message=message)
    except OSError:  # ELOOP: a link to itself
        message = f"{entry.path!r} is a link that leads back to itself: remove it"
        return Problem(path=entry.path, kind="symlink-loop", message=message)


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _split_folders(root: str, names: Sequence[str]) -> dict[str, Split]:
    """Folder name → split when these are split folders; empty when they are classes (one of which may well be 'train')."""
    splits = {name: SPLIT_FOLDERS[word] for name in names if (word := name.strip().lower()) in SPLIT_FOLDERS}
    kinds = set(splits.values())
    if len(splits) == len(names) and "train" not in kinds:
        raise DataError(
            f"{root!r} holds {' and '.join(map(repr, splits))} but no 'train' folder; expected train/ with a folder per class "
            "(val/ and test/ beside it are optional): add it, or name one of the split folders to evaluate on it"
        )
    return splits if "train" in kinds and (len(kinds) > 1 or len(names) == 1) else {}


def _name_stray_pictures(root: str, files: Sequence[os.DirEntry[str]], exclusions: Exclusions, problems: list[Problem]) -> None:
    """Pictures beside class folders are named; other files there (a README, a licence) are nobody's loss."""
    for entry in files:
        relative = os.path.relpath(entry.path, root).replace(os.sep, "/")
        if _looks_like_picture(entry.name) and not exclusions.match(entry.name, relative):
            message = f"{entry.path!r} stands beside the class folders, so it has no class; left out: move it into one"
            problems.append(Problem(path=entry.path, kind="no-class", message=message))


def _without_class_folders(root: str, files: Sequence[os.DirEntry[str]], problems: Sequence[Problem]) -> DataError:
    names = [entry.name for entry in files]
    pictures = sum(map(_looks_like_picture, names))
    tables = [name for name in names if name.lower().endswith((".csv", ".tsv"))]
    hint = f" Or is {os.path.join(root, tables[0])!r} the manifest? Then name that file." if tables else ""  # noqa: PTH118
    first = f" {problems[0].message}." if problems else ""
    if pictures:
        return DataError(
            f"{root!r} holds {pictures} pictures but no class folder. The folder that a picture stands in is its label; "
            f"{_LAYOUT}: sort the pictures into such folders, or list them in a CSV with columns path,label.{hint}{first}"
        )
    if names:
        return DataError(f"{root!r} holds {len(names)} files, none of them a picture, and no folder; {_LAYOUT}.{hint}{first}")
    return DataError(f"{root!r} is empty; {_LAYOUT}.{first}")


def _looks_like_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in PICTURE_EXTENSIONS  # noqa: PTH122
