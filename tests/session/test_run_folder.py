"""A run folder under kills and refusals: what can be gone on with stays so, what is finished is finished, none is without a model."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from warmstart.errors import InputError, MachineError
from warmstart.model.predictor import Model, load
from warmstart.plan import Plan
from warmstart.report.run_record import HistoryRow
from warmstart.session.loop_run import _up_to
from warmstart.session.progress import NullProgress
from warmstart.session.run_folder import RECORD, START, is_finished, read_start, sweep
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.task import TASK
from warmstart.training.checkpoint import Position
from warmstart.training.objective import ValScores
from warmstart.workflows.reported import reported
from warmstart.workflows.train import train

if TYPE_CHECKING:
    from warmstart.session.outcome import Run

# `write_run` and what comes before it, killed whenever it opens, renames or removes a file.
KILLED_AT_EVERY_FILE = """
import os, shutil, sys
from pathlib import Path
from warmstart.plan import Plan
from warmstart.session.run_folder import START, Table, is_finished, read_start, write_run, write_start
from warmstart.session.settings import TrainSettings

class Record:
    plan = Plan(cut="stage5")
    def to_dict(self):
        return {"scores": {}, "filling": "x" * 10_000}

home = Path(sys.argv[1])
data = home / "data"
data.mkdir()
events, survived = 0, False
while not survived:
    events += 1
    folder = home / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_start(folder, str(data), Record.plan, TrainSettings())
    (folder / "checkpoint-stage5.safetensors").write_bytes(b"1")
    child = os.fork()
    if child == 0:
        left = events
        def count(event, arguments):
            global left
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.scandir"):
                left -= 1
                if left == 0:
                    os._exit(9)
        sys.addaudithook(count)
        write_run(folder, Record(), Table(columns=("path", "true", "predicted", "probability"), rows=(("a.png", "a", "b", "0.500000"),)))
        os._exit(0)
    survived = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    if is_finished(folder):
        assert (folder / "predictions.csv").read_text().endswith("a.png,a,b,0.500000\\n")
    else:
        assert read_start(folder)[1] == Record.plan, events
        assert (folder / "checkpoint-stage5.safetensors").is_file(), events
assert is_finished(folder)
assert sorted(path.name for path in folder.iterdir()) == ["plan.json", "predictions.csv", "run.json"]
print(events)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_killed_while_it_is_written_a_run_can_be_gone_on_with_or_is_finished(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_FILE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert int(result.stdout) > 15


def test_a_record_that_an_older_version_left_empty_is_not_taken_for_a_finished_run(tmp_path: Path) -> None:
    (tmp_path / RECORD).touch()
    assert not is_finished(tmp_path)
    (tmp_path / START).write_text("")
    with pytest.raises(InputError, match=r"start\.json cannot be read .*start a new run"):
        read_start(tmp_path)


def test_a_finished_run_whose_leftovers_were_not_removed_is_finished(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{}")
    for name in (START, "checkpoint-stage5.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="finished"):
        read_start(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [RECORD]
    sweep(tmp_path)


def test_a_model_that_finds_no_room_is_kept_elsewhere_and_no_run_folder_stays(
    trained: "Run", warm_cache: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, runs, other = Model.save, tmp_path / "runs", tmp_path / "other"
    other.mkdir()

    def save(self: Model, folder: Path) -> None:
        if Path(folder).is_relative_to(runs):
            raise MachineError("no room", errno.ENOSPC)
        sound(self, folder)

    monkeypatch.setattr(Model, "save", save)
    monkeypatch.setattr("warmstart.atomic._other_places", lambda: iter([str(other)]))
    with pytest.raises(MachineError, match=r"no room The trained model is kept in .*: move it"):
        train(str(shapes), Plan(image_size_px=64), TrainSettings(runs=runs, report=False, findings=False))
    assert list(runs.iterdir()) == []
    (kept,) = other.glob("warmstart-kept-*/model")
    picture = next(shapes.rglob("*.png"))
    assert load(kept).predict(picture).class_name == trained.model.predict(picture).class_name


def test_a_report_that_finds_no_room_costs_no_run(trained: "Run", monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MachineError("no room", errno.ENOSPC)

    said: list[str] = []

    class Listening(NullProgress):
        def say(self, sentence: str) -> None:
            said.append(sentence)

    monkeypatch.setattr("warmstart.workflows.report.report", full)
    with Session.opened(TrainSettings(findings=False), TASK, Listening()) as session:
        assert reported(trained, None, session) is trained  # type: ignore[arg-type]
    assert "the report was not written: no room" in said[0]
    assert f"warmstart report {trained.folder}" in said[0]


def test_a_run_is_refused_before_its_work_where_the_disk_has_no_room_for_it(
    warm_cache: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("warmstart.refusals._free_bytes", lambda _: 2**20)
    with pytest.raises(MachineError, match=r"the run takes [\d.]+ MiB, and the disk of .* has 1\.0 MiB free"):
        train(str(shapes), Plan(image_size_px=64), TrainSettings(runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def _row(epoch: int) -> HistoryRow:
    return HistoryRow(
        cut="stage5", epoch=epoch, step=epoch, train_loss=None, val_loss=0.5, val={"calibrated_loss": 0.4, "accuracy": 0.75}, best=False,
        learning_rate=0.0, seconds=1.0, elapsed_seconds=2.0 + epoch,
    )  # fmt: skip


def test_the_history_goes_as_far_as_the_checkpoint_whenever_the_kill_came() -> None:
    scores = ValScores(loss=0.3, rank=(0.2,), named={"calibrated_loss": 0.2, "accuracy": 0.9})
    position = Position(epoch=2, step=8, best_epoch=2, best=scores, last=scores, last_train_loss=0.1)
    behind = _up_to(position, [_row(0), _row(1)], "stage5")
    assert [row.epoch for row in behind] == [0, 1, 2]
    assert (behind[2].val["accuracy"], behind[2].train_loss, behind[2].best) == (0.9, 0.1, True)
    ahead = _up_to(replace(position, epoch=1), [_row(0), _row(1), _row(2)], "stage5")
    assert ahead == [_row(0), _row(1)]
    kept = json.loads(json.dumps(position.to_dict()))
    assert Position.from_dict(kept) == position
