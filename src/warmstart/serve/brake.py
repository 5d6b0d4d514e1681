"""Guessing a key is slowed down: so many wrong ones from one address, and so many from all together, then a few a minute.

What was guessed is not looked at while the brake is on. It lets go by itself, one guess after the other, so nobody is locked out for
longer than the guessing lasts; a browser that has its cookie is not asked for the key at all, and addresses that once brought the right
key do not wait for what all others guess. The same wrong key again, from a program that was not told of a new one, is no new guess.
"""

import hashlib
import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from warmstart.serve.errors import ApiError

GUESSES, GUESS_S = 10, 6.0  # of an address: at once, and seconds until one more is allowed
GUESSES_OF_ALL, GUESS_OF_ALL_S = 100, 1.0
REMEMBERED = 10_000  # addresses
KEYS_REMEMBERED = 100  # wrong ones of an address


@dataclass
class _Bucket:
    most: int
    every_s: float
    taken: float = 0.0
    at: float = 0.0
    keys: set[bytes] = field(default_factory=set)

    def wait_s(self, now: float) -> float:
        """Until a guess is allowed."""
        self.taken = max(0.0, self.taken - (now - self.at) / self.every_s)
        self.at = now
        return max(0.0, self.taken - self.most + 1) * self.every_s


class Brake:
    """Of one server. Use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._all = _Bucket(GUESSES_OF_ALL, GUESS_OF_ALL_S)
        self._addresses: OrderedDict[str, _Bucket] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()  # addresses that brought the right key

    def check(self, address: str) -> None:
        """Before a key is compared. Raises ApiError 429."""
        with self._lock:
            now, place = self._clock(), _place(address)
            wait_s = self._bucket(place, now).wait_s(now)
            if place not in self._known:
                wait_s = max(wait_s, self._all.wait_s(now))
        if wait_s > 0:
            raise ApiError(
                429,
                "too-many-guesses",
                found="too many wrong keys",
                expected=f"at most {GUESSES} from one address, then one every {GUESS_S:g} s",
                fix="wait, and ask again with the key that the server was started with",
                retry_after_s=math.ceil(wait_s),
            )

    def wrong(self, address: str, key: str) -> None:
        """A key that was not the one."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8]
        with self._lock:
            now = self._clock()
            bucket = self._bucket(_place(address), now)
            if digest in bucket.keys:
                return
            if len(bucket.keys) < KEYS_REMEMBERED:
                bucket.keys.add(digest)
            bucket.taken += 1
            self._all.wait_s(now)
            self._all.taken = min(self._all.taken + 1, GUESSES_OF_ALL)

    def right(self, address: str) -> None:
        """The key."""
        with self._lock:
            self._known[_place(address)] = None
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _bucket(self, place: str, now: float) -> _Bucket:
        bucket = self._addresses.pop(place, None) or _Bucket(GUESSES, GUESS_S, at=now)
        self._addresses[place] = bucket  # the last one is the newest
        while len(self._addresses) > REMEMBERED:
            self._addresses.popitem(last=False)
        return bucket


def _place(address: str) -> str:
    """An IPv6 address stands for the 2**64 that its owner has."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)
