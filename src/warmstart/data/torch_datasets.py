"""Data sets as torch has them, of (picture, label) by number, as pairs. Each picture is read once for its label and digest and let go; it
is read a second time where its row is computed, so memory holds no more of them than are worked on.

    files, where the data set says which they are │ otherwise item → label, digest → `data.memory.Later`

An item must be the same whenever it is asked for: some are read twice at once, and all are held against their digest when they are needed.
"""

import threading
from collections.abc import Sequence
from typing import Any

from warmstart.data.identity import identified
from warmstart.data.memory import Later
from warmstart.errors import DataError, PictureError

READ_TWICE = 8  # items at the begin; a picture that is turned over half of the time passes with a chance of 1/256


def pairs_of(source: Any) -> list[Any]:
    """(picture or path, label) of each item, with names of classes if the data set has them. Raises DataError for one that changes."""
    if hasattr(source, "indices") and hasattr(source, "dataset"):  # torch.utils.data.Subset
        names = getattr(source.dataset, "classes", None)
        if _has_files(source.dataset):
            of_all = source.dataset.samples
            return [_named(of_all[i], names) for i in source.indices]
        return _Items(source, names).pairs()
    names = getattr(source, "classes", None)
    return [_named(item, names) for item in source.samples] if _has_files(source) else _Items(source, names).pairs()


class _Items:
    """Of a data set that says nothing of files. It is asked by one thread at a time: it may hold one open file for all."""

    def __init__(self, source: Any, class_names: Sequence[str] | None) -> None:
        self._source, self._class_names, self._turn = source, class_names, threading.Lock()

    def pairs(self) -> list[Any]:
        return [self._pair(i) for i in range(len(self._source))]

    def _pair(self, i: int) -> Any:
        item = self._item(i)
        if not isinstance(item, tuple | list) or len(item) != 2 or isinstance(item[0], str):
            return _named(item, self._class_names)
        try:
            digest, facts, _ = identified(item[0])
        except PictureError:
            return _named(item, self._class_names)  # what is wrong with it is said where all are looked at
        if i < READ_TWICE and self._digest_now(i) != digest:
            raise DataError(
                f"{type(self._source).__name__} gives another picture whenever its item {i} is asked for, so nothing that is learnt of one "
                "could be kept: leave random transforms out of the data set. Views to learn from are drawn here, with augment=…"
            )

        def read() -> Any:
            try:
                found, _, given = identified(self._item(i)[0])
            except DataError as reason:  # it could be read before
                raise PictureError("unreadable", str(reason)) from reason
            if found != digest:
                raise PictureError(
                    "changed",
                    f"item {i} of {type(self._source).__name__} is another picture than when it was first read: leave random transforms "
                    "out of the data set",
                )
            return given

        return _named((Later(read=read, digest=digest, facts=facts), item[1]), self._class_names)

    def _digest_now(self, i: int) -> bytes | None:
        try:
            return identified(self._item(i)[0])[0]
        except PictureError:
            return None

    def _item(self, i: int) -> Any:
        try:
            with self._turn:
                return self._source[i]
        except Exception as reason:  # a data set of the user's may raise anything
            raise DataError(
                f"item {i} of {type(self._source).__name__} cannot be read ({type(reason).__name__}: {reason})"
            ) from reason


def _has_files(source: Any) -> bool:
    samples = getattr(source, "samples", None)
    return isinstance(samples, list) and all(isinstance(item, tuple) and isinstance(item[0], str) for item in samples)


def _named(item: Any, names: Sequence[str] | None) -> Any:
    """(picture, label), where the label is the place of its name among the names of classes."""
    if names is None or not isinstance(item, tuple | list) or len(item) != 2 or isinstance(item[1], str):
        return item
    return item[0], names[item[1]]
