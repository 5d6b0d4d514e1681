"""A forked process that does one thing: libraries are loaded before it, so that it costs little."""

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path


class Child:
    """A forked process that calls a function and ends with what it returns; what it says lies in a file."""

    def __init__(self, call: Callable[[], int], state: Path, place: int) -> None:
        self.said, self.temporary = state / f"log-{place}.txt", state / f"temporary-{place}"
        shutil.rmtree(self.temporary, ignore_errors=True)
        sys.stdout.flush()
        self.id = os.fork()
        if self.id:
            return
        code = 1
        try:
            os.setsid()
            self.temporary.mkdir()
            os.environ["PYTEST_ADDOPTS"] = f"--basetemp={self.temporary / 'pytest'} --assert=plain"
            os.environ["TMPDIR"] = str(self.temporary)
            with self.said.open("w", encoding="utf-8") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = call()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def ended(self) -> int | None:
        """The exit status; None while it runs."""
        done, status = os.waitpid(self.id, os.WNOHANG)
        return (abs(os.waitstatus_to_exitcode(status))) if done else None

    def kill(self) -> None:
        """And all that it started."""
        os.killpg(self.id, signal.SIGKILL)
        os.waitpid(self.id, 0)

    def log(self) -> str:
        """What it said."""
        return self.said.read_text("utf-8", errors="replace")

    def failed(self) -> str:
        """The first test that failed, as far as can be told."""
        lines = [line for line in self.log().splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return lines[0].split(" - ")[0].split(" ", 1)[1] if lines else "not a test: the process"
