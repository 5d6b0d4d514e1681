"""Numbers through every verb, and without any module of classification."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import r2_score

import warmstart as ws
from patience import PATIENCE_S
from warmstart.errors import UsageError
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.predict import predict
from warmstart.workflows.train import train

PLAN = Plan(cut="pooled", target=("dots", "size"), image_size_px=64)

BLOCKED = """
import sys, json
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("warmstart.tasks.classify"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
from contextlib import suppress
from pathlib import Path
from warmstart.plan import Plan
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.training import loop
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.predict import load
from warmstart.workflows.report import report
from warmstart.workflows.train import resume, train
data, out = sys.argv[1:]
out = Path(out)
settings = TrainSettings(runs=out / "runs")
plan = Plan(task="regress", cut="stage5", target=("dots",), image_size_px=64, training={"epochs": 2})
whole = train(data, plan, settings)
class KillError(BaseException): pass
class Killing(NullProgress):
    def epoch(self, row):
        if row.epoch == 1: raise KillError
folder = out / "runs" / "killed"
folder.mkdir()
with suppress(KillError):
    train(data, plan, settings, folder=folder, watcher=Killing())
heard = []
class Listening(NullProgress):
    def say(self, line): heard.append(line)
again = resume(folder, watcher=Listening())
assert any(line.startswith("resumed at step") for line in heard), heard
for name, array in whole.model.fitted.arrays().items():
    assert (array == again.model.fitted.arrays()[name]).all(), name
for name, array in whole.model.tensors.items():
    assert (array == again.model.tensors[name]).all(), name
exported = export(str(whole.folder), ExportSettings(out=out / "exported"))
assert exported.proven
import csv
with open(data) as file:
    one = next(csv.DictReader(file))["path"]
picture = str(Path(data).parent / one)
said = load(whole.folder).predict(picture).values["dots"], load(exported.folder).predict(picture).values["dots"]
assert abs(said[0] - said[1]) < 0.1, said
report(whole.folder)
from starlette.testclient import TestClient
from warmstart.serve.app import make_app
from warmstart.serve.settings import ServeSettings
with TestClient(make_app(ServeSettings(models=(f"m={whole.folder}",), home=out / "home")), base_url="http://127.0.0.1:8000") as client:
    answer = client.post("/api/models/m/predict", files={"file": ("a.png", Path(picture).read_bytes(), "image/png")}).json()
    assert abs(answer["predictions"][0]["values"]["dots"] - said[0]) < 1e-3, answer
    assert client.get("/").status_code == 200
assert not [name for name in sys.modules if name.startswith("warmstart.tasks.classify")]
print(json.dumps(whole.record.to_dict()["scores"]["test"]))
"""


def test_numbers_are_learnt_resumed_exported_served_and_reported_without_a_module_of_classification(
    counts: Path, tmp_path: Path
) -> None:
    program = tmp_path / "blocked.py"
    program.write_text(BLOCKED)
    done = subprocess.run(
        [sys.executable, str(program), str(counts), str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    scores = json.loads(done.stdout.splitlines()[-1])
    for name in ("mae", "rmse", "r2", "spearman", "coverage"):
        assert name in scores
        assert f"{name}_ci95" in scores


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_numbers_of_a_picture_through_every_verb(counts: Path, tmp_path: Path) -> None:
    run = train(str(counts), PLAN, TrainSettings(runs=tmp_path / "runs"))
    assert run.record.plan.task == "regress"
    assert run.scores.test.targets.keys() == {"dots", "size"}
    rows = _rows(run.folder / "predictions.csv")
    by_target = [
        r2_score([float(r[name]) for r in rows], [float(r[f"{name} estimated"]) for r in rows]) for name in ("dots", "size")
    ]
    assert run.scores.test.r2 == pytest.approx(np.mean(by_target), abs=1e-4)
    assert run.scores.test.r2 > 0.3
    loaded = ws.load(run.folder)
    for name, array in run.model.fitted.arrays().items():
        np.testing.assert_array_equal(loaded.fitted.arrays()[name], array)
    (estimate,) = predict(str(run.folder), [rows[0]["path"]], coverage=0.7).predictions
    assert estimate.values["dots"] == pytest.approx(float(rows[0]["dots estimated"]), abs=1e-3)
    low, high = estimate.intervals["dots"]
    assert low < estimate.values["dots"] < high
    held = evaluate(str(run.folder), str(counts))
    assert held.scores.to_dict()["r2"] == pytest.approx(run.scores.test.r2, abs=1e-4)
    with pytest.raises(UsageError, match=r"too few to promise a coverage of 0\.999"):
        predict(str(run.folder), [rows[0]["path"]], coverage=0.999)
    exported = export(str(run.folder), ExportSettings(out=tmp_path / "out"))
    assert ws.load(exported.folder).coverage(0.7) == loaded.coverage(0.7)


def test_no_number_of_test_has_a_part_in_what_is_learnt(counts: Path, tmp_path: Path) -> None:
    rows = _rows(counts)
    splits = ["train"] * 36 + ["val"] * 12 + ["test"] * 12
    runs = []
    for name, change in (("as they are", 0.0), ("others", 1000.0)):
        table = tmp_path / f"{name}.csv"
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "dots", "split"])
            for row, split in zip(rows, splits, strict=True):
                value = float(row["dots"]) + (change if split == "test" else 0)
                writer.writerow([counts.parent / row["path"], value, split])
        plan = Plan(cut="pooled", target=("dots",), image_size_px=64)
        runs.append(train(str(table), plan, TrainSettings(runs=tmp_path / "runs")))
    one, other = (run.model.fitted for run in runs)
    np.testing.assert_array_equal(one.map.coef, other.map.coef)
    np.testing.assert_array_equal(one.map.intercept, other.map.intercept)
    np.testing.assert_array_equal(one.intervals.held_out, other.intervals.held_out)
    assert runs[0].scores.val == runs[1].scores.val
    assert runs[0].scores.test.mae != runs[1].scores.test.mae


def test_robust_learning_bears_slips_in_the_table(counts: Path, tmp_path: Path) -> None:
    rows = _rows(counts)
    table = tmp_path / "slips.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "dots", "split"])
        for i, row in enumerate(rows):
            slip = 400 if i % 9 == 0 and i < 45 else 0
            writer.writerow([counts.parent / row["path"], int(row["dots"]) + slip, "train" if i < 45 else "test"])
    found = {}
    for robust in (False, True):
        plan = Plan(cut="pooled", target=("dots",), image_size_px=64, options={"robust": robust})
        found[robust] = train(str(table), plan, TrainSettings(runs=tmp_path / "runs")).scores.test.mae
    assert found[True] < 0.5 * found[False]
