"""A package of invented tasks, installed: metadata with entry points, on the path of this process and of those it starts."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, tasks: dict[str, str], *, name: str = "invented") -> None:
    """``tasks``: name → 'module:object', found below tests/tasks."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    entries = "\n".join(f"{task} = {place}" for task, place in tasks.items())
    (about / "entry_points.txt").write_text(f"[warmstart.tasks]\n{entries}\n")
    for place in (HERE, folder):
        if str(place) not in sys.path:
            monkeypatch.syspath_prepend(str(place))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(HERE), os.environ.get("PYTHONPATH", "")]))
