"""Files → digests, through the file index: a file is read only when it is new or has changed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from warmstart import machine
from warmstart.data.hashing import digest_file
from warmstart.errors import PictureError
from warmstart.records import Problem
from warmstart.store.cache import Store

Progress = Callable[[str, int, int], None]  # (phase, done, total)


def silent(phase: str, done: int, total: int) -> None:
    """The progress that nobody watches."""


def scan(paths: Sequence[str], store: Store, *, on_progress: Progress = silent) -> tuple[list[bytes | None], list[Problem]]:
    """The digest of each file (None where it cannot be read) and what is wrong with those. Known files are not opened."""
    stats: list[tuple[str, int, int] | None] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            info = Path(path).stat()
            stats.append((str(Path(path).absolute()), info.st_size, info.st_mtime_ns))
        except OSError as reason:
            stats.append(None)
            kind = "permission" if isinstance(reason, PermissionError) else "missing"
            message = f"{path!r} cannot be read ({reason.strerror}): check the path and its permissions, or leave it out"
            problems.append(Problem(path=path, kind=kind, message=message))
    there = [i for i, stat in enumerate(stats) if stat is not None]
    digests: list[bytes | None] = [None] * len(paths)
    for i, known in zip(there, store.index.lookup([stats[i] for i in there]), strict=True):  # type: ignore[misc]
        digests[i] = known
    unknown = [i for i in there if digests[i] is None]

    def read(i: int) -> tuple[int, bytes | PictureError]:
        try:
            return i, digest_file(paths[i])
        except PictureError as reason:
            return i, reason

    with ThreadPoolExecutor(machine.cores()) as threads:
        for done, (i, result) in enumerate(threads.map(read, unknown), 1):
            if isinstance(result, PictureError):
                problems.append(Problem(path=paths[i], kind=result.kind, message=str(result)))
            else:
                digests[i] = result
            on_progress("reading", done, len(unknown))
    store.index.put([(*stats[i], digests[i]) for i in unknown if digests[i] is not None])  # type: ignore[misc]
    return digests, problems
