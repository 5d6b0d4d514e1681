"""The rows of one recipe: what the frozen prefix computed, one array a picture and view, read back exactly as stored.

    keys → missing() → (compute those) → write() → read(keys) → (N, *row shape)

Three tables of one LMDB environment: ``rows`` (row key → row), ``problems`` (picture's digest → kind and message), ``facts``
(of the recipe, and remarks on pictures by their digest).
Every value carries a checksum that is verified whenever it is read. N is the number of keys asked for.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import numpy as np

from warmstart.errors import StoreError, UsageError
from warmstart.store.claims import Claim, claimed
from warmstart.store.description import read_description, write_description
from warmstart.store.environment import open_environment
from warmstart.store.key import digest_of
from warmstart.store.row_format import CHECKSUM_BYTES, RowFormat, RowLayout, encode_rows, few, is_sound, seal, unseal

T = TypeVar("T")

_LAYOUT = b"layout"  # the entry of `facts` that holds the RowLayout
_RULES = b"problem-rules"  # and the one that says by which rules problems were remembered

# Raise it when the decoder comes to read what it could not, or when what may be remembered changes: older problems are forgotten then.
# 2: only what lies in the bytes; before, a folder that was away for a moment was a property of its pictures.
_PROBLEM_RULES = b"2"
_RECIPE = b"recipe"  # and the one that holds the recipe's key; not in files from before it


class DamagedRowsError(StoreError):
    """Rows that fail their checksum or are gone. They count as missing from now on: compute ``positions`` again."""

    def __init__(self, folder: Path, positions: Sequence[int], asked: int) -> None:
        self.positions = tuple(positions)
        super().__init__(
            f"{len(positions)} of {asked} rows in {folder} are damaged or gone (positions {few(positions)}). "
            "They were removed and have to be computed again. If this repeats itself, check the disk."
        )


class RowStore:
    """One recipe's rows; opened by `warmstart.store.cache.Store.rows`. A context manager; several threads may use it.

    A row is a function of recipe and key: whoever stores it first is right, and storing it again changes nothing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        row_format: RowFormat | None,
        max_bytes: int,
        recipe: str | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """``row_format`` None: look, don't write. ``recipe``: the key of what is to be in the file; None: whatever is.

        Raises StoreError if rows of another format or recipe are stored already.
        """
        self.folder = folder
        self._row_format = row_format
        self._on_close = on_close
        self._closed = False
        self._environment = open_environment(folder, databases=("rows", "problems", "facts"), max_bytes=max_bytes)
        self._rows, self._problems, self._facts = (self._environment.databases[name] for name in ("rows", "problems", "facts"))
        try:
            layout = self._run(self._layout)
            if row_format is not None:
                self._forget_older_problems()
            owner = self._run(self._owner)
            if recipe and owner is None:
                self._run(lambda tx: tx.put(_RECIPE, seal(_RECIPE, recipe.encode("ascii")), db=self._facts), write=True)
        except BaseException:
            self._environment.close()
            raise
        if recipe and owner not in (None, recipe):
            self._environment.close()
            raise StoreError(f"the rows in {folder} belong to the recipe {owner}, expected {recipe}. Delete the folder.")
        if layout and row_format and layout.row_format != row_format:
            self._environment.close()
            raise StoreError(f"{folder} holds {layout.row_format} rows, not {row_format}: name the format in the recipe.")

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """Positions in ``keys`` that are neither stored nor recorded as a problem: what has to be computed."""

        def query(transaction: Any) -> list[int]:
            has_row = transaction.cursor(db=self._rows).set_key
            absent = [i for i, key in enumerate(keys) if not has_row(key)]
            return [i for i in absent if self._problem(transaction, keys[i]) is None]

        return self._run(query)

    def claimed(self, keys: Sequence[bytes]) -> AbstractContextManager[Claim]:
        """Of these, what is ours to compute until the end of the block: what no other process is at. See `store.claims`."""
        return claimed(self.folder.parent / "locks", self.folder.name, keys)

    def write(self, rows: Sequence[tuple[bytes, np.ndarray]]) -> None:
        """Store ``(key, row)`` pairs in one durable commit: all or none. The first row ever stored fixes the shape for all.

        Raises UnstorableRowError for inf or NaN (after conversion), UsageError for another shape, StoreError when full.
        """
        if not rows:
            return
        if self._row_format is None:
            raise UsageError(f"{self.folder} was opened without a row format; nothing can be written")
        layout = RowLayout(self._row_format, np.shape(rows[0][1]))
        values = encode_rows(rows, layout)

        def change(transaction: Any) -> None:
            recorded = self._layout(transaction)
            if recorded is None:
                transaction.put(_LAYOUT, seal(_LAYOUT, layout.to_json()), db=self._facts)
            elif recorded != layout:
                raise UsageError(
                    f"rows of shape {layout.shape} do not fit {self.folder}, whose rows have shape {recorded.shape}"
                )
            for (key, _), value in zip(rows, values, strict=True):
                transaction.put(key, value, db=self._rows, overwrite=False)
                transaction.delete(digest_of(key), db=self._problems)

        self._run(change, write=True)

    def read(self, keys: Sequence[bytes], out: np.ndarray | None = None) -> np.ndarray:
        """The rows in the order of ``keys``: (N, *row shape), a copy, of the stored dtype; or ``out``, filled.

        Every checksum is verified. Raises DamagedRowsError with all positions that failed, after the others were read into
        ``out``. Without keys, and before the first row was stored, the shape is (0,).
        """
        layout = self._run(self._layout)
        if layout is None:
            if keys:
                self._fail(keys, range(len(keys)))
            layout = RowLayout(self._row_format or "float32", ())
        rows = np.empty((len(keys), *layout.shape), layout.dtype) if out is None else out
        if rows.shape != (len(keys), *layout.shape):
            raise UsageError(f"`out` has shape {rows.shape}; {len(keys)} rows of shape {layout.shape} were asked for")

        def query(transaction: Any) -> list[int]:
            failed = []
            for i, key in enumerate(keys):
                value = transaction.get(key, db=self._rows)
                if value is not None and _is_row(key, value, layout):
                    rows[i] = np.frombuffer(value, layout.dtype, offset=CHECKSUM_BYTES).reshape(layout.shape)
                else:
                    failed.append(i)
            return failed

        failed = self._run(query)
        if failed:
            self._fail(keys, failed)
        return rows

    def write_problem(self, key: bytes, kind: str, message: str) -> None:
        """Remember that a picture (``key``: its digest, or of any of its views) is unusable, so that no later run opens it."""
        digest = digest_of(key)
        value = seal(digest, json.dumps([kind, message]).encode("ascii"))
        self._run(lambda transaction: transaction.put(digest, value, db=self._problems), write=True)

    def problems(self, keys: Sequence[bytes]) -> dict[int, tuple[str, str]]:
        """Position in ``keys`` → (kind, message) of the pictures recorded as unusable."""

        def query(transaction: Any) -> dict[int, tuple[str, str]]:
            found = ((i, self._problem(transaction, key)) for i, key in enumerate(keys))
            return {i: problem for i, problem in found if problem is not None}

        return self._run(query)

    def write_remark(self, key: bytes, word: str) -> None:
        """Remember a word about a picture (``key``: its identity, or of any of its views) beside its rows, for later runs to say again."""
        digest = digest_of(key)
        value = seal(digest, word.encode("ascii"))
        self._run(lambda transaction: transaction.put(digest, value, db=self._facts), write=True)

    def remarks(self, keys: Sequence[bytes]) -> dict[int, str]:
        """Position in ``keys`` → the word that is remembered about the picture."""

        def query(transaction: Any) -> dict[int, str]:
            found = ((i, unseal(digest_of(key), transaction.get(digest_of(key), db=self._facts))) for i, key in enumerate(keys))
            return {i: word.decode("ascii") for i, word in found if word is not None}

        return self._run(query)

    def versions(self) -> dict[str, str]:
        """Library versions that the rows were computed with; empty before `set_versions`."""
        description = read_description(self.folder)
        return dict(description.versions) if description else {}

    def set_versions(self, versions: Mapping[str, str]) -> None:
        """Vouch that the rows are what these versions compute. New versions forget problems: a newer decoder may cope."""
        description = read_description(self.folder)
        if description is None:
            raise StoreError(f"{self.folder / 'recipe.json'} cannot be read; open the recipe again, which writes it anew.")
        if dict(description.versions) != dict(versions):
            self._run(lambda transaction: transaction.drop(self._problems, delete=False), write=True)
            write_description(self.folder, replace(description, versions=dict(versions)))

    def clear(self) -> None:
        """Forget all rows, problems and the shape. The file keeps its size; its pages are used again."""

        def change(transaction: Any) -> None:
            for database in (self._rows, self._problems, self._facts):
                transaction.drop(database, delete=False)
            transaction.put(_RULES, seal(_RULES, _PROBLEM_RULES), db=self._facts)

        self._run(change, write=True)

    def verify(self) -> list[bytes]:
        """Read everything; the keys of damaged rows. They are removed, so that `missing` names them from now on."""

        def query(transaction: Any) -> list[bytes]:
            layout = self._layout(transaction)
            stored = transaction.cursor(db=self._rows).iternext()
            return [bytes(key) for key, value in stored if not _is_row(key, value, layout)]

        damaged = self._run(query)
        self._remove_damaged(damaged)
        return damaged

    def count(self) -> int:
        """Number of stored rows."""
        return int(self._run(lambda transaction: transaction.stat(self._rows)["entries"]))

    def close(self) -> None:
        """Let go of the recipe; from now on it may be pruned. Does nothing the second time, and in a forked child."""
        if not self._closed and not self._environment.inherited:
            self._closed = True
            self._environment.close()
            self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self, function: Callable[[Any], T], *, write: bool = False) -> T:
        if self._closed:
            raise UsageError(f"the rows in {self.folder} were closed; open the recipe again")
        return self._environment.write(function) if write else self._environment.read(function)

    def _forget_older_problems(self) -> None:
        def change(transaction: Any) -> None:
            transaction.drop(self._problems, delete=False)
            transaction.put(_RULES, seal(_RULES, _PROBLEM_RULES), db=self._facts)

        if self._run(lambda transaction: unseal(_RULES, transaction.get(_RULES, db=self._facts))) != _PROBLEM_RULES:
            self._run(change, write=True)

    def _layout(self, transaction: Any) -> RowLayout | None:
        content = unseal(_LAYOUT, transaction.get(_LAYOUT, db=self._facts))
        return None if content is None else RowLayout.from_json(content)

    def _owner(self, transaction: Any) -> str | None:
        content = unseal(_RECIPE, transaction.get(_RECIPE, db=self._facts))
        return None if content is None else content.decode("ascii")

    def _problem(self, transaction: Any, key: bytes) -> tuple[str, str] | None:
        digest = digest_of(key)
        content = unseal(digest, transaction.get(digest, db=self._problems))
        if content is None:
            return None
        kind, message = json.loads(content)
        return kind, message

    def _fail(self, keys: Sequence[bytes], failed: Sequence[int]) -> NoReturn:
        self._remove_damaged([keys[i] for i in failed])
        raise DamagedRowsError(self.folder, failed, len(keys))

    def _remove_damaged(self, keys: Sequence[bytes]) -> None:
        """Looks again before removing: another process may have put a sound row in its place meanwhile."""

        def change(transaction: Any) -> None:
            layout = self._layout(transaction)
            for key in keys:
                value = transaction.get(key, db=self._rows)
                if value is not None and not _is_row(key, value, layout):
                    transaction.delete(key, db=self._rows)

        if keys:
            self._run(change, write=True)


def _is_row(key: bytes, value: memoryview, layout: RowLayout | None) -> bool:
    return layout is not None and len(value) == layout.value_bytes and is_sound(key, value)
