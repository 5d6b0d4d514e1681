import os
import threading

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from store_examples import MIB, RECIPE, digest, drawn_rows, flip_byte, keys_of

from patience import PATIENCE_S
from warmstart.errors import StoreError, UsageError
from warmstart.store import environment
from warmstart.store.cache import Store
from warmstart.store.row_format import RowLayout, UnstorableRowError, encode_rows, is_sound, seal
from warmstart.store.rows import DamagedRowsError


@pytest.mark.parametrize("row_format", ["float16", "float32"])
@pytest.mark.parametrize("shape", [(), (3,), (700,), (8, 5, 5)])
def test_rows_come_back_bit_for_bit_in_the_order_asked_for_also_after_reopening(store, row_format, shape):
    rows, keys = np.random.default_rng(0).standard_normal((20, *shape)).astype(row_format), keys_of(20)
    with store.rows(RECIPE, row_format=row_format) as opened:
        opened.write(list(zip(keys, rows, strict=True)))
    order = [7, 3, 3, 19, 0]
    with store.rows(RECIPE, row_format=row_format) as opened:
        got = opened.read([keys[i] for i in order])
        assert opened.count() == 20
    assert got.dtype == row_format
    assert got.tobytes() == rows[order].tobytes()
    assert got.flags.owndata
    assert got.flags.writeable


@settings(max_examples=60)
@given(hnp.arrays("<f4", (6,), elements=st.floats(-60000, 60000, width=32)), st.binary(max_size=30), st.data())
def test_the_checksum_notices_every_single_flipped_bit_and_a_foreign_key(row, key, data):
    (value,) = encode_rows([(key, row)], RowLayout("float32", (6,)))
    assert is_sound(key, memoryview(value))
    bit = data.draw(st.integers(0, 8 * len(value) - 1))
    damaged = bytearray(value)
    damaged[bit // 8] ^= 1 << bit % 8
    assert not is_sound(key, memoryview(damaged))
    assert not is_sound(key + b"x", memoryview(value))


def test_zeros_where_a_value_was_are_not_a_sound_row():
    assert not is_sound(keys_of(1)[0], memoryview(bytes(104)))
    assert is_sound(keys_of(1)[0], memoryview(seal(keys_of(1)[0], bytes(100))))


def test_missing_names_what_is_neither_stored_nor_a_problem_and_views_share_the_plain_rows(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        assert opened.missing(keys_of(5)) == [0, 1, 2, 3, 4]
        rows = drawn_rows(5)
        opened.write([(keys_of(5)[i], rows[i]) for i in (1, 3)])
        opened.write_problem(digest(4), "truncated", "the file ends early")
        assert opened.missing(keys_of(5)) == [0, 2]
        assert opened.missing(keys_of(5, "flip")) == [0, 1, 2, 3], "a broken picture is broken in every view"
        assert opened.problems(keys_of(5, "flip")) == {4: ("truncated", "the file ends early")}


def test_a_stored_row_lifts_the_problem_and_new_versions_forget_problems(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        for key in keys_of(2):
            opened.write_problem(key, "truncated", "ä → ends early")
        opened.write([(keys_of(1)[0], drawn_rows(1)[0])])
        assert list(opened.problems(keys_of(2))) == [1]
        opened.set_versions({"pillow": "1"})
        assert opened.problems(keys_of(2)) == {}
        opened.write_problem(keys_of(2)[1], "truncated", "still")
        opened.set_versions({"pillow": "1"})
        assert list(opened.problems(keys_of(2))) == [1], "the same versions vouch for the same problems"
        assert opened.versions() == {"pillow": "1"}
        assert opened.count() == 1


def test_reading_no_keys_gives_no_rows_before_and_after_the_first_write(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        assert opened.read([]).shape == (0,)
        opened.write([])
        opened.write([(keys_of(1)[0], drawn_rows(1, 4, 4)[0])])
        assert opened.read([]).shape == (0, 4, 4)
        assert opened.missing([]) == []


def test_reading_into_a_given_array_converts_to_its_type_and_refuses_a_wrong_shape(store):
    rows, keys = drawn_rows(3, 9), keys_of(3)
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys, rows, strict=True)))
        out = np.zeros((3, 9), np.float32)
        assert opened.read(keys, out) is out
        assert np.array_equal(out, rows.astype(np.float32))
        with pytest.raises(UsageError, match=r"`out` has shape \(2, 9\); 3 rows of shape \(9,\)"):
            opened.read(keys, np.zeros((2, 9), np.float32))


@pytest.mark.parametrize(
    ("value", "row_format", "said"),
    [
        (np.nan, "float32", "inf or NaN.*check its weights"),
        (np.inf, "float16", "inf or NaN.*check its weights"),
        (70000.0, "float16", "up to ±70000; a float16 row holds finite values up to ±65504.*Store this recipe as float32"),
        (1e300, "float32", "up to ±1e\\+300"),
    ],
)
def test_a_row_that_is_not_finite_in_its_format_is_never_stored_nor_its_batch(store, value, row_format, said):
    rows = drawn_rows(3, 5, dtype="float64")
    rows[1, 2] = value
    with store.rows(RECIPE, row_format=row_format) as opened:
        with pytest.raises(UnstorableRowError, match=said) as caught:
            opened.write(list(zip(keys_of(3), rows, strict=True)))
        assert caught.value.positions == (1,)
        assert caught.value.overflow == bool(np.isfinite(value))
        assert opened.count() == 0


def test_largest_float16_is_stored_exactly(store):
    row = np.array([65504.0, -65504.0, 6e-8], np.float32)
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write([(keys_of(1)[0], row)])
        assert np.array_equal(opened.read(keys_of(1))[0], row.astype(np.float16))


def test_rows_of_another_shape_or_format_are_refused(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write([(keys_of(1)[0], drawn_rows(1, 5)[0])])
        with pytest.raises(UsageError, match=r"shape \(6,\) do not fit .* shape \(5,\)"):
            opened.write([(keys_of(2)[1], drawn_rows(1, 6)[0])])
        with pytest.raises(UsageError, match="row 1 has shape"):
            opened.write([(keys_of(3)[1], np.zeros(5)), (keys_of(3)[2], np.zeros(6))])
        assert opened.count() == 1
    with pytest.raises(StoreError, match="holds float16 rows, not float32"):
        store.rows(RECIPE, row_format="float32")
    assert [recipe.key for recipe in store.prune(to_bytes=0)], "the refused opening holds no lock"


def test_who_stores_a_row_first_is_right(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write([(keys_of(1)[0], np.ones(3))])
        opened.write([(keys_of(1)[0], np.zeros(3)), (keys_of(2)[1], np.zeros(3))])
        assert opened.read(keys_of(2)).tolist() == [[1, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("width", [100, 5000])  # inside a leaf page, and on pages of its own
def test_a_flipped_byte_is_noticed_named_and_can_be_computed_again(store, width):
    rows, keys = drawn_rows(12, width), keys_of(12)
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys, rows, strict=True)))
    flip_byte(opened.folder / "data.mdb", rows[5].tobytes(), 77)
    with store.rows(RECIPE, row_format="float16") as opened:
        assert opened.missing(keys) == []
        with pytest.raises(DamagedRowsError, match=r"2 of 12 rows .* \(positions 2, 5\)") as caught:
            opened.read([keys[i] for i in (0, 1, 5, 3, 4, 5, 6, 7, 8, 9, 10, 11)])
        assert caught.value.positions == (2, 5)
        assert opened.missing(keys) == [5]
        opened.write([(keys[5], rows[5])])
        assert opened.read(keys).tobytes() == rows.tobytes()
        assert opened.verify() == []


def test_verify_names_and_removes_damaged_rows(store):
    rows, keys = drawn_rows(12, 900), keys_of(12)
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys, rows, strict=True)))
        for i in (2, 9):
            flip_byte(opened.folder / "data.mdb", rows[i].tobytes())
        assert sorted(opened.verify()) == sorted([keys[2], keys[9]])
        assert opened.missing(keys) == [2, 9]


def test_a_damaged_problem_record_counts_as_missing_not_as_a_problem(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write_problem(digest(0), "truncated", "the file ends early")
        flip_byte(opened.folder / "data.mdb", b"the file ends early")
        assert opened.problems(keys_of(1)) == {}
        assert opened.missing(keys_of(1)) == [0]


def test_when_the_record_of_the_shape_is_damaged_all_rows_are_computed_again(store):
    rows, keys = drawn_rows(4, 900), keys_of(4)
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys, rows, strict=True)))
        flip_byte(opened.folder / "data.mdb", b'"row_format"')
        with pytest.raises(DamagedRowsError):
            opened.read(keys)
        assert opened.missing(keys) == [0, 1, 2, 3]
        opened.write(list(zip(keys, rows, strict=True)))
        assert opened.read(keys).tobytes() == rows.tobytes()


def test_a_row_that_was_never_stored_is_named_like_a_damaged_one(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        with pytest.raises(DamagedRowsError, match="2 of 2"):
            opened.read(keys_of(2))
        opened.write([(keys_of(2)[0], np.ones(3))])
        with pytest.raises(DamagedRowsError) as caught:
            opened.read(keys_of(2))
        assert caught.value.positions == (1,)


def test_clear_forgets_everything_also_the_shape(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        opened.write([(keys_of(1)[0], np.ones(3))])
        opened.write_problem(digest(1), "truncated", "x")
        opened.clear()
        assert opened.missing(keys_of(2)) == [0, 1]
        opened.write([(keys_of(1)[0], np.ones(4))])
        assert opened.read(keys_of(1)).shape == (1, 4)


def test_a_full_budget_is_a_clear_error_and_nothing_is_lost(tmp_path):
    rows, keys = drawn_rows(400, 2000), keys_of(400)
    with Store(tmp_path, MIB) as store, store.rows(RECIPE, row_format="float16") as opened:

        def write_all():
            for at in range(0, 400, 20):
                opened.write(list(zip(keys[at : at + 20], rows[at : at + 20], strict=True)))

        with pytest.raises(StoreError, match=r"budget of 1\.0 MiB is full: .* MiB.*is kept.*prune"):
            write_all()
        kept = opened.count()
        assert kept >= 20
        assert kept % 20 == 0
        assert opened.read(keys[:kept]).tobytes() == rows[:kept].tobytes()


def test_where_address_space_is_scarce_the_map_grows_with_the_rows(tmp_path, monkeypatch):
    opened_with = []
    real = lmdb.open

    def scarce(path, *, map_size, **settings):
        opened_with.append(map_size)
        if map_size > MIB:
            raise lmdb.MemoryError("no address space")
        return real(path, map_size=map_size, **settings)

    monkeypatch.setattr(environment.lmdb, "open", scarce)
    monkeypatch.setattr(environment, "_SMALL_MAP_BYTES", MIB)
    rows, keys = drawn_rows(400, 5000), keys_of(400)
    with Store(tmp_path, 64 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys, rows, strict=True)))
        assert opened.read(keys).tobytes() == rows.tobytes()
    assert opened_with[-2:] == [64 * MIB, MIB]


def test_a_file_cut_off_behind_our_back_is_an_error_or_damaged_rows_never_a_crash(start_python, tmp_path):
    rows, keys = drawn_rows(50, 4000), keys_of(50)
    with Store(tmp_path, 64 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
        opened.write(list(zip(keys, rows, strict=True)))
    file = opened.folder / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    code = """
import sys
from pathlib import Path
from warmstart.errors import StoreError
from warmstart.store.cache import Store
with Store(Path(sys.argv[1]), 2**26) as store:
    (found,) = store.verify()
    print(len(found.damaged) > 0 or found.unreadable is not None)
"""
    out, err = start_python(code, tmp_path).communicate(timeout=PATIENCE_S)
    assert (out, err) == ("True\n", "")


def test_a_file_that_is_not_lmdb_is_named_with_the_cure(store):
    with store.rows(RECIPE, row_format="float16") as opened:
        pass
    (opened.folder / "data.mdb").write_bytes(b"not a store" * 1000)
    with pytest.raises(StoreError, match=r"data\.mdb is damaged beyond single rows .* delete the folder"):
        store.rows(RECIPE, row_format="float16")
    assert store.verify()[0].unreadable is not None
    assert store.recipes()[0].rows is None
    assert store.prune(to_bytes=0)
    with store.rows(RECIPE, row_format="float16") as opened:
        assert opened.count() == 0


def test_threads_and_several_openings_share_one_environment(store):
    rows, keys = drawn_rows(80, 600), keys_of(80)
    failures = []

    def work(part):
        try:
            with store.rows(RECIPE, row_format="float16") as opened:
                for i in range(part, 80, 4):
                    opened.write([(keys[i], rows[i])])
                    assert opened.read([keys[i]]).tobytes() == rows[i].tobytes()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with store.rows(RECIPE, row_format="float16") as one, store.rows(RECIPE, row_format="float16") as other:
        one.close()
        one.close()
        assert other.read(keys).tobytes() == rows.tobytes(), "closing one opening leaves the other"
        with pytest.raises(UsageError, match="closed"):
            one.missing(keys)
