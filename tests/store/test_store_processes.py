"""Several processes on one store: killed while writing, writing together, forked."""

import os
import random
import sys
import time
from pathlib import Path

import pytest
from store_examples import MIB, RECIPE, drawn_rows, keys_of

from patience import PATIENCE_S
from warmstart.errors import StoreError
from warmstart.store.cache import Store

# argv: store folder, first position, step. Writes 10 rows a commit and prints the number of commits; waits for a line first.
WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from store_examples import RECIPE, drawn_rows, keys_of
from warmstart.store.cache import Store
rows, keys = drawn_rows(4000, 3000), keys_of(4000)
first, step = int(sys.argv[2]), int(sys.argv[3])
with Store(Path(sys.argv[1]), 2**28) as store, store.rows(RECIPE, row_format="float16") as opened:
    print("ready", flush=True)
    sys.stdin.readline()
    for n, at in enumerate(range(first, 4000 if step == 10 else 400, step), 1):
        opened.write(list(zip(keys[at:at + 10], rows[at:at + 10])))
        print(n, flush=True)
"""
HERE = Path(__file__).parent


def start_writer(start_python, folder, first=0, step=10):
    writer = start_python(WRITER, folder, first, step, HERE)
    assert writer.stdout.readline() == "ready\n", writer.stderr.read()
    return writer


def test_a_writer_killed_at_any_moment_loses_at_most_the_commit_under_way(start_python, tmp_path):
    rows, keys = drawn_rows(4000, 3000), keys_of(4000)
    moments = random.Random(1)
    for _ in range(5):
        with Store(tmp_path, 256 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
            opened.clear()
        writer = start_writer(start_python, tmp_path)
        writer.stdin.write("\n")
        writer.stdin.flush()
        writer.stdout.readline()
        time.sleep(moments.uniform(0, 0.1))
        writer.kill()
        said, _ = writer.communicate()
        commits = int(["1", *said.split()][-1])
        with Store(tmp_path, 256 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
            stored = opened.count()
            assert 10 * commits <= stored <= 10 * (commits + 1)
            assert stored % 10 == 0
            assert opened.missing(keys[: stored + 10]) == list(range(stored, stored + 10))
            assert opened.read(keys[:stored]).tobytes() == rows[:stored].tobytes()
            opened.write([(keys[stored], rows[stored])])
            assert opened.verify() == []


def test_two_processes_write_one_recipe_at_once_and_read_each_others_rows(start_python, tmp_path):
    # Half of what each writes is also written by the other.
    writers = [start_writer(start_python, tmp_path, first, 20) for first in (0, 5)]
    rows, keys = drawn_rows(4000, 3000), keys_of(4000)
    with Store(tmp_path, 256 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
        for writer in writers:
            writer.stdin.write("\n")
            writer.stdin.flush()
        while any(writer.poll() is None for writer in writers):
            there = sorted(set(range(400)) - set(opened.missing(keys[:400])))
            assert opened.read([keys[i] for i in there]).tobytes() == rows[there].tobytes() or not there
            time.sleep(0.01)
        assert [writer.communicate()[1] for writer in writers] == ["", ""]
        assert set(opened.missing(keys[:400])) == {i for i in range(400) if i % 20 >= 15}
        assert opened.verify() == []


def test_a_recipe_in_use_by_another_process_is_not_pruned(start_python, tmp_path):
    user = start_writer(start_python, tmp_path)
    with Store(tmp_path, 256 * MIB) as store:
        (stored,) = store.recipes()
        assert store.prune(to_bytes=0) == []
        with pytest.raises(StoreError, match=rf"in use, so not removed: {stored.key[:16]} \(0 removed\)"):
            store.prune(keys=[stored.key])
        user.kill()  # the lock goes with its owner
        user.communicate()
        assert [recipe.key for recipe in store.prune(keys=[stored.key])] == [stored.key]
        assert store.recipes() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_its_own_and_does_not_disturb_its_parent(start_python, tmp_path):
    code = """
import os, sys
from pathlib import Path
import numpy as np
from warmstart.errors import StoreError
from warmstart.store.cache import Store
store = Store(Path(sys.argv[1]), 2**26)
key = bytes(16) + b"plain"
with store.rows({}, row_format="float16") as rows:
    rows.write([(key, np.ones(3))])
    if os.fork() == 0:
        try:
            rows.read([key])
        except StoreError as error:
            print("forked" in str(error) and "spawn" in str(error))
        with store.rows({}, row_format="float16") as own:
            print(own.read([key]).tolist() == [[1, 1, 1]], store.index.lookup([]) == [])
            own.write([(bytes(16) + b"flip", np.zeros(3))])
        rows.close()
        store.close()
        sys.stdout.flush()
        os._exit(0)
    os.wait()
    print(rows.count())
    with Store(Path(sys.argv[1])) as other:
        print(other.prune(to_bytes=0) == [], "the child gave no lock away")
    print(rows.read([key]).tolist())
store.close()
if os.fork() == 0:
    with Store(Path(sys.argv[1])) as mine, mine.rows({}, row_format="float16") as rows:
        print(rows.read([key]).tolist(), flush=True)
    os._exit(0)
os.wait()
"""
    out, err = start_python(code, tmp_path).communicate(timeout=PATIENCE_S)
    assert err == ""
    assert out.splitlines() == [
        "True",
        "True True",
        "2",
        "True the child gave no lock away",
        "[[1.0, 1.0, 1.0]]",
        "[[1.0, 1.0, 1.0]]",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file size on Windows")
def test_a_disk_that_takes_no_more_is_a_clear_error_and_what_was_committed_stays(start_python, tmp_path):
    code = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from store_examples import RECIPE, drawn_rows, keys_of
from warmstart.errors import StoreError
from warmstart.store.cache import Store
rows, keys = drawn_rows(400, 3000), keys_of(400)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))  # a write beyond 1 MiB fails in the middle of a commit
with Store(Path(sys.argv[1]), 2**28) as store, store.rows(RECIPE, row_format="float16") as opened:
    try:
        for at in range(0, 400, 10):
            opened.write(list(zip(keys[at:at + 10], rows[at:at + 10])))
            print(at + 10, flush=True)
    except StoreError as error:
        print(error)
    print(opened.count(), opened.verify() == [])
"""
    out, err = start_python(code, tmp_path, HERE).communicate(timeout=PATIENCE_S)
    assert err == ""
    *committed, message, state = out.splitlines()
    assert len(committed) > 3
    assert "What was stored before is kept" in message
    assert state == f"{committed[-1]} True"
    with Store(tmp_path, 256 * MIB) as store, store.rows(RECIPE, row_format="float16") as opened:
        n = int(committed[-1])
        assert opened.read(keys_of(n)).tobytes() == drawn_rows(400, 3000)[:n].tobytes()
