"""What a list of runs says of each: for any task, and of a record that cannot be read."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from warmstart.plan import Plan
from warmstart.records import Cache
from warmstart.report.run_record import DataRecord, RunRecord
from warmstart.serve.places import Places
from warmstart.serve.run_routes import brief
from warmstart.serve.settings import ServeSettings
from warmstart.session.outcome import Run
from warmstart.tasks.regress.scores import score

JOB = {"id": "run-1", "kind": "train", "dataset": "d", "message": None, "seconds": None, "state": "done"}


@pytest.fixture
def told(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """What is said of a run with this run.json."""
    (tmp_path / "run-1").mkdir()
    server: Any = SimpleNamespace(
        jobs=SimpleNamespace(runs=tmp_path),
        places=Places(ServeSettings(home=tmp_path)),
        datasets=SimpleNamespace(get=lambda _: SimpleNamespace(source=tmp_path, name="pets")),
    )

    def of(record: str) -> dict[str, Any]:
        (tmp_path / "run-1" / "run.json").write_text(record, "utf-8")
        return brief(server, dict(JOB))

    return of


def test_of_classes_it_is_five_numbers_a_split(told: Callable[[str], dict[str, Any]], trained: Run) -> None:
    record = (trained.folder / "run.json").read_text("utf-8")
    of_run = json.loads(record)
    keys = ("n", "accuracy", "accuracy_ci95", "macro_f1", "majority_accuracy")
    found = told(record)
    assert json.dumps(found["scores"]) == json.dumps(
        {split: {key: of_run["scores"][split][key] for key in keys} for split in ("val", "test")}
    )
    assert (found["model"], found["seconds"]) == ("run-1", of_run["seconds"]["total"])
    of_run["scores"]["test"] = None
    assert told(json.dumps(of_run))["scores"]["test"] is None


def test_of_another_task_it_is_what_its_scores_are(told: Callable[[str], dict[str, Any]]) -> None:
    numbers = np.arange(8.0)[:, None]
    scores = score(numbers, numbers + 1, names=("red",), usual=((3.5, 3.5),), ends=None, coverage=None, used_for_choosing=False)
    record = RunRecord(
        data=DataRecord(source="cells", images=8),
        plan=Plan(task="regress", target=("red",)),
        scores={"test": scores},
        seconds={"total": 2.0},
        images_per_second=None,
        cache=Cache(hits=8, misses=0),
        run_dir="runs/x",
    )
    found = told(json.dumps(record.to_dict()))
    assert found["scores"]["val"] is None
    assert found["scores"]["test"]["mae"] == 1.0
    assert found["scores"]["test"] == json.loads(json.dumps(scores.to_dict()))


@pytest.mark.parametrize("record", ["", "[]", '{"scores": {}}'])
def test_of_a_record_that_cannot_be_read_it_is_nothing(told: Callable[[str], dict[str, Any]], record: str) -> None:
    found = told(record)
    assert (found["scores"], found["model"], found["dataset_name"]) == (None, None, "pets")
