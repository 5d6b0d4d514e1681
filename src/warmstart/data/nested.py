"""Folders in folders as nested classes: animal/dog/pug/1.jpg is of the class 'animal>dog>pug'.

Folders in class folders are mostly no classes but days, cameras, patients ('cat/2021/1.jpg'), and they have always belonged to the class
folder that they stand in. So nested classes must be asked for (--nested); a data set that looks as if they were meant is told of it and
read as ever. In a table the label says it itself ('animal>dog>pug'), and has always been a class of that name.

A picture that stands beside folders (animal/dog/x.jpg, where there is animal/dog/pug/) is of the class 'animal>dog', a class of its own:
left out it would be lost though its label is known, and in a table such labels were two classes before there was a tree. It is said how
many there are (`tasks.classify.tree`), since 'some dog' may be meant.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from warmstart.data.class_names import class_name_of
from warmstart.errors import DataError
from warmstart.records import Listing, Notice, Problem

SEPARATOR = ">"
LOOKS_NESTED = "folders-in-folders"  # kind of notice
FOLDERS_NAMED = 3


def path_of(class_name: str) -> tuple[str, ...]:
    """'animal > dog' → ('animal', 'dog'), from the top down; () for a name with an empty part ('>50'), which is no path."""
    parts = tuple(part.strip() for part in class_name.split(SEPARATOR))
    return parts if all(parts) else ()


def with_nested_classes(listing: Listing) -> Listing:
    """Of a folder, the same pictures, each of the class that the whole path of its folder names.

    Raises DataError for a table, for folders that hold none, and for a folder's name that reads as a path.
    """
    if listing.is_table:
        raise DataError(
            f"--nested is for folders in folders, and {listing.source!r} is none: in a table the label says where a class belongs, "
            f"animal{SEPARATOR}dog{SEPARATOR}pug. Leave --nested out"
        )
    folders = _folders(listing)
    if listing.examples and all(len(parts) == 1 for parts in folders.values()):
        raise DataError(
            f"--nested was asked for, and no class folder of {listing.source!r} holds a folder with pictures: expected folders in folders, "
            "animal/dog/pug/1.jpg. Leave --nested out"
        )
    of_folder = {folder: _name(folder, parts) for folder, parts in folders.items()}
    examples = tuple(replace(e, class_name=of_folder[_folder(e.path)]) for e in listing.examples)
    return replace(
        listing,
        examples=examples,
        class_names=tuple(sorted(set(of_folder.values()))),
        problems=(*listing.problems, *_merged(folders, of_folder)),
        notices=tuple(notice for notice in listing.notices if notice.kind != LOOKS_NESTED),
    )


def as_classes_are_named(listing: Listing, class_names: Sequence[str]) -> Listing:
    """For a model of these classes: a folder of folders is read as nested where its classes are, and otherwise as ever."""
    nested = any(len(path_of(name)) > 1 for name in class_names)
    if not nested or listing.is_table or any(SEPARATOR in name for name in listing.class_names):
        return listing
    deep = any(len(parts) > 1 for parts in _folders(listing).values())
    return with_nested_classes(listing) if deep else listing


def looks_nested(listing: Listing) -> tuple[Notice, ...]:
    """Said of a folder where folders in class folders could well be classes: what was understood, and how to have it otherwise.

    Could be: pictures stand in innermost folders alone, some class has two of them or more, and what they are called tells them apart by
    more than digits ('2021', 'patient_07') and is not called so in another class too ('indoor', 'test').
    """
    paths = sorted(set(_folders(listing).values()))
    deep = [path for path in paths if len(path) > 1]
    called = [_letters(path[-1]) for path in deep]
    above = {path[:depth] for path in paths for depth in range(1, len(path))}
    several = len({path[0] for path in deep}) < len(deep)
    if not several or not all(called) or len(set(called)) < len(called) or above & set(paths):
        return ()
    shown = ", ".join("/".join(path) for path in deep[:FOLDERS_NAMED])
    more = f" … and {len(deep) - FOLDERS_NAMED:,} more" if len(deep) > FOLDERS_NAMED else ""
    message = (
        f"class folders hold folders ({shown}{more}), and each picture counts as the class of the first: {len(listing.class_names):,} "
        f"classes. If the folders in them are classes too, --nested makes {len(paths):,} classes of them, in a tree"
    )
    return (Notice(kind=LOOKS_NESTED, message=message),)


def _folders(listing: Listing) -> dict[str, tuple[str, ...]]:
    """Folder that pictures stand in → its way from the class folder down, both included."""
    root = PurePath(listing.source)
    found = sorted({(_folder(e.path), e.split is not None) for e in listing.examples}, key=lambda one: os.fsencode(one[0]))
    return {folder: PurePath(folder).relative_to(root).parts[in_split:] for folder, in_split in found}


def _folder(path: str) -> str:
    return os.path.dirname(path)  # noqa: PTH120 - of every picture


def _name(folder: str, parts: tuple[str, ...]) -> str:
    odd = next((part for part in parts if SEPARATOR in part), None)
    if odd is not None:
        raise DataError(
            f"{folder!r}: with --nested, '{SEPARATOR}' stands between the folders that make a class, and {odd!r} has it in its name: "
            "rename that folder"
        )
    return SEPARATOR.join(class_name_of(part) or part for part in parts)


def _merged(folders: Mapping[str, tuple[str, ...]], of_folder: Mapping[str, str]) -> Iterator[Problem]:
    """Folders below their class folders that are one class by two names."""
    first: dict[str, tuple[str, ...]] = {}
    for folder, parts in folders.items():
        if (before := first.setdefault(of_folder[folder], parts))[1:] != parts[1:]:
            message = (
                f"folders {'/'.join(before)!r} and {'/'.join(parts)!r} are one class, {of_folder[folder]!r}: space around a name and "
                "how Unicode writes it do not count. Rename one of them if they are two"
            )
            yield Problem(path=folder, kind="merged-class", message=message)


def _letters(name: str) -> str:
    """Without digits and signs, in small letters."""
    return "".join(c for c in name.casefold() if c.isalpha())
