import errno
import json
import os
import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest
from store_examples import MIB, RECIPE, drawn_rows, flip_byte, keys_of

from warmstart.errors import StoreError, UnknownNameError
from warmstart.store import cache
from warmstart.store.cache import Store
from warmstart.store.key import recipe_key


def fill(store: Store, recipe: dict[str, object], n: int = 40, *, last_used: int | None = None) -> Path:
    """A recipe with ``n`` rows on two pages each; ``last_used`` in seconds since 1970."""
    with store.rows(recipe, row_format="float16") as opened:
        opened.write(list(zip(keys_of(n), drawn_rows(n, 3000), strict=True)))
    if last_used is not None:
        os.utime(opened.folder / "last-used", (last_used, last_used))
    return opened.folder


def test_what_is_stored_is_listed_with_its_recipe_most_recently_used_first(store):
    for i in range(3):
        fill(store, {"i": i}, n=10 + i, last_used=1000 + i)
    listed = store.recipes()
    assert [recipe.recipe for recipe in listed] == [{"i": 2}, {"i": 1}, {"i": 0}]
    assert [recipe.rows for recipe in listed] == [12, 11, 10]
    assert [recipe.last_used for recipe in listed] == [1002, 1001, 1000], "looking is not using"
    assert [recipe.key for recipe in listed] == [recipe_key({"i": i}) for i in (2, 1, 0)]
    assert all(recipe.bytes >= 6000 * 10 for recipe in listed)


def test_recipe_json_tells_people_what_a_folder_holds(store):
    folder = fill(store, {"backbone": "lite0"})
    described = json.loads((folder / "recipe.json").read_text())
    assert described["recipe"] == {"backbone": "lite0"}
    assert described["key"] == recipe_key({"backbone": "lite0"})
    assert folder.name == described["key"][:16]


def test_a_recipe_json_that_is_lost_or_torn_is_written_anew_and_the_rows_stay(store):
    folder = fill(store, RECIPE)
    (folder / "recipe.json").write_text('{"key": "hal')
    assert (store.recipes()[0].key, store.recipes()[0].rows) == (folder.name, 40)
    with store.rows(RECIPE, row_format="float16") as opened:
        assert opened.count() == 40
        assert opened.versions() == {}
    assert store.recipes()[0].recipe == RECIPE


def test_pruning_removes_the_least_recently_used_first_and_stops_when_enough_is_gone(store):
    for i, last_used in enumerate((3000, 1000, 2000)):
        fill(store, {"i": i}, last_used=last_used)
    one = store.recipes()[0].bytes
    assert [recipe.recipe for recipe in store.prune(to_bytes=2 * one + 100)] == [{"i": 1}]
    assert [recipe.recipe for recipe in store.prune(to_bytes=0)] == [{"i": 2}, {"i": 0}]
    assert store.recipes() == []


def test_a_recipe_in_use_in_this_process_is_not_pruned(store):
    fill(store, {"i": 0})
    with store.rows({"i": 0}, row_format="float16") as opened:
        assert store.prune(to_bytes=0) == []
        assert opened.count() == 40
    assert len(store.prune(to_bytes=0)) == 1


def test_recipes_are_pruned_by_the_beginning_of_their_key_and_unknown_ones_named(store):
    for i in range(2):
        fill(store, {"i": i})
    with pytest.raises(UnknownNameError, match="unknown recipe 'nothing'"):
        store.prune(keys=["nothing"])
    with pytest.raises(UnknownNameError, match="unknown recipe ''"):
        store.prune(keys=[""])
    assert [recipe.recipe for recipe in store.prune(keys=[recipe_key({"i": 1})[:6]])] == [{"i": 1}]
    assert [recipe.recipe for recipe in store.recipes()] == [{"i": 0}]


def test_the_budget_is_kept_by_opening_and_closing_and_spares_what_was_just_used(tmp_path):
    with Store(tmp_path, 64 * MIB) as roomy:
        for i in range(4):
            fill(roomy, {"i": i}, last_used=1000 + i)
        one = roomy.recipes()[0].bytes
    with Store(tmp_path, int(2.5 * one)) as store:
        with store.rows({"i": 0}, row_format="float16"):
            assert [recipe.recipe for recipe in store.recipes()] == [{"i": 0}, {"i": 3}], "at opening"
        fill(store, {"new": True})
        assert [recipe.recipe for recipe in store.recipes()] == [{"new": True}, {"i": 0}], "at closing, grown meanwhile"
    with Store(tmp_path, one // 2) as store:
        with store.rows({"i": 0}, row_format="float16"):
            pass
        assert [recipe.recipe for recipe in store.recipes()] == [{"i": 0}], "too large alone, but in use just now"


def test_the_default_budget_is_half_of_what_the_disk_can_give_and_at_most_20_gib(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    for free, budget in ((2**40, 20 * 2**30), (2**30, 2**29)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        with Store(tmp_path) as store:
            assert store.budget_bytes == budget


def test_a_removal_that_was_interrupted_is_finished_and_does_not_touch_the_recipe_begun_anew(store, monkeypatch):
    folder = fill(store, RECIPE)

    def killed(path, **_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cache.shutil, "rmtree", lambda path, ignore_errors=False: None if ignore_errors else killed(path))
        with pytest.raises(KeyboardInterrupt):
            store.prune(to_bytes=0)
    assert store.recipes() == []
    fill(store, RECIPE, n=7)
    leftover = folder.with_name(folder.name + ".removed")
    assert leftover.is_dir()
    with Store(store.folder, 64 * MIB) as again:
        assert not leftover.exists()
        assert [recipe.rows for recipe in again.recipes()] == [7]


def test_verify_reports_every_recipe_and_removes_damaged_rows(store):
    folder = fill(store, {"i": 0})
    fill(store, {"i": 1}, n=5)
    flip_byte(folder / "data.mdb", drawn_rows(40, 3000)[4].tobytes(), 50)
    found = {recipe.key: recipe for recipe in store.verify()}
    assert found[recipe_key({"i": 0})].damaged == (keys_of(5)[4],)
    assert found[recipe_key({"i": 0})].rows == 39
    assert found[recipe_key({"i": 1})].damaged == ()
    with store.rows({"i": 0}, row_format="float16") as opened:
        assert opened.missing(keys_of(40)) == [4]


def test_a_folder_of_another_recipe_with_the_same_beginning_is_refused(store):
    folder = fill(store, RECIPE)
    described = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps(described | {"key": folder.name + "f" * 48}))
    with pytest.raises(StoreError, match="belongs to the recipe"):
        store.rows(RECIPE, row_format="float16")


def test_other_folders_beside_the_recipes_are_left_alone(store):
    (store.folder / "graphs").mkdir()
    fill(store, RECIPE)
    store.prune(to_bytes=0)
    assert (store.folder / "graphs").is_dir()
    assert not store.has(RECIPE)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_how_much_where_and_what_to_do(store, code):
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write([(keys_of(1)[0], np.ones(3))])

        def full(transaction):
            raise (lmdb.DiskError if code == errno.ENOSPC else lmdb.Error)(f"mdb_txn_commit: {os.strerror(code)}")

        with pytest.raises(
            StoreError, match=r"disk is full \([\d,.]+ MiB are free\).*holds .* is kept.*prune.*WARMSTART_CACHE"
        ):
            opened._environment.write(full)
        assert opened.count() == 1


def test_the_rows_of_another_recipe_in_the_file_of_ours_are_refused(tmp_path):
    with Store(tmp_path / "store", 64 * MIB) as store:
        ours, theirs = fill(store, {"weights": "ours"}), fill(store, {"weights": "theirs"})
    shutil.copy(theirs / "data.mdb", ours / "data.mdb")
    with Store(tmp_path / "store", 64 * MIB) as store:
        with pytest.raises(StoreError, match=f"belong to the recipe {recipe_key({'weights': 'theirs'})}.*Delete the folder"):
            store.rows({"weights": "ours"}, row_format="float16")
        with store.rows({"weights": "theirs"}, row_format="float16") as opened:
            assert opened.count() == 40
        shutil.rmtree(ours)
        with store.rows({"weights": "ours"}, row_format="float16") as opened:
            assert opened.count() == 0


def test_rows_from_before_files_named_their_recipe_stay_and_are_named_now(tmp_path):
    with Store(tmp_path / "store", 64 * MIB) as store:
        folder = fill(store, RECIPE)
    with lmdb.open(str(folder), max_dbs=3) as environment, environment.begin(write=True) as transaction:
        assert transaction.delete(b"recipe", db=environment.open_db(b"facts", txn=transaction))
    for _ in range(2):
        with Store(tmp_path / "store", 64 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
            assert np.array_equal(opened.read(keys_of(40)), drawn_rows(40, 3000))
    with lmdb.open(str(folder), max_dbs=3) as environment, environment.begin() as transaction:
        assert transaction.get(b"recipe", db=environment.open_db(b"facts", txn=transaction))[4:] == recipe_key(RECIPE).encode()
