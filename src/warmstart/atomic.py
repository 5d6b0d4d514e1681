"""A file is the old one or the new one, a folder too, whenever the process is killed or the disk is full.

    written beside its place → flushed to the disk → renamed → the folder flushed

What a killed writer leaves is named ``.NAME.xxxxxxxx.warmstart-partial``, is read by nobody, and is swept by the next writer in the
same folder: a writer holds a lock on what it writes, so what can be locked is nobody's. A folder that replaces another changes places with
it in one step where the system can (Linux); elsewhere the old one is moved aside first, and `recover` brings it back after a kill.
Everything here raises MachineError, with path, reason and cure.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warmstart.errors import MachineError, UsageError
from warmstart.records import to_json
from warmstart.refusals import SLIPS, explained

PARTIAL = ".warmstart-partial"
_ASIDE = ".warmstart-before"
_OLD_S = 24 * 3600  # where files cannot be locked, what was left so long ago is nobody's


def write_bytes(path: Path, content: bytes) -> None:
    """Write or replace a file whole. A link is followed, permissions are kept; a device or pipe is written to as it is."""
    with replaced(path) as fresh:
        fresh.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8; names that are no UTF-8 keep their bytes."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, document: Any) -> None:
    """As `write_text`, of a JSON-ready document."""
    write_text(path, to_json(document))


def write_asked(option: str, path: Path, content: bytes) -> None:
    """A result that the user wants in a file: where the machine refuses, it is kept elsewhere, and the error says where.

    Raises UsageError where the path is a slip, such as a folder that does not exist: ``option`` names what was given.
    """
    try:
        with _asked(option, path):
            write_bytes(path, content)
    except (MachineError, UsageError) as reason:
        kept = kept_elsewhere(path.name[-80:], lambda place: write_bytes(place, content))
        if kept is None:
            raise
        told = f"{reason} What was to be written is kept in {kept}."
        raise (UsageError(told) if isinstance(reason, UsageError) else MachineError(told, reason.errno)) from reason


def require_writable(option: str, path: Path) -> None:
    """Raise at once, before the work, what `write_asked` would raise after it."""
    with _asked(option, path), explained(path):
        before = _status(path)
        if before is None or stat.S_ISREG(before.st_mode):
            with _partial(Path(os.path.realpath(path)), folder=False):
                pass
        elif stat.S_ISDIR(before.st_mode):
            raise IsADirectoryError(_errno("EISDIR"), os.strerror(_errno("EISDIR")), str(path))


@contextmanager
def _asked(option: str, path: Path) -> Iterator[None]:
    """Errors name the option."""
    try:
        yield
    except MachineError as reason:
        if reason.errno in SLIPS:
            why = os.strerror(reason.errno or 0)
            raise UsageError(f"{option} {str(path)!r} cannot be written ({why}); name another file.") from reason
        raise MachineError(f"{option}: {reason}", reason.errno) from reason


def kept_elsewhere(name: str, write: Callable[[Path], None]) -> Path | None:
    """Where ``write`` succeeded: a new folder in the system's place for temporary files or in the home folder; None if nowhere."""
    for base in _other_places():
        try:
            folder = Path(tempfile.mkdtemp(prefix="warmstart-kept-", dir=base))
        except OSError:
            continue
        try:
            write(folder / name)
            return folder / name
        except (OSError, MachineError):
            shutil.rmtree(folder, ignore_errors=True)
    return None


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Where a block writes what becomes ``path`` at its end; if it raises, ``path`` stays as it was. For libraries that take a path."""
    with explained(path):
        before = _status(path)
        if before is not None and not stat.S_ISREG(before.st_mode):
            if stat.S_ISDIR(before.st_mode):
                raise IsADirectoryError(_errno("EISDIR"), os.strerror(_errno("EISDIR")), str(path))
            yield path  # a device or a pipe cannot be replaced
            return
        if before is not None and not os.access(path, os.W_OK):  # a rename would not ask
            raise PermissionError(_errno("EACCES"), os.strerror(_errno("EACCES")), str(path))
        place = Path(os.path.realpath(path))
        with _partial(place, folder=False) as fresh:
            with explained(path, fresh=fresh):
                yield fresh
            _flush(fresh)
            if before is not None:
                _as_before(fresh, before)
            fresh.replace(place)
            _flush_folder(place.parent)


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """As `replaced`, for a folder: the block fills an empty one, which then stands where ``path`` was, all of it or nothing."""
    place = Path(os.path.realpath(path))
    with explained(path):
        recover(place)
        with _partial(place, folder=True) as fresh:
            with explained(path, fresh=fresh):
                yield fresh
            for folder, _, names in os.walk(fresh, topdown=False):
                for name in names:
                    _flush(Path(folder) / name)
                _flush_folder(Path(folder))
            _stand_in(fresh, place)
            _flush_folder(place.parent)


def recover(path: Path) -> None:
    """Bring back a folder that a killed writer had moved aside and not yet replaced. Whoever opens such a folder calls this first."""
    aside = path.with_name(f".{path.name}{_ASIDE}")
    try:
        if not aside.is_dir():
            return
    except (OSError, ValueError):  # a name that no file can have
        return
    lock = _lock(aside, wait=False)
    if lock is None and sys.platform != "win32":  # its writer is at work
        return
    with contextlib.suppress(OSError):  # what cannot be brought back here is missing, and whoever opens it says so
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(path)
    if lock is not None:
        os.close(lock)


def move_in(file: Path, target: Path) -> None:
    """A file that was received elsewhere takes its place, on the disk before this returns; across disks it is copied whole first."""
    with explained(target):
        _flush(file)
        try:
            file.replace(target)
            _flush_folder(target.parent)
        except OSError as error:
            if error.errno != _errno("EXDEV"):
                raise
            with replaced(target) as fresh:
                shutil.copyfile(file, fresh)
            file.unlink()


@contextmanager
def _partial(place: Path, *, folder: bool) -> Iterator[Path]:
    """A new file or folder beside ``place``, locked while the block runs and gone afterwards unless it was moved away."""
    _sweep(place.parent)
    while True:
        # Cut, because the name itself may be as long as the file system allows.
        fresh = place.with_name(f".{place.name[:40]}.{secrets.token_hex(4)}{PARTIAL}")
        if folder:
            fresh.mkdir()
        else:
            os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        lock = _lock(fresh, wait=True)
        if lock is None or fresh.exists():  # somebody may have swept it before it was locked
            break
        os.close(lock)
    try:
        yield fresh
    finally:
        try:
            _remove(fresh)
        finally:
            if lock is not None:
                os.close(lock)


def _sweep(folder: Path) -> None:
    """Remove what killed writers have left in a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.endswith(PARTIAL)]
        for path in left:
            lock = _lock(path, wait=False)
            if lock is not None:
                _remove(path)
                os.close(lock)
            elif sys.platform == "win32" and path.stat().st_mtime < time.time() - _OLD_S:
                _remove(path)


def _lock(path: Path, *, wait: bool) -> int | None:
    """An open lock on a file or folder; None where somebody has it (without ``wait``) or the file system has no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _stand_in(fresh: Path, place: Path) -> None:
    """``fresh`` takes the place; what stood there is where ``fresh`` was, or gone."""
    if not place.exists():
        fresh.rename(place)
    elif not _exchanged(fresh, place):
        aside = place.with_name(f".{place.name}{_ASIDE}")
        lock = _lock(place, wait=True)
        try:
            place.rename(aside)
            try:
                fresh.rename(place)
            except BaseException:
                aside.rename(place)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            if lock is not None:
                os.close(lock)


def _exchanged(one: Path, other: Path) -> bool:
    """Both names change what they mean in one step (`renameat2`, Linux 3.15). False where system or file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _as_before(fresh: Path, before: os.stat_result) -> None:
    """Permissions and, where this user may give it away, the owner."""
    with contextlib.suppress(OSError, AttributeError):  # Windows has no owners
        if (before.st_uid, before.st_gid) != (os.getuid(), os.getgid()):
            os.chown(fresh, before.st_uid, before.st_gid)
    with contextlib.suppress(OSError):
        fresh.chmod(stat.S_IMODE(before.st_mode))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        _fsync(handle)
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    """Make the renaming itself durable, where the system can (Windows cannot open folders)."""
    if os.name == "posix":
        with contextlib.suppress(PermissionError):  # a folder that may be written in and not listed
            _flush(folder)


def _fsync(handle: int) -> None:
    """Raises OSError; file systems that know no flushing have nothing to flush."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (_errno("EINVAL"), _errno("ENOTSUP"), _errno("ENOSYS")):
            raise


def _other_places() -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield tempfile.gettempdir()
    yield from (place for place in ("/var/tmp", os.path.expanduser("~")) if os.path.isdir(place))  # noqa: PTH111, PTH112


def _errno(name: str) -> int:
    import errno

    return int(getattr(errno, name, -1))
