import os
import time

import pytest
from store_examples import digest, flip_byte

from warmstart.errors import UsageError
from warmstart.store.index import FileIndex

LONG_AGO_NS = 1_000_000_000 * 10**9


@pytest.fixture
def index(tmp_path):
    opened = FileIndex(tmp_path / "index")
    yield opened
    opened.close()


def test_an_unchanged_file_is_known_and_a_change_of_size_time_or_path_is_not(index):
    index.put([("/a/cat.jpg", 10, LONG_AGO_NS, digest(0))])
    stamps = [
        ("/a/cat.jpg", 10, LONG_AGO_NS),
        ("/a/cat.jpg", 11, LONG_AGO_NS),
        ("/a/cat.jpg", 10, LONG_AGO_NS + 1),
        ("/a/dog.jpg", 10, LONG_AGO_NS),
    ]
    assert index.lookup(stamps) == [digest(0), None, None, None]
    assert index.lookup([]) == []


def test_a_later_entry_replaces_an_earlier_one_and_survives_reopening(tmp_path):
    first = FileIndex(tmp_path / "index")
    first.put([("/a/cat.jpg", 10, LONG_AGO_NS, digest(0)), ("/a/cat.jpg", 12, LONG_AGO_NS, digest(1))])
    first.close()
    again = FileIndex(tmp_path / "index")
    assert again.lookup([("/a/cat.jpg", 10, LONG_AGO_NS), ("/a/cat.jpg", 12, LONG_AGO_NS)]) == [None, digest(1)]
    again.close()


def test_a_file_modified_just_before_or_after_it_was_read_is_not_trusted(index):
    now_ns = time.time_ns()
    index.put([("/a/new.jpg", 10, LONG_AGO_NS, digest(0))])
    for mtime_ns in (now_ns - 1_900_000_000, now_ns, now_ns + 3600 * 10**9):
        index.put([("/a/new.jpg", 10, mtime_ns, digest(0))])
        assert index.lookup([("/a/new.jpg", 10, mtime_ns)]) == [None]
    assert index.lookup([("/a/new.jpg", 10, LONG_AGO_NS)]) == [None], "the old entry is forgotten too"


def test_since_tells_from_when_on_files_were_read(index):
    entry = ("/a/x.jpg", 10, 50 * 10**9, digest(0))
    index.put([entry], since_ns=51 * 10**9)
    assert index.lookup([entry[:3]]) == [None]
    index.put([entry], since_ns=53 * 10**9)
    assert index.lookup([entry[:3]]) == [digest(0)]


def test_a_change_within_one_tick_of_the_clock_after_reading_is_not_overlooked(index, tmp_path):
    # given a file that is read and, within the same tick, changed to other bytes of the same length
    file = tmp_path / "cat.jpg"
    file.write_bytes(b"old")
    stat = file.stat()
    index.put([(file, stat.st_size, stat.st_mtime_ns, digest(0))])
    file.write_bytes(b"new")
    os.utime(file, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    # then the index does not claim to know its bytes
    assert index.lookup([(file, 3, file.stat().st_mtime_ns)]) == [None]


@pytest.mark.parametrize("name", ["a b'\"\n.jpg", "日本語.png", "\udcff\udcfe.jpg", "x" * 3000])
def test_any_name_that_a_file_can_have_is_a_key(index, name):
    index.put([(f"/{name}", 1, LONG_AGO_NS, digest(3))])
    assert index.lookup([(f"/{name}", 1, LONG_AGO_NS), (f"/{name[:-1]}", 1, LONG_AGO_NS)]) == [digest(3), None]


def test_a_relative_path_is_refused(index):
    with pytest.raises(UsageError, match=r"'cat\.jpg' is relative"):
        index.lookup([("cat.jpg", 1, 1)])


def test_a_damaged_entry_is_as_good_as_none(index, tmp_path):
    index.put([("/a/cat.jpg", 10, LONG_AGO_NS, digest(7))])
    flip_byte(tmp_path / "index" / "data.mdb", digest(7))
    assert index.lookup([("/a/cat.jpg", 10, LONG_AGO_NS)]) == [None]
