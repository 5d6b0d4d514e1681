"""What the user named → labelled picture files, before any picture is opened.

A folder of class folders, a folder of train/ val/ test/ folders of class folders, a CSV or TSV manifest, a data frame, pairs, or a
data set of torch's → examples and problems → classes checked → `Listing`. What is left out is a named `Problem`; what makes the whole
unusable, a DataError.

Files with a known picture extension are not opened here: a second run over an unchanged folder must open no picture. Others are
told by their first bytes.
"""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from warmstart.data.folders import Exclusions, has_class_folder, list_folder, walk
from warmstart.data.manifest import list_frame, list_manifest, list_pairs
from warmstart.data.nested import looks_nested, with_nested_classes
from warmstart.data.torch_datasets import pairs_of
from warmstart.errors import DataError
from warmstart.records import Listing, Problem
from warmstart.refusals import require_file


def read_listing(
    source: str | Path | Iterable[tuple[str, str]] | Any,
    *,
    exclude: Sequence[str] = (),
    min_classes: int = 2,
    columns: Sequence[str] = (),
    several: bool = False,
    nested: bool = False,
) -> Listing:
    """The labelled pictures of ``source``, sorted by the bytes of their paths, and everything that was left out.

    ``source``: a path to a folder or manifest, anything with columns ``path`` and ``label`` (a data frame), or pairs of (picture, label),
    also out of a torch Dataset: a picture is a path, or what `data.memory` takes. ``exclude``: fnmatch patterns; a class, folder or file
    whose name or relative path matches is not listed and not reported. ``min_classes``: 2 to learn from; 1 where pictures of one class
    only make sense, as in evaluation. ``columns``: of a
    table, those that hold what is to be learnt, where that is no label; then there are no classes. ``several``: whether a table with a
    column ``labels``, any number a picture, will do; it is then as if that column had been named. ``nested``: whether folders in class
    folders are classes too (`data.nested`); where they look as if they were, that is a notice.

    Raises DataError when nothing can be made of it: no such path, no manifest, an empty or flat folder, too few classes,
    columns or split names that are not known, several labels for one picture.
    """
    exclusions, columns = Exclusions(exclude), tuple(name.strip().lower() for name in columns)
    is_table = True
    if isinstance(source, str | Path):
        shown = os.fspath(source)
        if not os.path.lexists(shown):
            raise DataError(f"{shown!r} does not exist; expected a folder of class folders or a CSV manifest: check the path")
        require_file(shown, "the manifest", DataError)
        if Path(shown).is_dir():
            if columns:
                raise DataError(
                    f"{shown!r} is a folder, and {', '.join(columns)} names columns of a table: name the table, a CSV file"
                )
            examples, problems = list_folder(shown, exclusions)
            is_table = False
        else:
            table = list_manifest(shown, exclusions, columns, several=several)
            examples, problems, columns = table.examples, table.problems, table.columns
    elif hasattr(source, "columns"):
        shown = "data frame"
        table = list_frame(source, exclusions, columns, several=several)
        examples, problems, columns = table.examples, table.problems, table.columns
    else:
        if columns:
            raise DataError(
                f"pairs have no columns, and {', '.join(columns)} was asked for: give a table, a CSV file or a data frame"
            )
        pairs = _pairs(source)
        shown = f"list of {len(pairs)} pairs"
        examples, problems = list_pairs(pairs, exclusions)

    problems += exclusions.unused()
    class_names = () if columns else tuple(sorted({example.class_name for example in examples}))
    listing = Listing(
        source=shown,
        examples=tuple(sorted(examples, key=lambda example: os.fsencode(example.path))),
        class_names=class_names,
        problems=tuple(problems),
        columns=columns,
        is_table=is_table,
    )
    if nested:
        listing = with_nested_classes(listing)
    elif not is_table:
        listing = replace(listing, notices=looks_nested(listing))
    check_classes(listing, 0 if columns else min_classes)
    return listing


def _pairs(source: Any) -> list[Any]:
    expected = "expected a folder, a manifest, a data frame or pairs (path, label)"
    if isinstance(source, Mapping):
        raise DataError(f"{type(source).__name__} is no data set: {expected}, such as its items()")
    try:
        return pairs_of(source) if hasattr(source, "__getitem__") and not isinstance(source, Sequence) else list(source)
    except TypeError as reason:
        raise DataError(f"{type(source).__name__} is no data set: {expected}") from reason


def find_pictures(arguments: Sequence[str | Path]) -> tuple[list[str], list[Problem]]:
    """Unlabelled pictures: files as they are, folders with all that is below them, and glob patterns where no such file exists.

    In the order of the arguments, below a folder or pattern by the bytes of the path; each path once.
    """
    found: dict[str, None] = {}
    problems: list[Problem] = []
    for argument in arguments:
        name = os.fspath(argument)
        matches = [name]
        if not os.path.lexists(name) and glob.has_magic(name):
            matches = sorted(glob.glob(name, recursive=True), key=os.fsencode)  # noqa: PTH207 - may be absolute
        if not os.path.lexists(name) and (not glob.has_magic(name) or not matches):
            why = "no file matches this pattern" if glob.has_magic(name) else "no such file or folder"
            problems.append(Problem(path=name, kind="missing", message=f"{name!r}: {why}; check the spelling and the folder"))
            continue
        for match in matches:
            if not Path(match).is_dir():
                found[match] = None
                continue
            paths, below = walk(match, Exclusions(()))
            problems += below
            if not paths:
                message = (
                    f"{match!r} holds no picture, in no folder below it either; expected JPEG, PNG, WebP, GIF, BMP or TIFF"
                )
                problems.append(Problem(path=match, kind="empty-folder", message=message))
            found.update(dict.fromkeys(sorted(paths, key=os.fsencode)))
    return list(found), problems


def without_gaps(listing: Listing) -> Listing:
    """Without examples of which a column that is to be learnt says nothing, each a problem: for a task that needs all of them."""
    kept, problems = [], list(listing.problems)
    for example in listing.examples:
        empty = [name for name in listing.columns if example.cells.get(name) is None]
        if not empty:
            kept.append(example)
            continue
        message = f"{listing.source!r}: {example.path!r} has no {' and no '.join(empty)}; left out: fill it in"
        problems.append(Problem(path=example.path, kind="no-target", message=message))
    return listing if len(kept) == len(listing.examples) else replace(listing, examples=tuple(kept), problems=tuple(problems))


def check_classes(listing: Listing, min_classes: int) -> None:
    """Raises DataError where there is no picture, or fewer classes than that."""
    shown, problems = listing.source, listing.problems
    reasons = Counter(problem.kind for problem in problems)
    because = f" Left out: {', '.join(f'{count} × {kind}' for kind, count in sorted(reasons.items()))}." if reasons else ""
    if problems and not listing.examples:
        because += f" The first: {problems[0].message}."
    if not listing.examples:
        raise DataError(f"{shown!r} has no picture that can be used.{because}")
    if len(listing.class_names) < min_classes:
        only = listing.class_names[0]
        hint = ""
        inner = Path(shown) / only
        if has_class_folder(inner):
            hint = (
                f" {only!r} holds folders itself: did you mean {os.fspath(inner)!r}? Or --nested, if it and they are classes?"
            )
        raise DataError(
            f"{shown!r} has only the class {only!r} ({len(listing.examples)} pictures), expected at least {min_classes} classes, "
            f"one folder or label each.{hint}{because}"
        )
