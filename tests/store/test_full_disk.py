"""The store on a disk that is full, or can only be read: small disks of memory where they may be mounted, faked refusals everywhere."""

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from store_examples import MIB, RECIPE, drawn_rows, keys_of

from warmstart.errors import StoreError
from warmstart.store import environment
from warmstart.store.cache import Store, stored_recipes

Mount = Callable[..., Path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a disk of so many KiB; skipped, visibly, where this user may not."""
    mounted: list[Path] = []

    def mount(kib: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
        if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no disk can be mounted here (that takes root on Linux)")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(disk: Path) -> None:
    with (disk / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("kib", [4, 12, 20, 28, 36, 44, 60, 76, 100, 140, 180])
def test_a_store_on_a_disk_of_any_size_works_or_says_that_it_is_full_and_what_it_committed_stays(
    kib: int, small_disk: Mount, start_python
) -> None:
    code = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_examples import RECIPE, drawn_rows, keys_of
from warmstart.errors import StoreError
from warmstart.store.cache import Store
rows, keys = drawn_rows(200, 300), keys_of(200)
try:
    with Store(Path(sys.argv[1]) / "store", 2**28) as store:
        store.index.lookup([])
        with store.rows(RECIPE, row_format="float16") as opened:
            for at in range(0, 200, 10):
                opened.write(list(zip(keys[at:at + 10], rows[at:at + 10])))
                print(at + 10, flush=True)
except StoreError as error:
    print(error)
"""
    disk = small_disk(kib)
    process = start_python(code, disk, Path(__file__).parent)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, "")
    *committed, message = out.splitlines()
    assert "full" in message or "No space left" in message or message == "200"
    if committed:
        (stored,) = stored_recipes(disk / "store")
        assert stored.rows == int(committed[-1])


def test_a_full_disk_kills_nobody_and_can_be_pruned(small_disk: Mount, start_python) -> None:
    # LMDB's own lock file has no room on the disk: touching it in memory killed the process (SIGBUS).
    disk = small_disk(2048)
    with Store(disk / "store", 64 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys_of(400), drawn_rows(400, 300), strict=True)))
    for lock in disk.rglob("lock.mdb"):
        lock.unlink()
    _fill(disk)
    code = """
import sys
from pathlib import Path
from warmstart.errors import StoreError
from warmstart.store.cache import Store, stored_recipes
folder = Path(sys.argv[1]) / "store"
print([recipe.rows for recipe in stored_recipes(folder)])
with Store(folder, 2**28) as store:
    try:
        store.index
    except StoreError as error:
        print(error)
    try:
        store.rows({}, row_format="float16")
    except StoreError as error:
        print(error)
    print(len(store.prune(to_bytes=0)), any(recipe.rows for recipe in stored_recipes(folder)))
    print(store.index.lookup([]))
"""
    process = start_python(code, disk)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, ""), err
    listed, index, rows, pruned, after = out.splitlines()
    assert (listed, pruned, after) == ("[400]", "1 False", "[]")
    assert "the disk is full" in index
    assert "prune" in rows


def test_without_room_for_its_first_pages_a_new_file_is_refused_and_not_left_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if not hasattr(os, "posix_fallocate"):
        pytest.skip("no posix_fallocate on this system")
    with Store(tmp_path, 64 * MIB) as store:
        with monkeypatch.context() as patch:
            patch.setattr(os, "posix_fallocate", refuse)
            with pytest.raises(StoreError, match="the disk is full"):
                store.rows(RECIPE, row_format="float16")
        with store.rows(RECIPE, row_format="float16") as opened:
            opened.write([(keys_of(1)[0], np.ones(3))])
            assert opened.count() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="as LMDB makes it on Linux")
def test_the_lock_file_is_as_long_as_lmdb_makes_it(tmp_path: Path) -> None:
    import lmdb

    lmdb.open(str(tmp_path), max_readers=environment._MAX_READERS).close()
    assert (tmp_path / "lock.mdb").stat().st_size == environment._LOCK_BYTES


def test_pruning_opens_no_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path, 64 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
        opened.write([(keys_of(1)[0], np.ones(3))])

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("warmstart.store.rows.open_environment", refuse)
    monkeypatch.setattr("warmstart.store.index.open_environment", refuse)
    with Store(tmp_path, 64 * MIB) as store:
        assert len(store.prune(to_bytes=0)) == 1


def test_a_store_that_can_only_be_read_is_listed(small_disk: Mount) -> None:
    disk = small_disk(2048)
    with Store(disk / "store", 64 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys_of(5), drawn_rows(5, 30), strict=True)))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    (stored,) = stored_recipes(disk / "store")
    assert (stored.rows, stored.recipe) == (5, RECIPE)
    with pytest.raises(StoreError, match="can only be read"):
        Store(disk / "store")


def test_where_nothing_may_be_locked_rows_are_counted_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path, 64 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys_of(5), drawn_rows(5, 30), strict=True)))

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("warmstart.store.cache.lock_shared", refuse)
    assert [stored.rows for stored in stored_recipes(tmp_path)] == [5]
    data = next(tmp_path.glob("[0-9a-f]*/data.mdb"))
    data.write_bytes(data.read_bytes()[:8192])
    assert [stored.rows for stored in stored_recipes(tmp_path)] == [None]


def test_listing_creates_nothing(tmp_path: Path) -> None:
    assert stored_recipes(tmp_path / "none") == []
    assert list(tmp_path.iterdir()) == []
