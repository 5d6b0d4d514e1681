"""What the machine refuses is said in one sentence with exit code 1: full disks, closed streams, pipes that nobody writes to."""

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
from safetensors import SafetensorError

from warmstart import refusals
from warmstart.errors import DataError, MachineError, UsageError
from warmstart.refusals import number_of, refusal, refused, require_file, require_room

RUN = "from warmstart.cli.main import run; run()"
posix = pytest.mark.skipif(os.name != "posix", reason="streams and devices of POSIX")


def _shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = f'exec "{sys.executable}" -c "{RUN}" {" ".join(arguments)} {redirection}'
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=600)


@posix
@pytest.mark.parametrize("arguments", [("backbones",), ("backbones", "--json"), ("cache", "ls"), ("--version",), ("--help",)])
def test_a_full_standard_output_is_one_sentence(arguments: tuple[str, ...]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    result = _shell(">/dev/full", *arguments)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert "cannot be written" in result.stderr


@posix
@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", [("backbones",), ("cache", "ls", "--json"), ("--help",)])
def test_closed_streams_are_no_crash(redirection: str, arguments: tuple[str, ...]) -> None:
    result = _shell(redirection, *arguments)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_no_streams_at_all_as_in_pythonw_are_no_crash() -> None:
    code = f"import sys; sys.stdin = sys.stdout = sys.stderr = None; {RUN}"
    result = subprocess.run([sys.executable, "-c", code, "backbones"], capture_output=True, check=False, timeout=600)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


@posix
def test_a_reader_that_is_gone_is_quiet() -> None:
    result = _shell("| head -c 1", "backbones", "--json")
    assert (result.stdout, result.stderr) == ("{", "") or (result.stdout, result.stderr) == ("[", "")


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "'/x/y' cannot be used: the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/x/y"), "quota"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "permission denied"),
        (OSError(errno.EROFS, "Read-only file system", "/x/y"), "can only be read"),
        (OSError(errno.EFBIG, "File too large", "/x/y"), "ulimit -f"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/x/y"), "longer than the file system allows"),
        (OSError(errno.EMFILE, "Too many open files", "/x/y"), "ulimit -n"),
        (OSError(errno.EIO, "Input/output error", "/x/y"), "Check the disk"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x/y"), "does not exist"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "the disk is full"),
        (SafetensorError("I/O error: File too large (os error 27)"), "ulimit -f"),
        (lmdb.DiskError("mdb_put: No space left on device"), "the disk is full"),
        (sqlite3.OperationalError("database or disk is full"), "code 3"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "too little memory"),
        (ImportError("libtorch.so: failed to map segment from shared object"), "too little memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (MemoryError(), "too little memory"),
        (KeyError("No space left on device"), "code 3"),
        (RuntimeError("a fault"), "code 3"),
    ],
)
def test_every_refusal_ends_with_a_sentence_and_code_1_and_a_fault_of_ours_does_not(
    problem: Exception, words: str, warmstart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise problem

    monkeypatch.setattr("warmstart.workflows.cache.contents", fail)
    result = warmstart("cache", "ls")
    if words == "code 3":
        assert result.code == 3
    else:
        assert (result.code, words in result.said) == (1, True), result.said
        assert "fault" not in result.said


def test_sqlite_tells_by_number(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "small.db")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("INSERT INTO t VALUES (?)", ("x" * 100_000,))
    connection.close()
    assert number_of(caught.value) == errno.ENOSPC


def test_a_cause_is_found_behind_a_librarys_exception() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as reason:
            raise RuntimeError("saving failed") from reason
    except RuntimeError as outer:
        found = refusal(outer, "x")
    assert found is not None
    assert found.errno == errno.ENOSPC


def test_a_disk_without_inodes_is_told_from_a_full_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "statvfs"):
        pytest.skip("no statvfs on this system")
    real = os.statvfs(tmp_path)

    class NoInodes:
        f_files, f_favail, f_bavail = 1000, 0, max(1, real.f_bavail)

    monkeypatch.setattr(os, "statvfs", lambda _: NoInodes)
    assert "inodes are used up" in str(refused(errno.ENOSPC, tmp_path / "x"))


def test_room_is_asked_for_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_room(tmp_path, 10, "the run")
    with pytest.raises(MachineError, match=r"the run takes .* MiB, and the disk of .* has .* MiB free"):
        require_room(tmp_path / "not" / "there", 2**60, "the run")
    monkeypatch.setattr(refusals, "_file_limit", lambda: 1000)
    with pytest.raises(MachineError, match="ulimit -f"):
        require_room(tmp_path, 10, "the run", file_bytes=2000)


@posix
@pytest.mark.parametrize("what", ["pipe", "/dev/zero"])
def test_documents_that_never_end_are_refused_before_they_are_opened(
    what: str, tmp_path: Path, warmstart, shapes: Path
) -> None:
    path = Path(what)
    if what == "pipe":
        path = tmp_path / "pipe.csv"
        os.mkfifo(path)
    for arguments, code in (
        (("inspect", path), 1),
        (("train", path), 1),
        (("train", shapes, "--plan", path), 2),
        (("train", shapes, "--fixes", path), 1),
        (("predict", path, shapes), 1),
        (("train", shapes, "--cut", "pooled", "--weights", path), 1),
    ):
        result = warmstart(*arguments)
        assert result.code == code, (arguments, result.said)
        assert str(path) in result.said
    for error in (UsageError, DataError):
        with pytest.raises(error, match="pipe or device"):
            require_file(path, "x", error)
