"""When a server takes a model for another one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from warmstart.serve.registry import _signature


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two model folders whose files have the same names, sizes and times, and a network exported beside another one's."""
    for name in "ab":
        (tmp_path / name).mkdir()
        for file in ("model.json", "model.safetensors"):
            (tmp_path / name / file).write_text(name * 10)
            os.utime(tmp_path / name / file, (1_000_000, 1_000_000))
    for name in ("net.xml", "net.bin", "other.bin"):
        (tmp_path / name).write_text("a" * 10)
    return tmp_path


def rewritten(path: Path) -> None:
    before = path.stat()
    path.write_text("c" * 10)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "files of the same size and time copied over": lambda models: [
        shutil.copy2(path, models / "a" / path.name) for path in (models / "b").iterdir()
    ],
    "a folder of the same sizes and times moved into its place": lambda models: (
        (models / "a").rename(models / "away"),
        (models / "b").rename(models / "a"),
    ),
    "written anew, and its time set back": lambda models: rewritten(models / "a" / "model.safetensors"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_model_of_the_same_size_and_time_is_another(change: str, models: Path) -> None:
    before = _signature(models / "a")
    assert _signature(models / "a") == before
    CHANGES[change](models)
    assert len(_signature(models / "a")) == 2
    assert _signature(models / "a") != before


def test_the_weights_beside_an_exported_file_are_part_of_it_and_those_of_another_are_not(models: Path) -> None:
    before = _signature(models / "net.xml")
    (models / "other.bin").write_text("another")
    assert _signature(models / "net.xml") == before
    rewritten(models / "net.bin")
    assert _signature(models / "net.xml") != before
