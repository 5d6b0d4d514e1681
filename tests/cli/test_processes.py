"""What only a process of its own can show: what it imports, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patience import PATIENCE_S
from warmstart.cli.main import run
from warmstart.session.outcome import Run

# argv: a command line. Says on stderr which heavy libraries were imported, after the command is over.
LOOKS = """
import sys
from warmstart.cli.main import run
try:
    run(sys.argv[1:])
finally:
    print("heavy:", sorted({"torch", "timm", "torchvision", "openvino", "sklearn"} & set(sys.modules)), file=sys.stderr)
"""

# argv: a command line. Ctrl-C comes as soon as the first pictures are extracted.
STOPPED = """
import os, signal, sys
from warmstart.cli import main, terminal
def progress(self, phase, done, total, *, note=""):
    if phase == "extracting":
        os.kill(os.getpid(), signal.SIGINT)
terminal.Terminal.progress = progress
# A shell that starts the tests in the background has them ignore Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
main.run(sys.argv[1:])
"""


def python(code: str, *argv: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, argv)]
    env = os.environ | {"PYTHONUTF8": "1"} | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=env, encoding="utf-8")


def test_predicting_with_a_known_model_imports_no_torch(trained: Run, shapes: Path, warm_cache: Path) -> None:
    result = python(LOOKS, "predict", trained.folder, shapes, "--json")
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)["predictions"]) == 24
    (heavy,) = [line for line in result.stderr.splitlines() if line.startswith("heavy:")]
    assert "torch" not in heavy
    assert "timm" not in heavy


def test_help_imports_nothing_heavy() -> None:
    result = python(LOOKS, "train", "--help")
    assert result.returncode == 0
    assert "heavy: []" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals work differently there")
def test_ctrl_c_in_the_middle_of_an_extraction_exits_with_130_and_leaves_no_run_folder(
    trained: Run, shapes: Path, warm_cache: Path, tmp_path: Path
) -> None:
    arguments = ["train", shapes, "--image-size", "64", "--views", "flip", "--runs", tmp_path / "runs", "--json"]
    result = python(STOPPED, *arguments)
    assert result.returncode == 130, result.stderr
    assert result.stdout == ""
    assert "stopped" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes work differently there")
def test_a_reader_that_is_gone_and_a_terminal_without_unicode_are_no_faults(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", LOOKS, "backbones"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False)
    os.close(write)
    assert result.returncode in (0, 1)
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr

    (tmp_path / "日本").mkdir()
    ascii_only = python(LOOKS, "inspect", tmp_path / "日本", PYTHONIOENCODING="ascii")
    assert ascii_only.returncode == 1
    assert r"\u65e5\u672c" in ascii_only.stderr


def test_threads_of_torch_sleep_while_they_wait_unless_the_user_has_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for before, after in ((None, "PASSIVE"), ("ACTIVE", "ACTIVE")):
        if before is None:
            monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        else:
            monkeypatch.setenv("OMP_WAIT_POLICY", before)
        with pytest.raises(SystemExit):
            run(["--version"])
        assert os.environ["OMP_WAIT_POLICY"] == after
