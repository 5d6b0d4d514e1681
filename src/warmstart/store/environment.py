"""LMDB, used by its rules: one environment per path and process, never across a fork, its errors in the user's words.

LMDB is a B-tree in one memory-mapped file. Readers see the last commit and never wait; a commit ends with the change of one
page, so a kill at any moment leaves the file as the last commit left it. What it asks for in return:

* A process must not open a file twice (its locks would be lost when one of the two is closed): `open_environment` counts users.
* An environment must not be used in a forked child: every use compares process numbers.
* The map has a fixed size. It is only address space on POSIX, so we map the whole budget; where address space is scarce, and on
  Windows, where the file would be as large as its map, we begin small and double it whenever it is full.
* No `writemap` (a stray pointer would write into the file) and no `nosync` (a crash could lose the whole file).
"""

import contextlib
import errno
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from warmstart.errors import StoreError
from warmstart.store.place import CURE

T = TypeVar("T")

_SMALL_MAP_BYTES = 16 * 2**20

# Read transactions of all processes at one moment; LMDB's default of 126 is little for a machine with many workers.
_MAX_READERS = 512

_open: dict[str, "Environment"] = {}
_guard = threading.RLock()


def _renew_guard() -> None:
    """Another thread of the parent may have held the lock at the fork; in the child nobody would ever release it."""
    global _guard
    _guard = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_guard)


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
                os.truncate(self.folder / "data.mdb", needed_bytes)

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
            if os.strerror(errno.ENOSPC) in str(error) or os.strerror(errno.EDQUOT) in str(error):
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


def _open_lmdb(folder: Path, max_bytes: int, databases: int) -> Any:
    def with_map(map_bytes: int) -> Any:
        return lmdb.open(str(folder), map_size=map_bytes, max_dbs=databases, max_readers=_MAX_READERS, mode=0o644)

    if sys.platform != "win32":
        with contextlib.suppress(lmdb.MemoryError):  # a limit on address space (ulimit -v), or a 32-bit system
            return with_map(max_bytes)
    return with_map(min(max_bytes, _SMALL_MAP_BYTES))
