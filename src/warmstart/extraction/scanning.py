"""Files → pictures with digest and facts, through the file index: a file is read only when it is new or has changed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.data.depth import grey_values, is_deep, white_is_zero
from warmstart.data.facts import facts_of
from warmstart.data.files import read_bytes, unreachable
from warmstart.data.hashing import digest, digest_pixels
from warmstart.data.memory import in_memory, understood
from warmstart.data.orientation import orientation_of
from warmstart.errors import PictureError
from warmstart.records import Facts, Picture, Problem
from warmstart.store.cache import Store
from warmstart.store.index import Stamp, stamp_of

Progress = Callable[[str, int, int], None]  # (phase, done, total)


def silent(phase: str, done: int, total: int) -> None:
    """The progress that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What stands at N paths."""

    pictures: tuple[Picture | None, ...]  # N, in order; None where the file cannot be read
    problems: tuple[Problem, ...]  # of those


def scan(paths: Sequence[str], store: Store, *, on_progress: Progress = silent) -> Scan:
    """The picture at each path with its digest, and what is wrong with the others. Known files are not opened.

    A file is read once: its digest and its facts are those of the same bytes. Bytes that are no picture have no facts; why is found out
    where their row is computed.
    """
    stamps: list[Stamp | None] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            stamps.append(stamp_of(path))
        except (OSError, ValueError) as reason:
            stamps.append(None)
            problems.append(_problem(path, unreachable(path, reason)))
    there = [(i, stamp) for i, stamp in enumerate(stamps) if stamp is not None]
    known = store.index.lookup([stamp for _, stamp in there])
    seen = [digest for digest in known if digest is not None]
    facts = store.index.facts(seen)
    digests = {i: digest for (i, _), digest in zip(there, known, strict=True) if digest is not None and digest in facts}
    unknown = [(i, stamp) for i, stamp in there if i not in digests]

    def read(i: int) -> tuple[bytes, Facts | None] | PictureError:
        try:
            return look_at(read_bytes(paths[i]))
        except PictureError as reason:
            return reason

    learnt: dict[bytes, Facts | None] = {}
    with ThreadPoolExecutor(machine.cores()) as threads:
        for done, ((i, _), result) in enumerate(zip(unknown, threads.map(read, (i for i, _ in unknown)), strict=True), 1):
            if isinstance(result, PictureError):
                problems.append(_problem(paths[i], result))
            else:
                digests[i], of = result
                learnt[digests[i]] = of
            on_progress("reading", done, len(unknown))
    store.index.put([(stamp, digests[i]) for i, stamp in unknown if i in digests], learnt)
    facts |= learnt
    return Scan(
        pictures=tuple(
            Picture(path=path, digest=digests[i], facts=facts[digests[i]]) if i in digests else None
            for i, path in enumerate(paths)
        ),
        problems=tuple(problems),
    )


def scan_given(given: Sequence[tuple[str, Any]], store: Store, *, on_progress: Progress = silent) -> Scan:
    """The same of (name, content), where content is what `picture_of` takes, or None for the file of that name."""
    of_files = [i for i, (_, content) in enumerate(given) if content is None]
    found = scan([given[i][0] for i in of_files], store, on_progress=on_progress)
    pictures: list[Picture | None] = [None] * len(given)
    problems = list(found.problems)
    for i, picture in zip(of_files, found.pictures, strict=True):
        pictures[i] = picture
    in_memory = [i for i, (_, content) in enumerate(given) if content is not None]

    def read(i: int) -> Picture | Problem:
        name, content = given[i]
        try:
            return picture_of(content, name=name)
        except PictureError as reason:
            return _problem(name, reason)

    with ThreadPoolExecutor(machine.cores()) as threads:
        for i, result in zip(in_memory, threads.map(read, in_memory), strict=True):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                pictures[i] = result
    return Scan(pictures=tuple(pictures), problems=tuple(problems))


def picture_of(source: Any, *, name: str) -> Picture:
    """A picture that did not come as a path: encoded bytes, an open file, a PIL image or an array. Raises PictureError."""
    given = understood(source)
    if isinstance(given, Path):
        given = read_bytes(given)
    if isinstance(given, bytes):
        content_digest, facts = look_at(given)
        return Picture(path=name, digest=content_digest, content=given, facts=facts)
    if not is_deep(given):
        upright = in_memory(given)
        facts = Facts(format="memory", width=upright.width, height=upright.height, mode=given.mode)
        return Picture(path=name, digest=digest_pixels(np.asarray(upright)), content=given, facts=facts)
    # Its levels hang on the range of a data set, so it is the values themselves that are digested, and what turns them.
    turned = (orientation_of(given), white_is_zero(given), given.info.get("transparency"))
    identity = digest(digest_pixels(np.asarray(given)) + repr(turned).encode("utf-8"))
    facts = Facts(format="memory", width=given.width, height=given.height, mode=given.mode, depth=grey_values(given)[1])
    return Picture(path=name, digest=identity, content=given, facts=facts)


def look_at(content: bytes) -> tuple[bytes, Facts | None]:
    """Digest and facts of encoded bytes; no facts where they are no picture. Raises PictureError where memory does not suffice."""
    try:
        return digest(content), facts_of(content)
    except PictureError as reason:
        if reason.transient:
            raise
        return digest(content), None


def _problem(path: str, reason: PictureError) -> Problem:
    return Problem(path=path, kind=reason.kind, message=str(reason))
