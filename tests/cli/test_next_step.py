"""The demo ends with a command that can be typed."""

import sys
from pathlib import Path

import pytest

from warmstart.cli.terminal import command


@pytest.mark.parametrize(
    ("started", "shown"),
    [
        (".venv/bin/warmstart", ".venv/bin/warmstart"),
        ("{cwd}/.venv/bin/warmstart", ".venv/bin/warmstart"),
        ("{cwd}/my env/bin/warmstart", "'my env/bin/warmstart'"),
        ("/elsewhere/bin/warmstart", "/elsewhere/bin/warmstart"),
        ("/usr/lib/pytest/__main__.py", "warmstart"),
        ("-c", "warmstart"),
    ],
)
def test_the_next_command_is_the_one_that_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started: str, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", [started.format(cwd=tmp_path)])
    assert command() == shown


def test_a_program_that_the_shell_finds_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "warmstart"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert command() == "warmstart"
