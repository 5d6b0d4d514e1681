"""Opening one picture file: what the file system may answer, turned into PictureError."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from warmstart.errors import PictureError

MAX_FILE_BYTES = 2**31  # what `decoding.MAX_PIXELS` pixels take at 4 × 16 bits, uncompressed, and a half more


@contextmanager
def open_file(path: Path | str) -> Iterator[BufferedReader]:
    """The file, open for reading, at least one byte long.

    Raises PictureError: 'missing', 'permission', 'empty', 'unreadable', or 'not-a-file' for a folder, a pipe or a device (which is
    never opened, for that could wait for ever).
    """
    name = os.fspath(path)
    try:
        status = os.stat(name)  # noqa: PTH116 - Path would be built only for this call, once per picture
        if stat.S_ISDIR(status.st_mode):
            raise PictureError("not-a-file", f"{name!r} is a folder, expected a picture file: name a picture inside it")
        if not stat.S_ISREG(status.st_mode):
            raise PictureError("not-a-file", f"{name!r} is a pipe or device, expected a picture file: save the picture first")
        if status.st_size == 0:
            raise PictureError("empty", f"{name!r} holds 0 bytes, expected a picture: copy it again from its source")
        file = open(name, "rb")  # noqa: PTH123, SIM115 - closed by the `with` below, which must not catch this OSError
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise unreachable(name, error) from error
    with file:
        yield file


def read_bytes(path: Path | str) -> bytes:
    """All bytes of the file. Raises PictureError as `open_file` does, and 'too-large' above 2 GiB."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_BYTES:
            raise PictureError(
                "too-large",
                f"{os.fspath(path)!r} has {size:,} bytes, expected a picture of at most {MAX_FILE_BYTES:,}: cut it into tiles",
            )
        try:
            return file.read()
        except (OSError, MemoryError) as error:
            raise unreachable(os.fspath(path), error) from error


def unreachable(name: str, error: OSError | ValueError | MemoryError) -> PictureError:
    """Why this file could not be opened or read, by what the system answered."""
    if isinstance(error, MemoryError):
        return PictureError(
            "memory", f"{name!r} could not be read: memory does not suffice. Close other programs, or leave it out"
        )
    if isinstance(error, ValueError):
        return PictureError("missing", f"{name!r} cannot be the name of a file ({error}): check the path")
    if isinstance(error, PermissionError):
        return PictureError("permission", f"{name!r} may not be read by this user: change its permissions, or leave it out")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return PictureError("missing", f"{name!r} does not exist: check the path, relative ones start at {_here()!r}")
    if error.errno == errno.ELOOP:
        return PictureError("missing", f"{name!r} is a link that leads back to itself: remove it")
    if error.errno == errno.ENAMETOOLONG:
        return PictureError("missing", f"{name[:80]!r} … is longer than a path can be here: check the path")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        cure = "allow more (ulimit -n 4096), or close other programs, and run again"
        return PictureError(
            "unreadable", f"{name!r} cannot be opened: too many files are open. Its picture may be fine: {cure}"
        )
    reason = error.strerror or type(error).__name__
    return PictureError("unreadable", f"{name!r} cannot be read ({reason}): check the disk or the network drive, and run again")


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # the working folder itself is gone
        return "a working folder that does not exist any more"


def found_again(path: str, working_folder: str | None) -> str:
    """Where a file or folder is that was named while the process ran in ``working_folder``: there, or, if it is not, as it was named."""
    there = os.path.join(working_folder or "", path)  # noqa: PTH118 - for every picture of a report
    return there if os.path.exists(there) else path  # noqa: PTH110
