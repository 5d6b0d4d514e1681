"""Advisory locks between processes: users of a recipe share one, whoever removes the recipe must have it alone.

A lock belongs to an open file, not to the process: two openings in one process exclude each other as two processes would, and
the system releases it when its owner dies, even by ``kill -9``. The files are empty and are never removed: removing one
would let two processes lock two files of the same name.
"""

import sys
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
    import random
    import time

    # Windows only has exclusive locks on ranges of bytes. A user takes any one byte of the range, a remover all of them.
    _RANGE = 1024

    def lock_shared(path: Path) -> IO[bytes]:
        """Lock ``path`` together with other users; waits (up to a minute) while somebody has it alone. Raises OSError."""
        file = path.open("ab")
        deadline_s = time.monotonic() + 60
        while True:
            file.seek(random.randrange(_RANGE))
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                return file
            except OSError:
                if time.monotonic() > deadline_s:
                    file.close()
                    raise
                time.sleep(0.01)

    def lock_alone(path: Path) -> IO[bytes] | None:
        """Lock ``path`` exclusively, or None at once if anybody uses it."""
        file = path.open("ab")
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, _RANGE)
        except OSError:
            file.close()
            return None
        return file

    def unlock(file: IO[bytes]) -> None:
        """Give a lock back; closing the file is what releases it."""
        file.close()

else:
    import fcntl

    def lock_shared(path: Path) -> IO[bytes]:
        """Lock ``path`` together with other users; waits while somebody has it alone. Raises OSError."""
        file = path.open("ab")
        fcntl.flock(file, fcntl.LOCK_SH)
        return file

    def lock_alone(path: Path) -> IO[bytes] | None:
        """Lock ``path`` exclusively, or None at once if anybody uses it."""
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def unlock(file: IO[bytes]) -> None:
        """Give a lock back, also if a forked child still has the file open (closing alone would leave it locked then)."""
        fcntl.flock(file, fcntl.LOCK_UN)
        file.close()
