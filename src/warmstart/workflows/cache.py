"""cache: what is stored, how big it is, for which recipe; prune and verify it."""

import contextlib
import random
import shutil
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from warmstart import machine
from warmstart.data.hashing import digest_file
from warmstart.errors import PictureError
from warmstart.store.cache import Store, stored_recipes
from warmstart.store.index import Stamp, stamp_of
from warmstart.store.place import default_budget_bytes


def contents() -> dict[str, Any]:
    """Every recipe with rows, bytes and last use, the compiled graphs with the measurements, and the whole."""
    folder = machine.store_folder()
    stored = stored_recipes(folder)
    budget = default_budget_bytes(folder, sum(r.bytes for r in stored))
    graphs = _graph_bytes()
    return {
        "folder": str(machine.cache_folder()),
        "budget_bytes": budget,
        "bytes": sum(r.bytes for r in stored) + graphs,
        "graph_bytes": graphs,
        "recipes": [
            {"key": r.key, "rows": r.rows, "bytes": r.bytes, "last_used": _time(r.last_used), "recipe": r.recipe}
            for r in stored
        ],
    }


def prune(to_bytes: int | None, keys: Sequence[str] | None) -> dict[str, Any]:
    """Remove recipes, the least recently used first, until at most ``to_bytes`` are left (None: all), or only those named.

    Recipes that another process uses stay. Compiled graphs and kept measurements go when everything goes; they are made again when needed.
    """
    with Store(machine.store_folder()) as store:  # opens no recipe: on a full disk none can be opened
        removed = store.prune(to_bytes=None if keys else (to_bytes or 0), keys=keys)
    graphs = 0
    if not keys and not to_bytes:
        graphs = _graph_bytes()
        for folder in (machine.graphs_folder(), machine.evidence_folder()):
            shutil.rmtree(folder, ignore_errors=True)
    return {
        "removed": [{"key": r.key, "bytes": r.bytes} for r in removed],
        "bytes": sum(r.bytes for r in removed) + graphs,
    }


FILES = 200  # of the index that `verify` reads again, drawn anew each time


def verify(*, all_files: bool = False) -> dict[str, Any]:
    """Check every stored row against its checksum, and whether files of the index still have the bytes that it knows them by.

    Damaged rows are removed and computed again when they are needed; files that are not what the index says are read again. Files are
    read where nothing about them has changed: `FILES` of them, or ``all_files``.
    """
    with Store(machine.store_folder()) as store:
        checked = store.verify()
        same = [(stamp, digest) for stamp, digest in store.index.known() if _stamp(stamp.path) == stamp]
        if not all_files and len(same) > FILES:
            same = random.sample(same, FILES)
        wrong = [stamp.path for stamp, digest in same if _digest(stamp.path) not in (digest, None)]
        store.index.forget(wrong)
    return {
        "files": len(same),
        "wrong_files": wrong,
        "recipes": len(checked),
        "rows": sum(recipe.rows for recipe in checked),
        "damaged": {recipe.key: len(recipe.damaged) for recipe in checked if recipe.damaged},
        "unreadable": {recipe.key: recipe.unreadable for recipe in checked if recipe.unreadable},
    }


def _stamp(path: str) -> Stamp | None:
    try:
        return stamp_of(path)
    except OSError:
        return None


def _digest(path: str) -> bytes | None:
    try:
        return digest_file(path)
    except PictureError:
        return None


def _graph_bytes() -> int:
    """Of compiled graphs and of kept measurements, which are small beside them."""
    folders = (machine.graphs_folder(), machine.evidence_folder())
    total = 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        with contextlib.suppress(OSError):  # another process may have replaced it
            total += path.stat().st_size if path.is_file() else 0
    return total


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).isoformat(" ", "minutes")
