"""Which bytes stand in a file, without opening it: (absolute path, size, modification time) → digest.

As in git's index, an entry is worth nothing if the file may have changed after it was read without its time changing: clocks of
file systems tick in steps of up to 2 s (FAT). So a file that was modified less than 2 s before somebody began to read is
not remembered; a run a little later reads it once more and remembers it then.
"""

import os
import struct
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from warmstart.errors import UsageError
from warmstart.store.environment import open_environment
from warmstart.store.key import DIGEST_BYTES
from warmstart.store.row_format import seal, unseal

Stamp = tuple[str | os.PathLike[str], int, int]  # absolute path, size in bytes, mtime in ns

_CLOCK_STEP_NS = 2_000_000_000
_ENTRY = struct.Struct(f"<qq{DIGEST_BYTES}s")

# Address space, not disk: an entry takes about 80 bytes, so this is enough for ten million files.
_MAX_BYTES = 2**30


class FileIndex:
    """The index of files in one folder. Several threads and processes may use it; close it once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._opened_ns = time.time_ns()
        self._environment = open_environment(folder, databases=("files",), max_bytes=_MAX_BYTES)
        self._files = self._environment.databases["files"]

    def lookup(self, stamps: Sequence[Stamp]) -> list[bytes | None]:
        """The digest of each file that is known with exactly this size and time; None: open and read it."""
        keys = [_key(path) for path, _, _ in stamps]

        def query(transaction: Any) -> list[bytes | None]:
            return [
                _digest(unseal(key, transaction.get(key, db=self._files)), size, mtime_ns)
                for key, (_, size, mtime_ns) in zip(keys, stamps, strict=True)
            ]

        return self._environment.read(query)

    def put(self, entries: Sequence[tuple[str | os.PathLike[str], int, int, bytes]], *, since_ns: int | None = None) -> None:
        """Remember ``(path, size, mtime_ns, digest)``, size and time taken *before* the file was read.

        ``since_ns`` (`time.time_ns`) is when the first of these files was looked at; None: when this index was opened. Files
        modified later than 2 s before it, or in the future, are not remembered, and what was known about them is forgotten.
        """
        trusted_until_ns = (self._opened_ns if since_ns is None else since_ns) - _CLOCK_STEP_NS
        encoded = [
            (_key(path), _ENTRY.pack(size, mtime_ns, digest) if mtime_ns < trusted_until_ns else None)
            for path, size, mtime_ns, digest in entries
        ]

        def change(transaction: Any) -> None:
            for key, entry in encoded:
                if entry is None:
                    transaction.delete(key, db=self._files)
                else:
                    transaction.put(key, seal(key, entry), db=self._files)

        if encoded:
            self._environment.write(change)

    def close(self) -> None:
        """Let go of the file."""
        self._environment.close()


def _key(path: str | os.PathLike[str]) -> bytes:
    """Hashed, because LMDB's keys end at 511 bytes and paths do not. Raises UsageError for a relative path."""
    if not os.path.isabs(path):  # noqa: PTH117 (a Path costs 4 µs, and there may be 100,000 files)
        raise UsageError(f"{os.fspath(path)!r} is relative; the index of files knows absolute paths only")
    return blake2b(os.fsencode(path), digest_size=16).digest()


def _digest(entry: bytes | None, size: int, mtime_ns: int) -> bytes | None:
    if entry is None:
        return None
    known_size, known_mtime_ns, digest = _ENTRY.unpack(entry)
    return digest if (known_size, known_mtime_ns) == (size, mtime_ns) else None
