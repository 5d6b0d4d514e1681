"""What a machine refuses, told apart in one place: the system's number → what it means → what helps.

    OSError, or a library's own exception around one → errno → MachineError: path, reason, cure

Libraries wrap the system's errors in their own and keep, at best, its words (safetensors: "No space left on device (os error 28)";
OpenVINO and torch: not even those), so words are looked at as well, and where there are none the folder itself is asked.
"""

import contextlib
import errno
import os
import re
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from warmstart.errors import MachineError, UsageError, WarmstartError

_ELSEWHERE = "make room there, or choose a place on another disk"
_NUMBERS: Mapping[str, tuple[str, str]] = {  # by name, because not every system has every number
    "ENOSPC": ("the disk is full", _ELSEWHERE),
    "EDQUOT": ("this user's quota on the disk is used up", _ELSEWHERE),
    "EROFS": ("the file system can only be read", "choose a place that can be written"),
    "EACCES": ("this user may not do that there (permission denied)", "change the permissions, or choose another place"),
    "EPERM": ("the system does not permit it", "change the permissions or attributes, or choose another place"),
    "EFBIG": (
        "the file would be larger than the file system or the limit of this process (ulimit -f) allows",
        "raise the limit, or choose a place on another file system",
    ),
    "ENAMETOOLONG": ("a name in it is longer than the file system allows", "choose a shorter one"),
    "EMFILE": ("this process has too many files open", "raise the limit (ulimit -n) and try again"),
    "ENFILE": ("the system has too many files open", "close other programs and try again"),
    "EIO": (
        "the disk answered with an input/output error",
        "check the disk and its connection, or choose a place on another one",
    ),
    "ENXIO": ("the device is gone", "check its connection, or choose another place"),
    "ENODEV": ("the device is gone", "check its connection, or choose another place"),
    "ESTALE": ("the network drive has lost the file", "check its connection, or choose a place on a disk of this machine"),
    "ENOTCONN": ("the drive is not connected", "connect it again, or choose another place"),
    "EHOSTDOWN": ("the drive's machine does not answer", "connect it again, or choose another place"),
    "ETIMEDOUT": ("the drive does not answer", "check its connection, or choose another place"),
    "EBUSY": ("the system is using it", "try again later, or choose another place"),
    "ETXTBSY": ("a program is running from it", "stop that program, or choose another place"),
    "ENOMEM": ("there is too little memory", "close other programs, or raise the limit (ulimit -v), and try again"),
    "EAGAIN": ("the system starts no more threads or processes", "close other programs, or raise the limit (ulimit -u)"),
    "ENOENT": ("it, or a folder on the way to it, does not exist", "check the path; it may have been removed meanwhile"),
    "ENOTDIR": ("a file stands where a folder should be", "check the path, or choose another place"),
    "EISDIR": ("it is a folder, not a file", "choose the name of a file"),
    "EEXIST": ("something else is there already", "remove it, or choose another place"),
    "ENOTEMPTY": ("it is a folder that holds something", "remove it, or choose another place"),
    "ELOOP": ("it is a link that leads back to itself", "remove the link"),
    "EXDEV": ("it lies on another disk", "choose a place on the same disk"),
    "EINVAL": ("the file system does not take it", "check the name, or choose another place"),
}
_KNOWN: Mapping[int, tuple[str, str]] = {
    getattr(errno, name): words for name, words in _NUMBERS.items() if hasattr(errno, name)
}

# Words of a library's message → the system's number. The system's own words for the numbers that nothing but the machine causes.
_TOLD = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EFBIG", "ENAMETOOLONG", "EMFILE", "ENFILE", "EIO", "ESTALE", "ENOMEM")
_WORDS: tuple[tuple[str, int], ...] = (
    *((os.strerror(getattr(errno, name)).lower(), getattr(errno, name)) for name in _TOLD if hasattr(errno, name)),
    ("can't allocate memory", errno.ENOMEM),
    ("bad_alloc", errno.ENOMEM),
    ("failed to map segment", errno.ENOMEM),
    ("can't start new thread", errno.EAGAIN),
    ("resource temporarily unavailable", errno.EAGAIN),
)
_SQLITE = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}

# What a path given by the user can be wrong in, whatever the machine: a slip, and not the machine's refusal.
SLIPS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.EINVAL})

_OF_THE_PROCESS = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN})
NO_ROOM = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
_TRIAL_BYTES = 2**20


def number_of(error: BaseException | None) -> int | None:
    """The system's number behind an exception, its causes and a library's words; None where the machine had no part in it."""
    seen = 0
    while error is not None and seen < 8 and not isinstance(error, WarmstartError):
        found = _own_number(error)
        if found is not None:
            return found
        error, seen = error.__cause__ or (None if error.__suppress_context__ else error.__context__), seen + 1
    return None


def refusal(error: BaseException, path: Path | str | None, *, doing: str = "written") -> MachineError | None:
    """The error in the user's words, or None where the machine had no part in it. ``path``: what was to be ``doing``."""
    number = number_of(error)
    return None if number is None else refused(number, path, doing=doing)


def refused(number: int, path: Path | str | None, *, doing: str = "written") -> MachineError:
    """A number of the system's as what was found, and what helps."""
    reason, cure = _KNOWN.get(number, (os.strerror(number), "check the path and the disk"))
    if number == errno.ENOSPC and path is not None:
        reason = _what_is_full(Path(path))
    if path is not None and not (number in _OF_THE_PROCESS and doing == "used"):
        what = f"{str(path)!r} cannot be {doing}: "
    else:  # a library names no file, and a stream has no name
        what = "" if number in _OF_THE_PROCESS else "the output cannot be written: "
    return MachineError(f"{what}{reason}. {cure[0].upper()}{cure[1:]}.", number)


@contextmanager
def explained(path: Path | str, *, doing: str = "written", fresh: Path | None = None) -> Iterator[None]:
    """Whatever the machine refuses inside the block is raised as MachineError about ``path``, also out of a library's exception.

    fresh: what a library is writing; where its exception tells nothing, it is tried whether anything can be written there.
    """
    try:
        yield
    except WarmstartError:
        raise
    except Exception as error:
        number = number_of(error)
        if number is None and fresh is not None:
            number = _ask(fresh)
        if number is None:
            raise
        raise refused(number, path, doing=doing) from error


def require_room(folder: Path, needed_bytes: int, what: str, *, file_bytes: int = 0) -> None:
    """Raise MachineError where the disk of ``folder`` has less room than ``what`` takes: said before the work, not after it.

    file_bytes: of the largest single file.
    """
    free = _free_bytes(folder)
    if free is not None and free < needed_bytes:
        raise MachineError(
            f"{what} takes {needed_bytes / 2**20:,.1f} MiB, and the disk of {str(folder)!r} has {free / 2**20:,.1f} MiB free. "
            f"{_ELSEWHERE[0].upper()}{_ELSEWHERE[1:]}.",
            errno.ENOSPC,
        )
    limit = _file_limit()
    if limit is not None and limit < file_bytes:
        raise refused(errno.EFBIG, folder)


def require_file(path: Path | str, what: str, error: type[WarmstartError] = UsageError) -> None:
    """Raise ``error`` for a pipe, a device or a socket: reading it might never end. ``what``: which option or document it is."""
    with contextlib.suppress(OSError, ValueError):  # whoever opens it says what is wrong
        mode = os.stat(path).st_mode  # noqa: PTH116 - may hold a NUL
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise error(f"{what} {str(path)!r} is a pipe or device, expected a file: save it to a file first")


def _own_number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if isinstance(error, (ValueError, TypeError, LookupError, AttributeError, AssertionError)):
        return None  # a message of ours or about data may hold any words
    told = str(error).lower()
    if match := re.search(r"\(os error (\d+)\)", told):
        return int(match[1])
    return next((number for words, number in _WORDS if words in told), None)


def _ask(fresh: Path) -> int | None:
    """Why nothing more can be written to this file or folder, by trying; None where something can."""
    limit = _file_limit()
    with contextlib.suppress(OSError):
        if limit is not None and any(file.stat().st_size >= limit for file in (fresh, *fresh.rglob("*")) if file.is_file()):
            return errno.EFBIG
    try:
        with tempfile.TemporaryFile(dir=fresh if fresh.is_dir() else fresh.parent) as file:
            file.write(bytes(min(_TRIAL_BYTES, limit or _TRIAL_BYTES)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno
    return None


def _what_is_full(path: Path) -> str:
    with contextlib.suppress(OSError):
        if path.is_char_device() or path.is_block_device() or path.is_fifo():
            return "the device takes no more"
    folder = _standing(path)
    if hasattr(os, "statvfs"):
        with contextlib.suppress(OSError):
            disk = os.statvfs(folder)
            if disk.f_files and not disk.f_favail and disk.f_bavail:
                return f"the disk of {str(folder)!r} has no room for another file (its inodes are used up)"
    free = _free_bytes(folder)
    return "the disk is full" + ("" if free is None else f" ({free / 2**20:,.1f} MiB are free)")


def _standing(path: Path) -> Path:
    """The nearest folder on the way to ``path`` that is there."""
    return next((place for place in (path, *path.parents) if place.is_dir()), Path())


def _free_bytes(folder: Path) -> int | None:
    import shutil

    try:
        return shutil.disk_usage(_standing(folder.absolute())).free
    except OSError:
        return None


def _file_limit() -> int | None:
    """What `ulimit -f` allows in bytes; None where nothing limits it, and on Windows."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit
