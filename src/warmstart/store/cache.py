"""The store on disk: one LMDB environment a recipe, the index of files, and a budget that they share.

    <folder>/<first 16 hex digits of the recipe key>/   data.mdb  lock.mdb  recipe.json  last-used
    <folder>/index/                                     the index of files
    <folder>/locks/<16 hex digits>                      held by whoever uses a recipe

One environment a recipe, because LMDB's files never shrink: removing a recipe is removing its folder. The locks stand outside
and outlive it: who waits for a recipe that is being removed finds none, and begins anew.
"""

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from warmstart.errors import MachineError, StoreError, UnknownNameError
from warmstart.refusals import NO_ROOM
from warmstart.store.description import Description, read_description, write_description
from warmstart.store.environment import count_rows
from warmstart.store.index import FileIndex
from warmstart.store.key import recipe_key
from warmstart.store.locks import lock_alone, lock_shared, unlock
from warmstart.store.place import CURE, cure, default_budget_bytes, prepare_folder, refuse_network_drive
from warmstart.store.row_format import RowFormat
from warmstart.store.rows import RowStore

_NAME = re.compile(r"[0-9a-f]{16}")
_LOOKED_AT_BYTES = 2**30  # address space for what is only counted; it grows with what the file holds
_REMOVED = ".removed"  # appended to a folder's name while it is deleted; a kill may leave one behind


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredRecipe:
    """A recipe in the store. Where `recipe.json` is lost, ``key`` is the folder's name (16 digits) and ``recipe`` is empty."""

    key: str
    recipe: Mapping[str, Any]
    rows: int | None  # None: damaged beyond single rows, fit only for removal; or not counted, by what removes without opening
    bytes: int
    last_used: float  # seconds since 1970


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedRecipe:
    """What `Store.verify` found: ``damaged`` rows were removed; ``unreadable`` says why nothing can be read at all."""

    key: str
    rows: int
    damaged: tuple[bytes, ...]
    unreadable: str | None = None


class Store:
    """Stored activations and features of all recipes in ``folder``. A context manager.

    ``budget_bytes`` None: 20 GiB, or half of what the disk can give if that is less. It is kept to whenever a recipe is opened
    or closed, by removing whole recipes, least recently used first; one in use anywhere stays. Raises StoreError for a folder
    that cannot be written or lies on a network drive.
    """

    def __init__(self, folder: Path, budget_bytes: int | None = None) -> None:
        prepare_folder(folder)
        self.folder = folder.resolve()
        prepare_folder(self.folder / "locks")
        self.budget_bytes = default_budget_bytes(self.folder, self._bytes()) if budget_bytes is None else budget_bytes
        self._sweep()
        self._index: FileIndex | None = None
        self._index_process = 0
        self._turn = threading.Lock()

    @property
    def index(self) -> FileIndex:
        """The index of files, opened on first use, in a forked child once more: what only looks or removes does without it."""
        with self._turn:
            if self._index is None or self._index_process != os.getpid():
                prepare_folder(self.folder / "index")
                self._index, self._index_process = FileIndex(self.folder / "index"), os.getpid()
            return self._index

    def rows(self, recipe: Mapping[str, Any], *, row_format: RowFormat) -> RowStore:
        """Open the rows of ``recipe``, empty if it is new. Until it is closed nobody can prune it. Raises StoreError."""
        key = recipe_key(recipe)
        folder = self.folder / key[:16]
        lock = self._use(folder.name)
        try:
            folder.mkdir(exist_ok=True)
            (folder / "last-used").touch()
            described = read_description(folder)
            if described is None:
                write_description(folder, Description(key=key, recipe=recipe))
            elif described.key != key:
                raise StoreError(f"{folder} belongs to the recipe {described.key}, expected {key}. Delete the folder.")
            self._keep_budget(spare=folder.name)
            return RowStore(
                folder,
                row_format=row_format,
                max_bytes=self.budget_bytes,
                recipe=key,
                on_close=lambda: self._closed(folder, lock),
            )
        except (OSError, MachineError) as error:
            unlock(lock)
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StoreError(f"cannot open the stored recipe in {folder}: {reason}. {cure(error)}.") from error
        except BaseException:
            unlock(lock)
            raise

    def has(self, recipe: Mapping[str, Any]) -> bool:
        """Whether this recipe was ever opened here and is still stored."""
        return (self.folder / recipe_key(recipe)[:16]).is_dir()

    def recipes(self) -> list[StoredRecipe]:
        """Everything stored, most recently used first."""
        return stored_recipes(self.folder)

    def prune(self, *, to_bytes: int | None = None, keys: Sequence[str] | None = None) -> list[StoredRecipe]:
        """Remove recipes and return them: those named, or the least recently used until ``to_bytes`` (None: budget) are left.

        ``keys`` may be beginnings of recipe keys. Recipes in use stay; a named one in use raises StoreError, after the others
        were removed. Raises UnknownNameError for a key that nothing starts with.
        """
        stored = self._uncounted()
        if keys is None:
            return self._prune_to(self.budget_bytes if to_bytes is None else to_bytes, stored)
        for key in keys:
            if not key or not any(recipe.key.startswith(key) for recipe in stored):
                raise UnknownNameError("recipe", key, [recipe.key[:16] for recipe in stored], hint="warmstart cache ls")
        named = [recipe for recipe in stored if recipe.key.startswith(tuple(keys))]
        removed = [recipe for recipe in named if self._remove(recipe.key[:16])]
        in_use = [recipe.key[:16] for recipe in named if recipe not in removed]
        if in_use:
            raise StoreError(
                f"in use, so not removed: {', '.join(in_use)} ({len(removed)} removed). Stop the runs that read them."
            )
        return removed

    def verify(self) -> list[VerifiedRecipe]:
        """Read every row of every recipe; remove the damaged ones, to be computed again by the next run that needs them."""
        return [self._verify(folder) for folder in self._folders()]

    def close(self) -> None:
        """Let go of the index. Opened rows are closed on their own."""
        with self._turn:
            index, self._index = self._index, None
        if index is not None:
            index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _use(self, name: str) -> IO[bytes]:
        try:
            return lock_shared(self.folder / "locks" / name)
        except OSError as error:
            raise StoreError(f"cannot lock {self.folder / 'locks' / name}: {error.strerror or error}.") from error

    def _closed(self, folder: Path, lock: IO[bytes]) -> None:
        with contextlib.suppress(OSError):  # only the order of pruning depends on it
            (folder / "last-used").touch()
        unlock(lock)
        self._keep_budget(spare=folder.name)

    def _folders(self) -> list[Path]:
        return _folders(self.folder)

    def _uncounted(self) -> list[StoredRecipe]:
        """What is stored, without opening it: on a full disk nothing can be opened, and removing is the cure."""
        return [_described(folder, rows=None) for folder in self._folders()]

    def _bytes(self) -> int:
        return sum(map(_folder_bytes, self._folders()))

    def _verify(self, folder: Path) -> VerifiedRecipe:
        described = read_description(folder)
        key = described.key if described else folder.name
        lock = self._use(folder.name)
        try:
            with RowStore(folder, row_format=None, max_bytes=self.budget_bytes) as stored:
                damaged = stored.verify()
                return VerifiedRecipe(key=key, rows=stored.count(), damaged=tuple(damaged))
        except StoreError as error:
            return VerifiedRecipe(key=key, rows=0, damaged=(), unreadable=str(error))
        finally:
            unlock(lock)

    def _keep_budget(self, *, spare: str) -> None:
        """Sizes first, one look at each folder; recipes are opened and compared only when the budget is exceeded."""
        if self._bytes() > self.budget_bytes:
            self._prune_to(self.budget_bytes, [recipe for recipe in self._uncounted() if recipe.key[:16] != spare])

    def _prune_to(self, to_bytes: int, removable: Sequence[StoredRecipe]) -> list[StoredRecipe]:
        left_bytes, removed = self._bytes(), []
        for recipe in sorted(removable, key=lambda stored: (stored.last_used, stored.key)):
            if left_bytes <= to_bytes:
                break
            if self._remove(recipe.key[:16]):
                left_bytes -= recipe.bytes
                removed.append(recipe)
        return removed

    def _sweep(self) -> None:
        """Finish removals that a kill interrupted."""
        for doomed in self.folder.glob(f"*{_REMOVED}"):
            with contextlib.suppress(OSError):
                lock = lock_alone(self.folder / "locks" / doomed.stem)
                if lock is not None:
                    shutil.rmtree(doomed, ignore_errors=True)
                    unlock(lock)

    def _remove(self, name: str) -> bool:
        """True if it is gone, False if somebody uses it. Renamed first: a kill in between leaves nothing half deleted."""
        path = self.folder / "locks" / name
        try:
            lock = lock_alone(path)
            if lock is None:
                return False
        except OSError as error:
            if error.errno not in NO_ROOM or path.exists():
                raise StoreError(f"cannot remove {self.folder / name}: {error.strerror or error}.") from error
            lock = None  # no room for a lock: then nobody has one
        try:
            folder, doomed = self.folder / name, self.folder / f"{name}{_REMOVED}"
            shutil.rmtree(doomed, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                folder.rename(doomed)
                shutil.rmtree(doomed)
        except OSError as error:
            raise StoreError(f"cannot remove {self.folder / name}: {error.strerror or error}.") from error
        finally:
            if lock is not None:
                unlock(lock)
        return True


def stored_recipes(folder: Path) -> list[StoredRecipe]:
    """Everything stored in ``folder``, most recently used first. Nothing is created, and what can only be read is listed as well."""
    refuse_network_drive(folder)
    found = [_described(recipe, rows=_count(recipe)) for recipe in _folders(folder)]
    return sorted(found, key=lambda stored: (-stored.last_used, stored.key))


def _folders(store: Path) -> list[Path]:
    if not store.is_dir():
        return []
    try:
        return sorted(path for path in store.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())
    except OSError as error:
        raise StoreError(f"cannot list the cache folder {store}: {error.strerror or error}. {CURE}.") from error


def _described(folder: Path, *, rows: int | None) -> StoredRecipe:
    described = read_description(folder)
    return StoredRecipe(
        key=described.key if described else folder.name,
        recipe=described.recipe if described else {},
        rows=rows,
        bytes=_folder_bytes(folder),
        last_used=_last_used(folder),
    )


def _count(folder: Path) -> int | None:
    try:
        lock = lock_shared(folder.parent / "locks" / folder.name)
    except OSError:
        return count_rows(folder, "rows")
    try:
        if not folder.is_dir():  # it was removed while we waited for the lock
            return None
        with RowStore(folder, row_format=None, max_bytes=_LOOKED_AT_BYTES) as stored:
            return stored.count()
    except StoreError:
        return count_rows(folder, "rows")
    finally:
        unlock(lock)


def _folder_bytes(folder: Path) -> int:
    """Sizes of the files directly inside; files that vanish meanwhile count nothing."""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total


def _last_used(folder: Path) -> float:
    try:
        return (folder / "last-used").stat().st_mtime
    except FileNotFoundError:
        return 0.0
