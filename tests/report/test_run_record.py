"""run.json read back: what was written, typed; and what is said of one that cannot be read."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from warmstart.errors import InputError
from warmstart.plan import Plan
from warmstart.records import Notice, Problem, Scores, to_json
from warmstart.report.run_record import RECORD_FORMAT, DataRecord, HistoryRow, RunRecord, TrainingRecord, read_data, read_record
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import train


@pytest.fixture(scope="module")
def folder(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan, runs = Plan(cut="pooled", image_size_px=64), tmp_path_factory.mktemp("runs")
    return train(str(shapes), plan, TrainSettings(runs=runs, findings=False, report=False)).folder


def test_a_record_is_what_was_written(folder: Path) -> None:
    text = (folder / "run.json").read_text("utf-8")
    document, record = json.loads(text), read_record(folder)
    assert to_json(record.to_dict()) == text  # to the byte
    assert document["format"] == RECORD_FORMAT
    assert isinstance(record.scores["test"], Scores)
    assert record.plan.cut == "pooled"
    assert record.task == "classify"


def test_a_record_from_before_keys_existed_has_them_empty(folder: Path, tmp_path: Path) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    old = {key: document[key] for key in ("data", "plan", "scores")}
    (tmp_path / "run.json").write_text(json.dumps(old))
    record = read_record(tmp_path)
    assert (record.trust, record.training, record.cache.misses) == ({}, None, 0)
    assert record.scores["test"] == read_record(folder).scores["test"]
    assert record.run_dir == str(tmp_path)


@pytest.mark.parametrize(
    "keys",
    [
        ("format",),
        ("format", "run_dir", "seconds", "cache", "engine", "choice", "trust", "training", "parameters", "advice", "forecast"),
        ("data.working_folder", "data.seen", "data.notices", "data.fixes", "data.kept_together", "data.licence"),
        ("plan.keep_damaged", "plan.unfreeze", "plan.training", "scores.val", "machine", "versions", "images_per_second"),
    ],
)
def test_a_record_from_before_keys_existed_is_written_again_without_them(folder: Path, keys: tuple[str, ...]) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    for key in keys:
        part, _, name = key.rpartition(".")
        del (document[part] if part else document)[name]
    assert to_json(RunRecord.from_dict(document).to_dict()) == to_json(document)


def test_what_a_newer_version_has_added_is_left_alone(folder: Path) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    document["data"]["problems"] = [{"path": "a.jpg", "kind": "truncated", "message": "a.jpg ends early"}]
    document["training"] = json.loads(to_json(TRAINING.to_dict()))
    known = RunRecord.from_dict(document)
    added = json.loads(json.dumps(document))
    for part in (added, added["data"]["problems"][0], added["training"], added["training"]["epochs"][0], added["cache"]):
        part["of a later day"] = 3
    assert RunRecord.from_dict(added) == known


TRAINING = TrainingRecord(
    end="patience ran out",
    best_epoch=1,
    epochs=(
        HistoryRow(
            cut="stage5", epoch=1, step=9, train_loss=None, val_loss=0.5, val={"calibrated_loss": 0.4, "accuracy": 0.75},
            best=True, learning_rate=1e-3, seconds=1.5, elapsed_seconds=2.5,
        ),
    ),
    settings={"epochs": 3},
    execution={"device": "cpu"},
    images_per_second=80.0,
)  # fmt: skip
OF_A_NETWORK = {
    "prefix_digest": "d",
    "trained_stages": ("stage6", "stage7"),
    "frozen": {"names": ["stage6.bn"], "digest": "e"},
    "phases": ({"cut": "stage5", "end": "patience ran out", "prefix_digest": "d"},),
}


@pytest.mark.parametrize("more", [{}, OF_A_NETWORK])
def test_what_training_said_comes_back(more: dict[str, Any]) -> None:
    training = dataclasses.replace(TRAINING, **more)
    document = json.loads(to_json(training.to_dict()))
    assert not set(OF_A_NETWORK) & set(document) - set(more)
    assert list(document["epochs"][0])[4:8] == ["val_loss", "val_calibrated_loss", "val_accuracy", "best"]
    assert TrainingRecord.from_dict(document) == training


def test_what_the_data_was_comes_back_with_what_the_task_says_of_it() -> None:
    data = DataRecord(
        source="pets",
        images=3,
        of_task={"targets": {"red": {"min": 0.0}}},
        problems=(Problem(path="a.jpg", kind="truncated", message="a.jpg ends early"),),
        notices=(Notice(kind="cropped", message="much is cut off", pictures=2, paths=("a.jpg", "b.jpg")),),
    )
    document = json.loads(to_json(data.to_dict()))
    assert list(document)[:4] == ["source", "working_folder", "images", "targets"]
    assert document["notices"] == [
        {"kind": "cropped", "message": "much is cut off", "pictures": 2, "paths": ["a.jpg", "b.jpg"]}
    ]
    assert DataRecord.from_dict(document) == data


def test_the_data_of_a_run_is_known_whatever_its_task(folder: Path, tmp_path: Path) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    document["plan"]["task"] = "unheard"
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert read_data(tmp_path / "run.json") == read_record(folder).data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "has format 9, this warmstart reads up to 1: update warmstart"),
        ({"plan": {"cut": 3}}, r"is not the record of a run \(UsageError"),
        ({"plan": {"task": "unheard"}}, r"is not the record of a run \(UnknownNameError: unknown task 'unheard'"),
        ({"scores": {"test": {"n": 3}}}, r"is not the record of a run \(KeyError"),
        ({"scores": 3}, r"is not the record of a run \(AttributeError"),
        ({"data": {}}, r"is not the record of a run \(KeyError: 'source'"),
        ({"data": {"source": 3, "images": 1}}, r"is not the record of a run \(TypeError: 'source' is 3, expected a text"),
        ({"seconds": 3}, r"is not the record of a run \(TypeError: 'seconds' is 3, expected an object"),
        ({"training": {"end": "x"}}, r"is not the record of a run \(KeyError: 'epochs'"),
    ],
)
def test_what_is_no_record_is_refused_by_name(change: dict[str, object], message: str, folder: Path, tmp_path: Path) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    (tmp_path / "run.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(InputError, match=message):
        read_record(tmp_path)
    with pytest.raises(InputError, match="is not a finished run: it does not exist"):
        read_record(tmp_path / "none")
