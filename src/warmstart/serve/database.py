"""What a server remembers beside its files: data sets, jobs, piles and corrections, in one SQLite file under its home."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FILE = "warmstart.db"
FORMAT = 1

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

    def __init__(self, home: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(home / FILE, check_same_thread=False, isolation_level=None, timeout=30)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(SCHEMA)
        self._connection.execute(f"PRAGMA user_version={FORMAT}")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """All of them."""
        with self._lock:
            return [dict(row) for row in self._connection.execute(sql, values)]

    def row(self, sql: str, values: Sequence[Any] = ()) -> dict[str, Any] | None:
        """The first, if any."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """How many rows it changed."""
        with self._lock:
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything in the block, or nothing."""
        with self._lock:
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
