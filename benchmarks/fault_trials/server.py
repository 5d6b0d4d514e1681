"""A real server in a process of its own, on one home, started again as often as it is killed."""

import io
import re
import signal
import subprocess
import zipfile
from pathlib import Path
from typing import Self

import httpx

from fault_trials.trial import Place, start

REQUEST_S = 10  # no request may take longer


class Server:
    """`warmstart serve`. A context manager."""

    def __init__(self, place: Place, home: Path, *options: object) -> None:
        self._cache, self._home, self._options = place.cache, home, options
        self.process: subprocess.Popen[str] | None = None
        self.client = httpx.Client()

    def __enter__(self) -> Self:
        process = start("serve", "--home", self._home, "--port", "0", *self._options, cache=self._cache)
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+?/", line)
        assert found, line + process.stderr.read()
        self.process, self.client = process, httpx.Client(base_url=found[0], timeout=REQUEST_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)

    def stop(self, how: int = signal.SIGKILL) -> str:
        """What it wrote to stderr since it started."""
        if self.process is None:
            return ""
        self.client.close()
        self.process.send_signal(how)
        _, told = self.process.communicate(timeout=60)
        self.process = None
        return told


def zipped(folder: Path) -> bytes:
    """The folder's files, each under the folder's name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, path.relative_to(folder.parent))
    return buffer.getvalue()
