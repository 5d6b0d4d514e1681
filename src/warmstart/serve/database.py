"""What a server remembers beside its files: data sets, jobs, piles and corrections, in one SQLite file under its home.

Whoever uses it gets SQLite's own errors; `trouble` says in words what is wrong with the file. A file that was removed, emptied or
replaced under a running server is such an error as well: SQLite would go on with the file that nobody can find any more.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warmstart.errors import InputError

FILE = "warmstart.db"
FORMAT = 1
LOST = "database was removed, emptied or replaced"

SCHEMA = """
CREATE TABLE IF NOT EXISTS datasets (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, owned INTEGER NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, dataset TEXT NOT NULL, state TEXT NOT NULL,
  spec TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL, message TEXT NOT NULL DEFAULT '',
  attempts INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS additions (
  id TEXT PRIMARY KEY, dataset TEXT NOT NULL, file TEXT NOT NULL, label TEXT NOT NULL, origin TEXT NOT NULL, name TEXT NOT NULL,
  predicted TEXT, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS piles (
  id TEXT PRIMARY KEY, dataset TEXT NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS pile_pictures (
  pile TEXT NOT NULL, n INTEGER NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, prediction TEXT, uncertainty REAL, problem TEXT,
  label TEXT, PRIMARY KEY (pile, n));
"""


class Database:
    """One connection, used by one thread at a time. Every write is on disk when the call returns."""

    def __init__(self, home: Path, *, wait_s: float = 4.0) -> None:
        """``wait_s``: for other threads, and for other programs. Raises InputError naming the file where it cannot be used."""
        self._path, self._wait_s = home / FILE, wait_s
        self._lock = threading.RLock()
        _check_not_lost(home)
        try:
            self._connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=wait_s)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as reason:
            what, fix = trouble(reason)
            raise InputError(f"{self._path} {what}: {fix}") from reason
        self._identity = self._seen()

    def _prepare(self) -> None:
        self._connection.row_factory = sqlite3.Row
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        if found > FORMAT:
            raise InputError(
                f"{self._path} was written by a newer warmstart (format {found}; this one knows {FORMAT}): "
                "start that version, or name another --home"
            )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        (state,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise _error(f"database disk image is malformed ({state})", sqlite3.SQLITE_CORRUPT)
        self._connection.executescript(SCHEMA)
        self._connection.execute(f"PRAGMA user_version={FORMAT}")

    def what_is_wrong(self, error: sqlite3.Error) -> str:
        """For the console, with the whole path."""
        what, fix = trouble(error)
        return f"{self._path} {what}: {fix}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time. Raises sqlite3.OperationalError where others take too long, or the file is not the one it was."""
        if not self._lock.acquire(timeout=self._wait_s):
            raise _error("database is locked by other requests", sqlite3.SQLITE_BUSY)
        try:
            if self._seen() != self._identity:
                raise _error(LOST, sqlite3.SQLITE_READONLY_DBMOVED)
            yield
        finally:
            self._lock.release()

    def _seen(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - for every statement
        except OSError:
            return None
        return (status.st_dev, status.st_ino) if status.st_size else None

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """All of them."""
        with self._alone():
            return [dict(row) for row in self._connection.execute(sql, values)]

    def row(self, sql: str, values: Sequence[Any] = ()) -> dict[str, Any] | None:
        """The first, if any."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """How many rows it changed."""
        with self._alone():
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything in the block, or nothing."""
        with self._alone():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Afterwards nothing works any more."""
        with self._lock:
            self._connection.close()


def trouble(error: sqlite3.Error) -> tuple[str, str]:
    """What is wrong with the file, to go on behind its name, and what to do."""
    code = getattr(error, "sqlite_errorcode", None)
    restore = "stop the server, put a copy of the file in its place or move the whole home away, and start it again"
    if code == sqlite3.SQLITE_READONLY_DBMOVED:
        return "was removed, emptied or replaced while the server was running", restore
    match code and code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "is locked by another program or busy", "end what else has it open, and ask again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return f"is damaged ({error})", restore
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return f"cannot be written to ({error})", "let the server's user write to it and to its folder"
        case sqlite3.SQLITE_FULL:
            return "has no room to grow, because the disk is full", "make room under the server's --home and ask again"
        case sqlite3.SQLITE_ERROR if str(error).startswith(("no such", "table ")):
            return f"is not as a server leaves it ({error})", restore
    return f"cannot be used ({error})", restore


def _error(message: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


def _check_not_lost(home: Path) -> None:
    """An empty file beside folders that a server has filled is a lost one: a fresh one would know nothing of them."""
    path = home / FILE
    if path.is_file() and path.stat().st_size:
        return
    filled = [name for name in ("datasets", "jobs", "piles") if (home / name).is_dir() and any((home / name).iterdir())]
    if filled:
        raise InputError(
            f"{path} is {'empty' if path.is_file() else 'not there'}, but the folders of a server are ({', '.join(filled)}): "
            f"put a copy of it back, or move these folders out of {home}"
        )
