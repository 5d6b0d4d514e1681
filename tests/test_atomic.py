"""A file is the old one or the new one: killed at every line, out of room, in the way of another."""

import errno
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from warmstart import atomic
from warmstart.atomic import PARTIAL, recover, replaced, replaced_folder, require_writable, write_asked, write_bytes, write_text
from warmstart.errors import MachineError, UsageError

# A child for each line of the writer, killed there; the last one comes to its end.
KILLED_AT_EVERY_LINE = """
import os, sys
from pathlib import Path
from warmstart import atomic, refusals

folder, kind, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if way == "aside":
    atomic._exchanged = lambda one, other: False
OF_THE_WRITER = {atomic.__file__, refusals.__file__}
place = folder / "thing"

def old():
    if kind == "file":
        place.write_bytes(b"old" * 1000)
    else:
        place.mkdir()
        (place / "a").write_bytes(b"old" * 1000)
        (place / "b").write_bytes(b"old")

def write():
    if kind == "file":
        atomic.write_bytes(place, b"new" * 2000)
    else:
        with atomic.replaced_folder(place) as fresh:
            (fresh / "a").write_bytes(b"new" * 2000)
            (fresh / "c").write_bytes(b"new")

def content():
    if kind == "file":
        return place.read_bytes()
    atomic.recover(place)
    return {file.name: file.read_bytes() for file in place.iterdir()}

def clean():
    import shutil
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()

old()
before = content()
write()
after = content()
assert before != after
line, survived, found = 0, False, set()
while not survived:
    line += 1
    clean()
    old()
    child = os.fork()
    if child == 0:
        left = line
        def trace(frame, event, argument):
            global left
            if frame.f_code.co_filename not in OF_THE_WRITER:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os._exit(9)
            return trace
        sys.settrace(trace)
        write()
        os._exit(0)
    survived = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    seen = content()
    assert seen in (before, after), (line, seen)
    found.add("new" if seen == after else "old")
    write()  # the next writer
    assert content() == after, line
    assert [path.name for path in folder.iterdir()] == ["thing"], (line, list(folder.iterdir()))
print(line, sorted(found))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(("kind", "way"), [("file", ""), ("folder", ""), ("folder", "aside")])
def test_killed_at_any_line_there_is_the_old_or_the_new_and_the_next_writer_leaves_nothing_else(
    kind: str, way: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED_AT_EVERY_LINE, str(tmp_path), kind, way]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    lines, states = result.stdout.split(" ", 1)
    assert int(lines) > 30
    assert states.strip() == "['new', 'old']"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("step", ["fsync", "replace", "open"])
def test_a_step_that_the_machine_refuses_leaves_the_old_file_and_says_path_reason_and_cure(
    number: int, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path if step == "replace" else os, step, refuse)
    with pytest.raises(MachineError, match=r"run\.json' cannot be written: .+\. [A-Z][^.]+\.") as caught:
        write_text(path, "new")
    assert caught.value.errno == number
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_filled_leaves_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "model"
    place.mkdir()
    (place / "a").write_text("old")
    with pytest.raises(MachineError, match="disk is full"), replaced_folder(place) as fresh:  # noqa: PT012
        (fresh / "a").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (place / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_what_is_no_refusal_of_the_machine_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError), replaced(tmp_path / "x"):
        raise KeyError("ours")
    assert list(tmp_path.iterdir()) == []


def test_a_live_writer_is_not_swept(tmp_path: Path) -> None:
    with replaced(tmp_path / "one") as fresh:
        fresh.write_text("1")
        write_text(tmp_path / "two", "2")
        with replaced_folder(tmp_path / "three") as folder:
            (folder / "x").touch()
            write_text(tmp_path / "four", "4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["four", "one", "three", "two"]
    assert (tmp_path / "one").read_text() == "1"


def test_what_looks_otherwise_is_not_swept(tmp_path: Path) -> None:
    kept = {".x.partial", "x.tmp", ".hidden"}
    for name in (*kept, f".left.12345678{PARTIAL}"):
        (tmp_path / name).touch()
    write_text(tmp_path / "new", "")
    assert {path.name for path in tmp_path.iterdir()} == kept | {"new"}


def test_a_folder_moved_aside_comes_back(tmp_path: Path) -> None:
    aside = tmp_path / ".model.warmstart-before"
    aside.mkdir()
    (aside / "a").touch()
    recover(tmp_path / "model")
    assert (tmp_path / "model" / "a").is_file()
    recover(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(os.name != "posix", reason="permissions, links and pipes of POSIX")
def test_permissions_are_kept_and_links_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "real.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("new", 0o640)
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "fresh", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o644


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    write_text(Path(f"/dev/fd/{writer}"), "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    os.close(writer)


def test_a_name_as_long_as_it_may_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_text(path, "long")
    assert path.read_text() == "long"
    with pytest.raises(MachineError, match="longer than the file system allows"):
        write_text(tmp_path / ("n" * 256), "too long")


def test_a_result_that_finds_no_room_is_kept_elsewhere_and_it_is_said_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(atomic, "_other_places", lambda: iter([str(other)]))
    wanted = tmp_path / "full" / "predictions.csv"
    wanted.parent.mkdir()
    monkeypatch.setattr(Path, "replace", _refusing(wanted.parent, Path.replace))
    with pytest.raises(MachineError, match=r"--csv: .*disk is full.* kept in .*predictions\.csv\.") as caught:
        write_asked("--csv", wanted, b"a,b")
    (kept,) = other.glob("warmstart-kept-*/predictions.csv")
    assert str(kept) in str(caught.value)
    assert kept.read_bytes() == b"a,b"
    assert list(wanted.parent.iterdir()) == []


def _refusing(folder: Path, sound: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    def replace(self: Path, target: Path) -> Path:
        if self.is_relative_to(folder):
            raise OSError(errno.ENOSPC, "No space left on device")
        return sound(self, target)

    return replace


@pytest.mark.parametrize("name", ["no/such/file.csv", ".", "file/x.csv"])
def test_a_path_that_is_a_slip_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--csv .* cannot be written \(.+\); name another file"):
        require_writable("--csv", tmp_path / name)
    require_writable("--csv", tmp_path / "good.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture
def limited_files() -> Iterator[None]:
    """No file of this process may be longer than 100,000 bytes."""
    resource = pytest.importorskip("resource", reason="no limits on Windows")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("limited_files")
@pytest.mark.parametrize("library", ["python", "safetensors", "torch", "onnx", "matplotlib", "zip"])
def test_a_file_that_grows_too_large_is_told_whatever_library_writes_it(library: str, tmp_path: Path) -> None:
    path = tmp_path / "large.thing"
    path.write_text("old")
    with pytest.raises(MachineError, match=r"large\.thing' cannot be written: the file would be larger") as caught:
        _write_large(library, path)
    assert caught.value.errno == errno.EFBIG
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _write_large(library: str, path: Path) -> None:
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    if library == "python":
        write_bytes(path, pixels.tobytes())
        return
    with replaced(path) as fresh:
        if library == "safetensors":
            from safetensors.numpy import save_file

            save_file({"pixels": pixels}, fresh)
        elif library == "torch":
            import torch

            torch.save({"pixels": torch.from_numpy(pixels)}, fresh)
        elif library == "onnx":
            onnx = pytest.importorskip("onnx")
            onnx.save(onnx.ModelProto(doc_string="x" * 400_000), fresh)
        elif library == "matplotlib":
            from matplotlib.figure import Figure

            figure = Figure()
            figure.figimage(pixels)
            figure.savefig(fresh, format="png")
        else:
            import zipfile

            with zipfile.ZipFile(fresh, "w") as archive:
                archive.writestr("pixels", pixels.tobytes())


@pytest.mark.usefixtures("limited_files")
def test_openvino_says_nothing_and_the_folder_is_asked(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from warmstart.engines.openvino import converted, save

    class Wide(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(100, 400)

        def forward(self, pixels: Any) -> Any:
            return self.linear(pixels.float())

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it traces
        graph = converted(Wide(), 100)
    with (
        pytest.raises(MachineError, match="the file would be larger"),
        replaced_folder(tmp_path / "graph") as fresh,
    ):
        save(graph, fresh / "graph.xml", half=False)
    assert list(tmp_path.iterdir()) == []
