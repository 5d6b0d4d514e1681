import os
import struct
import time

import pytest
from store_examples import digest, flip_byte

from warmstart.errors import UsageError
from warmstart.records import Depth, Facts
from warmstart.store.index import FileIndex, Stamp, stamp_of
from warmstart.store.row_format import seal

LONG_AGO_NS = 1_000_000_000 * 10**9
CAT = Stamp("/a/cat.jpg", 10, LONG_AGO_NS, LONG_AGO_NS, 7, 1)
FACTS = Facts(format="jpeg", width=4, height=3, mode="RGB")


@pytest.fixture
def index(tmp_path):
    opened = FileIndex(tmp_path / "index")
    yield opened
    opened.close()


@pytest.mark.parametrize("field", Stamp._fields)
def test_an_unchanged_file_is_known_and_a_change_of_any_part_of_its_stamp_is_not(index, field):
    index.put([(CAT, digest(0))])
    other = CAT._replace(**{field: "/a/dog.jpg" if field == "path" else getattr(CAT, field) + 1})
    assert index.lookup([CAT, other]) == [digest(0), None]
    assert index.lookup([]) == []


def test_a_later_entry_replaces_an_earlier_one_and_survives_reopening(tmp_path):
    first = FileIndex(tmp_path / "index")
    first.put([(CAT, digest(0)), (CAT._replace(size=12), digest(1))])
    first.close()
    again = FileIndex(tmp_path / "index")
    assert again.lookup([CAT, CAT._replace(size=12)]) == [None, digest(1)]
    again.close()


@pytest.mark.parametrize("clock", ["modified_ns", "changed_ns"])
def test_a_file_changed_just_before_or_after_it_was_read_is_not_trusted(index, clock):
    now_ns = time.time_ns() // 10**9 * 10**9  # a file system that counts whole seconds
    index.put([(CAT, digest(0))])
    for at_ns in (now_ns - 10**9, now_ns, now_ns + 3600 * 10**9):
        stamp = CAT._replace(**{clock: at_ns})
        index.put([(stamp, digest(0))])
        assert index.lookup([stamp]) == [None]
    assert index.lookup([CAT]) == [None], "the old entry is forgotten too"


def test_since_tells_from_when_on_files_were_read_and_a_fine_clock_needs_no_two_seconds(index):
    coarse, fine = (CAT._replace(modified_ns=0, changed_ns=50 * 10**9 + extra) for extra in (0, 1))
    index.put([(coarse, digest(0))], since_ns=51 * 10**9)
    assert index.lookup([coarse]) == [None]
    index.put([(fine, digest(0))], since_ns=51 * 10**9)
    assert index.lookup([fine]) == [digest(0)]
    index.put([(fine, digest(0))], since_ns=50 * 10**9 + 10_000_000)
    assert index.lookup([fine]) == [None]
    index.put([(coarse, digest(0))], since_ns=53 * 10**9)
    assert index.lookup([coarse]) == [digest(0)]


def test_a_change_within_one_tick_of_the_clock_after_reading_is_not_overlooked(index, tmp_path):
    # given a file that is read and, within the same tick, changed to other bytes of the same length
    file = tmp_path / "cat.jpg"
    file.write_bytes(b"old")
    before = stamp_of(file)
    index.put([(before, digest(0))])
    file.write_bytes(b"new")
    os.utime(file, ns=(before.modified_ns, before.modified_ns))
    # then the index does not claim to know its bytes
    assert index.lookup([stamp_of(file)]) == [None]


@pytest.mark.parametrize("how", ["in place", "moved over", "swapped"])
def test_other_bytes_of_the_same_size_and_time_are_not_taken_for_the_old_ones(tmp_path, how):
    # given a file that is known
    file, other = tmp_path / "cat.jpg", tmp_path / "dog.jpg"
    for each, content in ((file, b"old"), (other, b"new")):
        each.write_bytes(content)
        os.utime(each, ns=(LONG_AGO_NS, LONG_AGO_NS))
    index = FileIndex(tmp_path / "index")
    stamps = [stamp_of(file), stamp_of(other)]
    index.put([(stamps[0], digest(0)), (stamps[1], digest(1))], since_ns=time.time_ns() + 10**10)
    assert index.lookup([stamp_of(file)]) == [digest(0)]
    # when its bytes are replaced, its size and modification time as they were (cp -p, rsync -t, unzip, mv)
    if how == "in place":
        file.write_bytes(b"new")
        os.utime(file, ns=(LONG_AGO_NS, LONG_AGO_NS))
    elif how == "moved over":
        other.replace(file)
    else:
        aside = tmp_path / "aside"
        file.rename(aside)
        other.rename(file)
        aside.rename(other)
    # then it is read again
    assert index.lookup([stamp_of(file)]) == [None]
    index.close()


@pytest.mark.parametrize("name", ["a b'\"\n.jpg", "日本語.png", "\udcff\udcfe.jpg", "x" * 3000])
def test_any_name_that_a_file_can_have_is_a_key(index, name):
    index.put([(CAT._replace(path=f"/{name}"), digest(3))])
    assert index.lookup([CAT._replace(path=f"/{name}"), CAT._replace(path=f"/{name[:-1]}")]) == [digest(3), None]


def test_a_relative_path_is_refused(index):
    with pytest.raises(UsageError, match=r"'cat\.jpg' is relative"):
        index.lookup([CAT._replace(path="cat.jpg")])


def test_a_damaged_entry_is_as_good_as_none(index, tmp_path):
    index.put([(CAT, digest(7))])
    flip_byte(tmp_path / "index" / "data.mdb", digest(7))
    assert index.lookup([CAT]) == [None]


def test_an_entry_of_before_inodes_were_looked_at_costs_one_reading(index):
    index.put([(CAT, digest(0))])
    key, old = next(iter(_entries(index))), struct.pack("<qq16s", CAT.size, CAT.modified_ns, digest(0))
    index._environment.write(lambda transaction: transaction.put(key, seal(key, old), db=index._files))
    assert index.lookup([CAT]) == [None]
    index.put([(CAT, digest(0))])
    assert index.lookup([CAT]) == [digest(0)]


def test_facts_stand_under_the_digest_and_those_of_an_older_rule_are_forgotten(index, monkeypatch):
    deep = Facts(
        format="tiff", width=9, height=8, mode="F", pages=3, lost="…", damage="—", depth=Depth(bits=None, low=-0.1, high=1e30)
    )
    index.put([], {digest(0): FACTS, digest(1): deep, digest(2): None})
    assert index.facts([digest(0), digest(1), digest(2), digest(3)]) == {digest(0): FACTS, digest(1): deep, digest(2): None}
    monkeypatch.setattr("warmstart.store.index._FACTS_VERSION", 99)
    assert index.facts([digest(0)]) == {}


def _entries(index):
    return index._environment.read(lambda transaction: [bytes(key) for key, _ in transaction.cursor(db=index._files)])
