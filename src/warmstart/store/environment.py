"""LMDB, used by its rules: one environment per path and process, never across a fork, its errors in the user's words.

LMDB is a B-tree in one memory-mapped file. Readers see the last commit and never wait; a commit ends with the change of one
page, so a kill at any moment leaves the file as the last commit left it. What it asks for in return:

* A process must not open a file twice (its locks would be lost when one of the two is closed): `open_environment` counts users.
* An environment must not be used in a forked child: every use compares process numbers, and a child that asks for the same folder gets
  an environment of its own.
* The map must not be touched where the file has no room for it, or the system kills the process (SIGBUS). LMDB makes its lock file by
  `ftruncate`, which on a full disk promises what is not there: so the lock file is allocated before LMDB maps it.
* The map has a fixed size. It is only address space on POSIX, so we map the whole budget; where address space is scarce, and on
  Windows, where the file would be as large as its map, we begin small and double it whenever it is full.
* No `writemap` (a stray pointer would write into the file) and no `nosync` (a crash could lose the whole file).
"""

import contextlib
import errno
import mmap
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from warmstart.errors import StoreError
from warmstart.refusals import number_of
from warmstart.store.place import CURE

# py-lmdb refuses to open a file twice in one process, and in a forked child takes what the parent has open for the child's. Closing that
# first is no way out: it would free the parent's slots in the shared table of readers. So a child names files otherwise than its parent
# did (2026-11, lmdb 3.0; remove when it compares process numbers itself).
try:
    from lmdb import _envid
except ImportError:
    _envid = None

T = TypeVar("T")

_SMALL_MAP_BYTES = 16 * 2**20

# Read transactions of all processes at one moment; LMDB's default of 126 is little for a machine with many workers.
_MAX_READERS = 512

# What LMDB makes its lock file as long as (lmdb 0.9: a reader takes a cache line, the header two and the first reader's).
_LOCK_BYTES = (_MAX_READERS - 1) * 64 + 192
_META_BYTES = 2 * mmap.PAGESIZE
_FIRST_BYTES = 64 * 2**10  # more than a new environment with its tables takes

_open: dict[str, "Environment"] = {}
_inherited: list["Environment"] = []  # kept, so that nothing closes them in a child
_guard = threading.RLock()


def _begin_anew() -> None:
    """In a child nothing is open yet; and another thread of the parent may have held the lock, which nobody would ever release here."""
    global _guard
    _guard = threading.RLock()
    _inherited.extend(_open.values())
    _open.clear()
    if _envid is not None:
        of_file, process = _envid.env_keys, os.getpid()
        _envid.env_keys = lambda *of: tuple((process, *key) for key in of_file(*of))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def open_environment(folder: Path, *, databases: Sequence[str], max_bytes: int) -> "Environment":
    """The environment in ``folder`` (created if need be), shared with whoever has it open in this process. Close it once.

    ``databases`` names the key-value tables inside; ``max_bytes`` bounds the file. Raises StoreError.
    """
    path = os.path.realpath(folder)
    with _guard:
        environment = _open.get(path)
        if environment is None:
            environment = _open[path] = Environment(Path(path), databases, max_bytes)
        environment.check_process()
        environment.users += 1
        environment.max_bytes = max(environment.max_bytes, max_bytes)
        return environment


class Environment:
    """An open LMDB environment: run a function inside a transaction with `read` or `write`, then `close`.

    Transactions of one process take turns, because the map can grow only while none is running. They are short, and the lock
    between processes is LMDB's own.
    """

    def __init__(self, folder: Path, databases: Sequence[str], max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.users = 0
        self._process = os.getpid()
        self._turn = threading.RLock()
        with self._explained():
            _allocate(folder)
            self._lmdb = _open_lmdb(folder, max_bytes, len(databases))
            try:
                self._lmdb.reader_check()  # clears the slots of processes that were killed while reading
                self._pad()  # before anything looks at a page
                self.databases = {name: self._lmdb.open_db(name.encode("ascii")) for name in databases}
            except BaseException:
                self._lmdb.close()
                raise

    def read(self, query: Callable[[Any], T]) -> T:
        """Run ``query(transaction)`` on one snapshot. Values are buffers into the map: copy what outlives the call."""
        self.check_process()
        with self._turn, self._explained():
            try:
                return self._run(query, write=False)
            except lmdb.MapResizedError:  # another process wrote more than we have mapped
                self._lmdb.set_mapsize(0)
                return self._run(query, write=False)

    def write(self, change: Callable[[Any], T]) -> T:
        """Run ``change(transaction)`` and commit durably, or leave everything as it was. It may be run again after growing."""
        self.check_process()
        with self._turn, self._explained():
            while True:
                try:
                    return self._run(change, write=True)
                except lmdb.MapResizedError:
                    self._lmdb.set_mapsize(0)
                except lmdb.MapFullError:
                    mapped_bytes = self._lmdb.info()["map_size"]
                    if mapped_bytes >= self.max_bytes:
                        raise
                    self._lmdb.set_mapsize(min(2 * mapped_bytes, self.max_bytes))

    @property
    def bytes(self) -> int:
        """Size of the data file; it never shrinks."""
        return (self.folder / "data.mdb").stat().st_size

    def close(self) -> None:
        """One user less; the last one closes the file. Does nothing in a forked child: the parent's locks are not ours."""
        if self.inherited:
            return
        with _guard, self._turn:
            self.users -= 1
            if self.users == 0:
                del _open[str(self.folder)]
                self._lmdb.close()

    @property
    def inherited(self) -> bool:
        """True in a process that was forked after this environment was opened."""
        return os.getpid() != self._process

    def check_process(self) -> None:
        """Raise StoreError where the environment is inherited."""
        if self.inherited:
            raise StoreError(
                f"the store in {self.folder} was opened before this process was forked, and LMDB does not survive a fork. "
                "Start workers with the 'spawn' method or use threads, or close the store before forking."
            )

    def _run(self, function: Callable[[Any], T], *, write: bool) -> T:
        with self._lmdb.begin(write=write, buffers=True) as transaction:
            return function(transaction)

    def _pad(self) -> None:
        """Make the file as long as LMDB believes it is.

        Touching a mapped page behind the end of the file kills the process (SIGBUS). Where a file was cut off, zeros are read
        instead and fail their checksums. Inside a write transaction, so that no other process extends the file meanwhile.
        """
        with self._lmdb.begin(write=True):
            needed_bytes = (self._lmdb.info()["last_pgno"] + 1) * self._lmdb.stat()["psize"]
            if self.bytes < needed_bytes:
                _extend(self.folder / "data.mdb", needed_bytes)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """LMDB's errors as StoreError: what was found, what is kept, how to go on."""
        try:
            yield
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            raise StoreError(self._full(budget=isinstance(error, lmdb.MapFullError))) from error
        except (
            lmdb.CorruptedError,
            lmdb.PageNotFoundError,
            lmdb.InvalidError,
            lmdb.VersionMismatchError,
            lmdb.PanicError,
        ) as error:
            raise StoreError(
                f"the stored file {self.folder / 'data.mdb'} is damaged beyond single rows ({error}). Stop other warmstart "
                f"processes and delete the folder {self.folder}; what it held will be computed again."
            ) from error
        except (lmdb.ReadonlyError, PermissionError) as error:
            raise StoreError(f"cannot write in {self.folder}: permission denied. {CURE}.") from error
        except (lmdb.Error, OSError) as error:
            number = number_of(error)
            if number == errno.EIO and shutil.disk_usage(self.folder).free < _FIRST_BYTES:
                number = errno.ENOSPC  # what LMDB makes of a write that ended early
            if number in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError(self._full(budget=False)) from error
            raise StoreError(f"the store in {self.folder} failed: {error}. What was stored before is kept. {CURE}.") from error

    def _full(self, *, budget: bool) -> str:
        file = self.folder / "data.mdb"
        held_mib = file.stat().st_size / 2**20 if file.exists() else 0.0
        kept = f"{self.folder} holds {held_mib:,.1f} MiB, and what was stored before is kept."
        if budget:
            return (
                f"the store's budget of {self.max_bytes / 2**20:,.1f} MiB is full: {kept} "
                "Raise the budget, or remove this recipe (warmstart cache prune)."
            )
        free_mib = shutil.disk_usage(self.folder).free / 2**20
        return (
            f"the disk is full ({free_mib:,.1f} MiB are free): {kept} "
            "Make room (warmstart cache prune removes stored recipes), or set WARMSTART_CACHE to a folder on a larger disk."
        )


def count_rows(folder: Path, database: str) -> int | None:
    """Entries of a table, read without writing, locking or creating anything: for a disk that is full or can only be read.

    None where the file is damaged. Whoever writes to it meanwhile is not waited for, so this is for people to look at.
    """
    try:
        with lmdb.open(str(folder), readonly=True, lock=False, create=False, max_dbs=1) as environment:
            needed_bytes = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
            if (folder / "data.mdb").stat().st_size < needed_bytes:  # see `Environment._pad`
                return None
            table = environment.open_db(database.encode("ascii"), create=False)
            with environment.begin() as transaction:
                return int(transaction.stat(table)["entries"])
    except (lmdb.Error, OSError):
        return None


def _allocate(folder: Path) -> None:
    """Room for the lock file, and for the first pages of a new file. Raises OSError where there is none."""
    if not hasattr(os, "posix_fallocate"):
        return
    lock, data = folder / "lock.mdb", folder / "data.mdb"
    _extend(lock, lock.stat().st_size if lock.exists() and lock.stat().st_size else _LOCK_BYTES)
    if not data.exists() or data.stat().st_size == 0:
        with tempfile.TemporaryFile(dir=folder) as trial:  # not the file itself: LMDB takes one that is there for its own
            os.posix_fallocate(trial.fileno(), 0, _FIRST_BYTES)


def _extend(path: Path, size_bytes: int) -> None:
    """Make a file at least so long, with room on the disk for all of it. Raises OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, size_bytes)
        elif os.fstat(handle).st_size < size_bytes:
            os.ftruncate(handle, size_bytes)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(handle, max(size_bytes, os.fstat(handle).st_size))  # a file system that cannot promise room
    finally:
        os.close(handle)


def _open_lmdb(folder: Path, max_bytes: int, databases: int) -> Any:
    def with_map(map_bytes: int) -> Any:
        return lmdb.open(str(folder), map_size=map_bytes, max_dbs=databases, max_readers=_MAX_READERS, mode=0o644)

    data = folder / "data.mdb"
    try:
        if sys.platform != "win32":
            with contextlib.suppress(lmdb.MemoryError):  # a limit on address space (ulimit -v), or a 32-bit system
                return with_map(max_bytes)
        return with_map(min(max_bytes, _SMALL_MAP_BYTES))
    except lmdb.Error:
        with contextlib.suppress(OSError):
            if data.stat().st_size < _META_BYTES:  # begun on a full disk: the next one would take it for damaged
                data.unlink()
        raise
