"""The pictures that an export is proved on are found from any working folder."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from drawn_shapes import draw_folder
from warmstart.data.hashing import digest_file
from warmstart.session.outcome import Run
from warmstart.session.progress import NullProgress
from warmstart.task_registry import find_task
from warmstart.workflows.export_pictures import calibration_pictures, held_out_pictures


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
    found = held_out_pictures(tiny.model, str(relative), None, most=100, watcher=NullProgress())
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
    assert held_out_pictures(tiny.model, str(relative), None, most=100, watcher=NullProgress()).paths
    shutil.rmtree(tmp_path / "home" / "shapes")
    assert "are gone" in held_out_pictures(tiny.model, str(relative), None, most=100, watcher=NullProgress()).why_none


def test_pictures_of_unknown_classes_have_no_label_and_those_that_were_learnt_from_are_left_out(
    tiny: Run, tmp_path: Path
) -> None:
    source = Path(tiny.record.data.source)
    draw_folder(tmp_path / "new", 2, first_seed=70, classes=("circle",))
    (tmp_path / "new" / "circle").rename(tmp_path / "new" / "unheard-of")
    shutil.copytree(source / "square", tmp_path / "new" / "square")
    found = held_out_pictures(tiny.model, str(source), str(tmp_path / "new"), most=100, watcher=NullProgress())
    learnt = set(tiny.model.about["trained_on"])
    assert not [path for path in found.paths if digest_file(path).hex() in learnt]
    square = tiny.model.class_names.index("square")
    labels = find_task("classify").targets_for(tiny.model.fitted, found.examples).labels.tolist()
    assert labels == [square if Path(path).parent.name == "square" else -1 for path in found.paths]
    assert sum(label == -1 for label in labels) == 2


def test_int8_is_calibrated_with_pictures_that_were_learnt_from_and_none_of_test(tiny: Run, tmp_path: Path) -> None:
    with (tiny.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        test = {row["path"] for row in csv.DictReader(file)}
    chosen = calibration_pictures(tiny.model, str(tiny.folder), None, most=1000, watcher=NullProgress())
    assert test
    assert not test & set(chosen)
    assert len(chosen) == tiny.record.data.splits["train"] + tiny.record.data.splits["val"]
    named = calibration_pictures(tiny.model, str(tiny.folder), str(tiny.record.data.source), most=5, watcher=NullProgress())
    assert len(named) == 5
    assert set(named) <= set(chosen)
