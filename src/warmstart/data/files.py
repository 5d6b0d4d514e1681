"""Opening one picture file: what the file system may answer, turned into PictureError."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from warmstart.errors import PictureError


@contextmanager
def open_file(path: Path | str) -> Iterator[BufferedReader]:
    """The file, open for reading, at least one byte long.

    Raises PictureError: 'missing', 'permission', 'empty', or 'not-a-picture' for a folder, a pipe or a device (which is
    never opened, for that could wait for ever).
    """
    name = os.fspath(path)
    try:
        status = os.stat(name)  # noqa: PTH116 - Path would be built only for this call, once per picture
        if stat.S_ISDIR(status.st_mode):
            raise PictureError("not-a-picture", f"{name!r} is a folder, expected a picture file: name a picture inside it")
        if not stat.S_ISREG(status.st_mode):
            raise PictureError(
                "not-a-picture", f"{name!r} is a pipe or device, expected a picture file: save the picture first"
            )
        if status.st_size == 0:
            raise PictureError("empty", f"{name!r} holds 0 bytes, expected a picture: copy it again from its source")
        file = open(name, "rb")  # noqa: PTH123, SIM115 - closed by the `with` below, which must not catch this OSError
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise _unreachable(name, error) from error
    with file:
        yield file


def read_bytes(path: Path | str) -> bytes:
    """All bytes of the file. Raises PictureError as `open_file` does."""
    with open_file(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise _unreachable(os.fspath(path), error) from error


def _unreachable(name: str, error: OSError | ValueError) -> PictureError:
    if isinstance(error, PermissionError):
        return PictureError("permission", f"{name!r} may not be read by this user: change its permissions, or leave it out")
    if isinstance(error, FileNotFoundError):
        return PictureError("missing", f"{name!r} does not exist: check the path, relative ones start at {str(Path.cwd())!r}")
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return PictureError("missing", f"{name!r} is a link that leads back to itself: remove it")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return PictureError("missing", f"{name!r} cannot be read ({reason}), expected a picture file: check the path and the disk")


def found_again(path: str, working_folder: str | None) -> str:
    """Where a file or folder is that was named while the process ran in ``working_folder``: there, or, if it is not, as it was named."""
    there = os.path.join(working_folder or "", path)  # noqa: PTH118 - for every picture of a report
    return there if os.path.exists(there) else path  # noqa: PTH110
