"""An engine belongs to the process that opened it: its threads do not live on in a forked child, so there it would wait for ever.

A child that predicts opens an engine of its own (`opened_here` tells), and the inherited one is never destroyed there, because its
destructor would wait for those threads as well.
"""

import ctypes
import os
import weakref
from typing import Any

_native: "weakref.WeakSet[Any]" = weakref.WeakSet()


def outlive_forks(holder: Any) -> None:
    """``holder`` refers to something with native threads. It must take weak references."""
    _native.add(holder)


def opened_here(holder: Any) -> bool:
    """Whether this process has opened it, and not the one that it was forked from."""
    return getattr(holder, "process", None) in (None, os.getpid())


def _keep_inherited() -> None:
    """One reference more, which nobody ever gives back: not even the end of the interpreter destroys them."""
    for holder in list(_native):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(holder))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_inherited)
