"""run.json read back: what was written, typed; and what is said of one that cannot be read."""

import json
from pathlib import Path

import pytest

from warmstart.errors import InputError
from warmstart.plan import Plan
from warmstart.records import RECORD_FORMAT, Scores
from warmstart.report.run_record import read_record
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import train


@pytest.fixture(scope="module")
def folder(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan, runs = Plan(cut="pooled", image_size_px=64), tmp_path_factory.mktemp("runs")
    return train(str(shapes), plan, TrainSettings(runs=runs, findings=False, report=False)).folder


def test_a_record_is_what_was_written(folder: Path) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    record = read_record(folder)
    assert json.loads(json.dumps(record.to_dict())) == document
    assert document["format"] == RECORD_FORMAT
    assert isinstance(record.scores["test"], Scores)
    assert record.plan.cut == "pooled"
    assert record.task == "classify"


def test_a_record_from_before_keys_existed_has_them_empty(folder: Path, tmp_path: Path) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    old = {key: document[key] for key in ("data", "plan", "scores")}
    (tmp_path / "run.json").write_text(json.dumps(old))
    record = read_record(tmp_path)
    assert (record.trust, record.training, record.cache.misses) == ({}, {}, 0)
    assert record.scores["test"] == read_record(folder).scores["test"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 9}, "has format 9, this warmstart reads up to 1: update warmstart"),
        ({"plan": {"cut": 3}}, r"is not the record of a run \(UsageError"),
        ({"plan": {"task": "unheard"}}, r"is not the record of a run \(UnknownNameError: unknown task 'unheard'"),
        ({"scores": {"test": {"n": 3}}}, r"is not the record of a run \(KeyError"),
        ({"scores": 3}, r"is not the record of a run \(AttributeError"),
    ],
)
def test_what_is_no_record_is_refused_by_name(change: dict[str, object], message: str, folder: Path, tmp_path: Path) -> None:
    document = json.loads((folder / "run.json").read_text("utf-8"))
    (tmp_path / "run.json").write_text(json.dumps({**document, **change}))
    with pytest.raises(InputError, match=message):
        read_record(tmp_path)
    with pytest.raises(InputError, match="is not a finished run: it does not exist"):
        read_record(tmp_path / "none")
