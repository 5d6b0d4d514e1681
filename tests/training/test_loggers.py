"""What training tells, where other tools read it."""

import csv
import os
import sys
from pathlib import Path

import pytest

from warmstart.errors import UsageError
from warmstart.session.settings import LOGGERS as NAMED
from warmstart.training.events import Epoch, Event, Step
from warmstart.training.loggers import COLUMNS, LOGGERS, opened
from warmstart.training.objective import ValScores

TOLD: list[Event] = [
    Epoch(epoch=0, train_loss=None, val=ValScores(loss=1.0, rank=(1.0,), named={"accuracy": 0.5}), best=True, seconds=1.0),
    *(Step(step=n, epoch=1, loss=1 / n, learning_rate=0.1, pictures=8, images_per_second=100.0) for n in (1, 2, 3)),
    Epoch(epoch=1, train_loss=0.6, val=ValScores(loss=0.4, rank=(0.4,), named={"accuracy": 0.8}), best=True, seconds=1.0),
]


def tell(name: str, folder: Path) -> None:
    with opened([name], folder) as loggers:
        for event in TOLD:
            for logger in loggers:
                logger(event)


def test_the_settings_name_those_that_there_are() -> None:
    assert set(NAMED) == set(LOGGERS)


def test_steps_go_into_a_table_that_a_resumed_run_goes_on_with(tmp_path: Path) -> None:
    tell("csv", tmp_path)
    tell("csv", tmp_path)
    with (tmp_path / "steps.csv").open(newline="") as file:
        columns, *rows = csv.reader(file)
    assert tuple(columns) == COLUMNS
    assert [row[0] for row in rows] == ["1", "2", "3"] * 2
    assert float(rows[1][2]) == 0.5


def test_tensorboard_reads_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell("tensorboard", tmp_path)
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(one.step, round(one.value, 3)) for one in found.Scalars("train/loss")] == [(1, 1.0), (2, 0.5), (3, 0.333)]
    assert [(one.step, round(one.value, 3)) for one in found.Scalars("val/accuracy")] == [(0, 0.5), (3, 0.8)]


def test_mlflow_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # its data base needs what mlflow-skinny does not bring
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    tell("mlflow", tmp_path / "run-name")
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.run_name == "run-name"
    assert run.data.metrics["val_accuracy"] == 0.8
    assert mlflow.active_run() is None
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"  # nothing is told to its makers


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_a_library_that_is_not_installed_is_named(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=f"pip install {name}"):
        tell(name, tmp_path)
