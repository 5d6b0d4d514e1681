"""Two that want the same rows: each is computed by one of them."""

import threading

from patience import PATIENCE_S
from warmstart.store.claims import Claim, claimed
from warmstart.store.locks import lock_alone

KEYS = [bytes([n]) * 16 + b"plain" for n in range(8)]
ENDS_IN_ZEROS = bytes(16) + b"flip"

# argv: folder of locks. Claims all keys, says so, and holds them until it is killed.
HOLDER = """
import sys
from pathlib import Path
from warmstart.store.claims import claimed
keys = [bytes([n]) * 16 + b"plain" for n in range(8)]
with claimed(Path(sys.argv[1]), "0123", keys):
    print("claimed", flush=True)
    sys.stdin.readline()
"""


def test_what_another_has_claimed_is_not_ours_until_he_is_done(tmp_path):
    with claimed(tmp_path, "0123", [*KEYS[:5], ENDS_IN_ZEROS]) as first:
        assert first == Claim(ours=frozenset([*KEYS[:5], ENDS_IN_ZEROS]), others=())
        with claimed(tmp_path, "0123", [*KEYS[3:], ENDS_IN_ZEROS]) as second:
            assert second.ours == frozenset(KEYS[5:])
            assert len(second.others) == 1
        with claimed(tmp_path, "0123", KEYS[5:]) as apart:
            assert apart == Claim(ours=frozenset(KEYS[5:]), others=())
        with claimed(tmp_path, "4567", KEYS) as of_another_recipe:
            assert of_another_recipe.ours == frozenset(KEYS)
    with claimed(tmp_path, "0123", KEYS) as later:
        assert later == Claim(ours=frozenset(KEYS), others=())
    assert not list(tmp_path.glob("*.keys-*"))
    assert not list(tmp_path.glob("*.claim-*"))


def test_who_waits_goes_on_when_the_other_is_done(tmp_path):
    done = threading.Event()
    with claimed(tmp_path, "0123", KEYS), claimed(tmp_path, "0123", KEYS) as second:
        waiter = threading.Thread(target=lambda: (second.wait(), done.set()))
        waiter.start()
        assert not done.wait(0.2)
    assert done.wait(PATIENCE_S)
    waiter.join()


def test_the_claim_of_one_that_was_killed_does_not_count(start_python, tmp_path):
    holder = start_python(HOLDER, tmp_path)
    assert holder.stdout.readline() == "claimed\n", holder.stderr.read()
    with claimed(tmp_path, "0123", KEYS) as meanwhile:
        assert not meanwhile.ours
        assert meanwhile.others
    holder.kill()
    holder.wait()
    with claimed(tmp_path, "0123", KEYS) as afterwards:
        assert afterwards == Claim(ours=frozenset(KEYS), others=())
    assert not list(tmp_path.glob("*.keys-*"))


def test_where_no_lock_can_be_had_everything_is_ours(tmp_path):
    with claimed(tmp_path / "missing", "0123", KEYS) as claim:
        assert claim == Claim(ours=frozenset(KEYS), others=())


def test_what_is_left_of_a_claim_is_no_lock(tmp_path):
    with claimed(tmp_path, "0123", KEYS):
        pass
    turn = lock_alone(tmp_path / "0123.turn")
    assert turn is not None
    turn.close()
