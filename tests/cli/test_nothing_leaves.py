"""No verb speaks to anybody, and none writes outside the cache, the runs and what was asked for: seen by the kernel's own record.

An audit hook sees Python alone; ONNX Runtime's usage statistics, for one, are native code. So every verb runs under strace, with all
its threads and child processes, in a home, a temporary folder and a working folder of its own.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drawn_shapes import draw_folder

STRACE = shutil.which("strace")
FILES = "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,truncate"
NETWORK = "socket,connect,bind,sendto,sendmsg,sendmmsg,listen,accept,accept4"
CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
QUOTED = re.compile(r'(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')
INTERNET = re.compile(r"AF_INET6?\b")
# What is no file: the terminal, nothing, shared memory that is gone at the end, what threads are called.
NO_FILE = ("/dev/null", "/dev/tty", "/dev/shm/", "/proc/")

VERBS = """
import json, sys
from warmstart.cli.main import run
for words in json.loads(sys.argv[1]):
    try:
        open("/verb: " + " ".join(words))  # found again in the record
    except OSError:
        pass
    try:
        run(words)
    except SystemExit as end:
        if end.code:
            raise SystemExit(f"{words} ended with {end.code}")
"""


@pytest.fixture(scope="module", autouse=True)
def _strace() -> None:
    if STRACE is None:
        pytest.skip("no strace is installed here; get one with: apt-get install strace")
    tried = subprocess.run([STRACE, "-f", "-e", "trace=openat", sys.executable, "-c", ""], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not be used here: {tried.stderr.decode()[-200:]}")


class Place:
    """Where verbs run, and what they did there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("home", "tmp", "cache", "work"):
            (folder / name).mkdir()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("XDG_", "WARMSTART_", "MPL", "CI", "GITHUB_", "JENKINS", "ORT_", "HF_", "TORCH"))
        } | {
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "WARMSTART_CACHE": str(folder / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }

    def command(self, record: Path, *arguments: str) -> list[str]:
        strace = [
            str(STRACE),
            "-f",
            "-y",
            "-qq",
            "--seccomp-bpf",
            "-s",
            "400",
            "-e",
            f"trace={FILES},{NETWORK}",
            "-e",
            "signal=none",
        ]
        return [*strace, "-o", str(record), sys.executable, "-W", "ignore", *arguments]

    def run(self, *verbs: list[str]) -> "Record":
        record = self.folder / "record"
        done = subprocess.run(
            self.command(record, "-c", VERBS, json.dumps(verbs)),
            cwd=self.folder / "work",
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return Record(record, self)

    def left(self) -> list[str]:
        """In the home and in the temporary folder."""
        return [str(path) for name in ("home", "tmp") for path in sorted((self.folder / name).rglob("*"))]


class Record:
    """What a process and all that it started asked of the kernel."""

    def __init__(self, path: Path, place: Place) -> None:
        self.lines = path.read_text("utf-8", errors="replace").splitlines()
        self._allowed = (str(place.folder / "work"), str(place.folder / "cache"), str(place.folder / "tmp"))
        self._work = place.folder / "work"

    def network(self) -> list[str]:
        """Calls that name an address of the internet, as the verb that made them and the call."""
        return [f"{verb}: {call}" for verb, name, call in self._calls() if name == "network" and INTERNET.search(call)]

    def written(self) -> list[str]:
        """Paths outside of what is allowed that were made, opened for writing or replaced."""
        found = []
        for verb, name, call in self._calls():
            if name == "network" or " = -1 " in call:
                continue
            if name in ("open", "openat") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", call):
                continue
            paths = [self._whole(*match) for match in QUOTED.findall(call)]
            outside = [path for path in paths if not path.startswith((*self._allowed, *NO_FILE))]
            found += [f"{verb}: {name} {path}" for path in outside]
        return sorted(set(found))

    def _whole(self, folder: str, path: str) -> str:
        return os.path.normpath(Path(folder or self._work) / path)

    def _calls(self) -> Iterator[tuple[str, str, str]]:
        """(verb, kind of call, the rest of the line)."""
        network = NETWORK.split(",")
        verb = ""
        for line in self.lines:
            if (mark := line.find('"/verb: ')) >= 0:
                verb = line[mark + 8 : line.index('"', mark + 8)]
            elif match := CALL.match(line):
                called, rest = match[1], match[2]
                yield (verb, "network", f"{called}({rest}") if called in network else (verb, called, rest)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_record_sees_a_socket_and_a_file_of_any_process(place: Place) -> None:
    code = (
        "import socket, subprocess, sys, pathlib\n"
        "try: socket.create_connection(('127.0.0.1', 9), timeout=1)\n"
        "except OSError: pass\n"
        "subprocess.run([sys.executable, '-c', 'import os, pathlib; pathlib.Path(os.path.expanduser(\"~\"), \"left\").touch()'])\n"
    )
    path = place.folder / "record"
    subprocess.run(place.command(path, "-c", code), cwd=place.folder / "work", env=place.environment, check=True)
    record = Record(path, place)
    assert any("connect" in line or "127.0.0.1" in line for line in record.network())
    assert [line.rpartition("/")[2] for line in record.written()] == ["left"]
    assert len(place.left()) == 1


def test_no_verb_opens_a_socket_or_writes_where_it_was_not_asked_to(place: Place) -> None:
    draw_folder(place.folder / "work" / "shapes")
    tiny = ["--backbone", "timm:test_efficientnet", "--weights", "random", "--image-size", "64"]
    run, picture = "runs/*", "shapes/circle/0.png"
    first = place.run(
        ["train", "shapes", *tiny, "--taps", "middle"],
        ["advise", "shapes", "--image-size", "64"],
        ["inspect", "shapes"],
        ["doctor", "shapes", *tiny, "--fix-list", "fixes.csv", "--page", "doctor.html"],
        ["backbones"],
        ["backbones", "resnet18"],
        ["cache", "ls"],
    )
    (trained,) = (place.folder / "work").glob(run)
    model = str(trained.relative_to(place.folder / "work"))
    second = place.run(
        ["predict", model, picture],
        ["evaluate", model, "shapes"],
        ["explain", model, picture, "--out", "explained"],
        ["filters", model, "--out", "filters"],
        *(
            ["export", model, "--to", name, "--out", f"exports/{name}", "--data", "shapes"]
            for name in ("onnx", "openvino", "torch-export")
        ),
        *(
            ["export", model, "--to", name, "--precision", "int8", "--out", f"int8/{name}", "--force"]
            for name in ("onnx", "openvino")
        ),
        ["predict", "exports/onnx", picture],
        ["predict", "exports/openvino", picture],
        ["report", model],
        ["train", "shapes", *tiny, "--cut", "stage3", "--epochs", "1", "--batch-size", "8", "--runs", "tuned"],
        ["lr-find", "shapes", *tiny, "--cut", "stage3", "--batch-size", "8", "--steps", "10", "--runs", "rates"],
        ["compare", "shapes", *tiny, "--plans", "frozen", "--runs", "compared"],
        ["cache", "verify"],
        ["cache", "prune"],
    )
    assert (first.network(), second.network()) == ([], [])
    assert (first.written(), second.written()) == ([], [])
    assert place.left() == []


def test_a_server_listens_where_it_was_told_to_and_does_nothing_else(place: Place) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    work = place.folder / "work"
    draw_folder(work / "shapes")
    tiny = ["--backbone", "timm:test_efficientnet", "--weights", "random", "--image-size", "64"]
    place.run(["train", "shapes", *tiny])
    (model,) = work.glob("runs/*")
    record = place.folder / "record"
    server = subprocess.Popen(
        place.command(
            record,
            "-c",
            "from warmstart.cli.main import run; run()",
            "serve",
            f"shapes={model}",
            "--port",
            "0",
            "--root",
            str(work),
        ),
        cwd=work,
        env=place.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        said = ""
        while "http://" not in said:
            line = server.stderr.readline()
            assert line, said
            said += line
        address = re.search(r"http://[\d.]+:\d+", said)
        assert address is not None

        def ask(path: str, body: Any = None) -> Any:
            content = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(address[0] + path, content, {"Content-Type": "application/json"})
            while True:
                try:
                    with urllib.request.urlopen(request) as answer:
                        return json.loads(answer.read())
                except urllib.error.HTTPError as refusal:
                    raise AssertionError(refusal.read()) from refusal
                except urllib.error.URLError:  # it says where it will listen before it does
                    assert server.poll() is None
                    time.sleep(0.1)

        ask("/api/models/shapes/export", {"format": "onnx"})
        dataset = ask("/api/datasets", {"folder": str(work / "shapes"), "name": "shapes"})["id"]
        plan = {"backbone": "timm:test_efficientnet", "weights": "random", "image_size_px": 64}
        trained = ask("/api/runs", {"dataset": dataset, "plan": plan})["id"]
        for job in ("/api/models/shapes/export", f"/api/runs/{trained}"):
            while (found := ask(job))["state"] in ("queued", "running"):
                time.sleep(0.2)
            assert found["state"] == "done", found
    finally:
        # strace itself does not listen; the server is the first in its record.
        os.kill(int(record.read_text("utf-8", errors="replace").split(maxsplit=1)[0]), signal.SIGINT)
        server.communicate()
    asked = Record(record, place)
    # A socket that is made, bound to the loopback and accepted from; nothing that is connected or sent to.
    listening = re.compile(
        r"^: (socket\(AF_INET|bind\(.*inet_addr\(\"127\.0\.0\.1\"\)|accept4?\(.*inet_addr\(\"127\.0\.0\.1\"\))"
    )
    network = asked.network()
    assert [call for call in network if not listening.match(call)] == []
    assert sum(call.startswith(": bind(") for call in network) == 1
    assert asked.written() == []
    assert place.left() == []
