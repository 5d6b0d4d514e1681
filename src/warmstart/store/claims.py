"""Who is computing which rows: so that two processes over the same pictures compute each row once.

    <folder>/locks/<16 hex digits>.turn             held for the moment in which somebody claims
    <folder>/locks/<16 hex digits>.claim-<random>   held while its owner computes, and beside it
    <folder>/locks/<16 hex digits>.keys-<random>    the row keys that he has claimed

A claim counts as long as its lock is held: the system lets go of it when its owner dies, and what he leaves is removed by the next who
claims. Nobody waits for another while others wait for him: he computes his own first.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from warmstart.store.locks import lock_alone, unlock

POLL_S = 0.05
WIDTH = 32  # bytes of a key in the file, filled up with zeros: 16 of the digest, up to 16 of the view's name


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is ours to compute, and what others are at."""

    ours: frozenset[bytes]
    others: tuple[Path, ...]  # the locks of claims that hold some of what was wanted

    def wait(self) -> None:
        """Until none of the others is at work any more; some of what they had claimed may still be missing then."""
        for path in self.others:
            while _is_held(path):
                time.sleep(POLL_S)


@contextmanager
def claimed(locks: Path, recipe: str, wanted: Sequence[bytes]) -> Iterator[Claim]:
    """Of the row keys that are ``wanted``, those that nobody else is computing, claimed until the end of the block.

    ``recipe``: the first digits of its key. Where no lock can be had (a full disk), everything is ours: a row that two compute is the
    same row.
    """
    path = locks / f"{recipe}.claim-{secrets.token_hex(8)}"
    try:
        with _turn(locks / f"{recipe}.turn"):
            theirs, others = _of_others(locks, recipe, frozenset(wanted))
            ours = frozenset(wanted) - theirs
            _keys_of(path).write_bytes(b"".join(key.ljust(WIDTH, b"\0") for key in ours))
            held = lock_alone(path)
    except OSError:
        yield Claim(ours=frozenset(wanted), others=())
        return
    try:
        yield Claim(ours=ours, others=others)
    finally:
        if held is not None:
            unlock(held)
        _remove(path)


def _of_others(locks: Path, recipe: str, wanted: frozenset[bytes]) -> tuple[frozenset[bytes], tuple[Path, ...]]:
    theirs: frozenset[bytes] = frozenset()
    others = []
    for path in locks.glob(f"{recipe}.claim-*"):
        if not _is_held(path):  # its owner was killed
            _remove(path)
            continue
        try:
            content = _keys_of(path).read_bytes()
        except OSError:  # he is done in this moment
            continue
        keys = wanted.intersection(content[i : i + WIDTH].rstrip(b"\0") for i in range(0, len(content), WIDTH))
        if keys:
            theirs |= keys
            others.append(path)
    return theirs, tuple(others)


def _keys_of(path: Path) -> Path:
    return path.with_name(path.name.replace(".claim-", ".keys-"))


def _remove(path: Path) -> None:
    for each in (_keys_of(path), path):
        with contextlib.suppress(OSError):  # Windows removes no file that somebody looks at
            each.unlink()


def _is_held(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        lock = lock_alone(path)
    except OSError:
        return False
    if lock is None:
        return True
    unlock(lock)
    return False


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    while (lock := lock_alone(path)) is None:
        time.sleep(POLL_S / 10)
    try:
        yield
    finally:
        unlock(lock)
