"""The pictures that an export is proved on are found from any working folder."""

import json
import shutil
from pathlib import Path

import pytest

from drawn_shapes import draw_folder
from warmstart.workflows.held_out import held_out_pictures
from warmstart.workflows.outcome import Run
from warmstart.workflows.watch import Nobody


@pytest.fixture
def relative(tiny: Run, tmp_path: Path) -> Path:
    """The record and predictions of `tiny`, as if it had been trained in another folder, on relative paths."""
    home, run = tmp_path / "home", tmp_path / "run"
    draw_folder(home / "shapes", 8)
    run.mkdir()
    record = json.loads((tiny.folder / "run.json").read_text("utf-8"))
    record["data"]["working_folder"] = str(home)
    (run / "run.json").write_text(json.dumps(record), "utf-8")
    data = record["data"]["source"]
    table = (tiny.folder / "predictions.csv").read_text("utf-8")
    assert data in table
    (run / "predictions.csv").write_text(table.replace(data, "shapes"), "utf-8")
    return run


def test_test_pictures_are_found_from_another_working_folder(
    relative: Path, tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = held_out_pictures(tiny.model, str(relative), None, most=100, watcher=Nobody())
    assert found.paths
    assert all(Path(path).is_file() for path in found.paths)
    assert found.notes == ()


@pytest.mark.parametrize("record", [None, "{", "[]", '{"data": {}}', '{"data": {"working_folder": 3}}'])
def test_a_record_that_names_no_folder_leaves_paths_as_they_are(
    record: str | None, relative: Path, tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (relative / "run.json").unlink()
    if record is not None:
        (relative / "run.json").write_text(record, "utf-8")
    monkeypatch.chdir(tmp_path / "home")
    assert held_out_pictures(tiny.model, str(relative), None, most=100, watcher=Nobody()).paths
    shutil.rmtree(tmp_path / "home" / "shapes")
    assert "are gone" in held_out_pictures(tiny.model, str(relative), None, most=100, watcher=Nobody()).why_none
