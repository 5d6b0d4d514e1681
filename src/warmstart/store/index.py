"""Which bytes stand in a file, without opening it, and what those bytes say of themselves.

    files   absolute path → (size, modification, change, inode, device) and digest
    facts   digest → `records.Facts`

As in git's index, an entry is worth nothing if the file may have changed after it was read without its stamp changing. A tool can set
the modification time (`cp -p`, `rsync -t`, unzip), so that is not enough: the change time (POSIX: st_ctime), which no tool sets, the
inode and the device belong to the stamp. Where a file system has no stable ones, the stamp differs and the file is read again.
Clocks of file systems tick: in steps of up to 2 s (FAT), of 10 ms at most where they count nanoseconds (the kernel's tick). A file that
changed less than that before somebody began to read is not remembered; a run a little later reads it once more.
"""

import json
import os
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from warmstart.errors import UsageError
from warmstart.records import Depth, Facts
from warmstart.store.environment import open_environment
from warmstart.store.key import DIGEST_BYTES
from warmstart.store.row_format import seal, unseal

# Hashed along with every fact: raise it when `data.facts` finds something new, so that known files are looked at once more.
_FACTS_VERSION = 1

_COARSE_STEP_NS = 2_000_000_000
_FINE_STEP_NS = 20_000_000
_ENTRY = struct.Struct(f"<qqqQQ{DIGEST_BYTES}s")


class Stamp(NamedTuple):
    """What a file system says of a file; when it is the same, so are the bytes."""

    path: str  # absolute
    size: int  # bytes
    modified_ns: int
    changed_ns: int  # POSIX: when bytes, name or owner last changed. Windows: when the file was made
    inode: int
    device: int


def stamp_of(path: str | os.PathLike[str]) -> Stamp:
    """The stamp of the file at this path, a link followed. Raises OSError."""
    info = os.stat(path)  # noqa: PTH116 - for every file of every run
    where = os.path.abspath(path)  # noqa: PTH100
    mask = 2**64 - 1
    return Stamp(where, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino & mask, info.st_dev & mask)


# Address space, not disk: an entry and its facts take about 400 bytes, so this is enough for five million files.
_MAX_BYTES = 2**31


class FileIndex:
    """The index of files in one folder. Several threads and processes may use it; close it once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._opened_ns = time.time_ns()
        self._environment = open_environment(folder, databases=("files", "facts"), max_bytes=_MAX_BYTES)
        self._files, self._facts = (self._environment.databases[name] for name in ("files", "facts"))

    def lookup(self, stamps: Sequence[Stamp]) -> list[bytes | None]:
        """The digest of each file that is known with exactly this stamp; None: open and read it."""
        keys = [_key(stamp.path) for stamp in stamps]

        def query(transaction: Any) -> list[bytes | None]:
            return [
                _digest(unseal(key, transaction.get(key, db=self._files)), stamp)
                for key, stamp in zip(keys, stamps, strict=True)
            ]

        return self._environment.read(query)

    def facts(self, digests: Sequence[bytes]) -> dict[bytes, Facts | None]:
        """What is known of these bytes by the rules of now: their facts, or None for bytes that are no picture."""

        def query(transaction: Any) -> dict[bytes, Facts | None]:
            entries = ((digest, unseal(digest, transaction.get(digest, db=self._facts))) for digest in digests)
            known = {digest: json.loads(entry) for digest, entry in entries if entry is not None}
            return {digest: _facts(values) for digest, (version, values) in known.items() if version == _FACTS_VERSION}

        return self._environment.read(query)

    def put(
        self,
        entries: Sequence[tuple[Stamp, bytes]],
        facts: Mapping[bytes, Facts | None] | None = None,
        *,
        since_ns: int | None = None,
    ) -> None:
        """Remember ``(stamp, digest)``, the stamp taken *before* the file was read, and what these bytes say.

        ``since_ns`` (`time.time_ns`) is when the first of these files was looked at; None: when this index was opened. Files that changed
        just before it (see above), or in the future, are not remembered, and what was known about them is forgotten.
        """
        since_ns = self._opened_ns if since_ns is None else since_ns
        encoded = [
            (_key(stamp.path), _ENTRY.pack(*stamp[1:], digest) + os.fsencode(stamp.path) if _settled(stamp, since_ns) else None)
            for stamp, digest in entries
        ]
        described = [
            (digest, json.dumps([_FACTS_VERSION, of and asdict(of)]).encode("ascii")) for digest, of in (facts or {}).items()
        ]

        def change(transaction: Any) -> None:
            for key, entry in encoded:
                if entry is None:
                    transaction.delete(key, db=self._files)
                else:
                    transaction.put(key, seal(key, entry), db=self._files)
            for digest, text in described:
                transaction.put(digest, seal(digest, text), db=self._facts)

        if encoded or described:
            self._environment.write(change)

    def known(self) -> list[tuple[Stamp, bytes]]:
        """Every file that is remembered, with the digest of its bytes."""

        def query(transaction: Any) -> list[tuple[Stamp, bytes]]:
            entries = transaction.cursor(db=self._files).iternext()
            return [found for key, value in entries if (found := _known(unseal(bytes(key), value))) is not None]

        return self._environment.read(query)

    def forget(self, paths: Sequence[str]) -> None:
        """Whatever stands there is read again."""

        def change(transaction: Any) -> None:
            for path in paths:
                transaction.delete(_key(path), db=self._files)

        self._environment.write(change)

    def close(self) -> None:
        """Let go of the file."""
        self._environment.close()


def _key(path: str | os.PathLike[str]) -> bytes:
    """Hashed, because LMDB's keys end at 511 bytes and paths do not. Raises UsageError for a relative path."""
    if not os.path.isabs(path):  # noqa: PTH117 (a Path costs 4 µs, and there may be 100,000 files)
        raise UsageError(f"{os.fspath(path)!r} is relative; the index of files knows absolute paths only")
    return blake2b(os.fsencode(path), digest_size=16).digest()


def _digest(entry: bytes | None, stamp: Stamp) -> bytes | None:
    found = _known(entry)
    return found[1] if found is not None and found[0] == stamp else None


def _known(entry: bytes | None) -> tuple[Stamp, bytes] | None:
    if entry is None or len(entry) <= _ENTRY.size:  # an entry of before inode and change time were looked at
        return None
    *known, digest = _ENTRY.unpack_from(entry)
    return Stamp(os.fsdecode(entry[_ENTRY.size :]), *known), digest


def _facts(values: dict[str, Any] | None) -> Facts | None:
    if values is None:
        return None
    depth = values.pop("depth")
    return Facts(**values, depth=depth and Depth(**depth))


def _settled(stamp: Stamp, since_ns: int) -> bool:
    """Whether a change after ``since_ns`` is sure to have changed the stamp."""
    step_ns = _FINE_STEP_NS if stamp.changed_ns % 10_000_000 else _COARSE_STEP_NS
    return max(stamp.modified_ns, stamp.changed_ns) < since_ns - step_ns
