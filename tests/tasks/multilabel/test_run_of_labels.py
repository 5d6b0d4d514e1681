"""Labels through every verb, and without any module of classification."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

import warmstart as ws
from patience import PATIENCE_S
from warmstart.errors import UsageError
from warmstart.plan import ADVISED, Plan
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.task_registry import find_task
from warmstart.tasks.multilabel.labeller import Labeller
from warmstart.tasks.multilabel.loss import LabelObjective
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.export_pictures import calibration_pictures
from warmstart.workflows.predict import predict
from warmstart.workflows.report import report
from warmstart.workflows.train import train

PLAN = Plan(cut="pooled", image_size_px=64)
NAMES = ("circle", "square", "stripes")

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
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.predict import load
from warmstart.workflows.report import report
from warmstart.workflows.train import resume, train
data, out = sys.argv[1:]
out = Path(out)
settings = TrainSettings(runs=out / "runs")
plan = Plan(cut="stage5", task="multilabel", image_size_px=64, training={"epochs": 2}, options={"loss": "asymmetric"})
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
picture = str(Path(data).parent / "3.png")
said = load(whole.folder).predict(picture).probabilities, load(exported.folder).predict(picture).probabilities
assert all(abs(said[0][name] - said[1][name]) < 0.05 for name in said[0]), said
report(whole.folder)
from starlette.testclient import TestClient
from warmstart.serve.app import make_app
from warmstart.serve.settings import ServeSettings
with TestClient(make_app(ServeSettings(models=(f"m={whole.folder}",), home=out / "home")), base_url="http://127.0.0.1:8000") as client:
    answer = client.post("/api/models/m/predict", files={"file": ("a.png", Path(picture).read_bytes(), "image/png")}).json()
    (one,) = answer["predictions"]
    assert set(one["labels"]) <= set(one["probabilities"]) == {"circle", "square", "stripes"}, answer
    assert "says which of 3 labels" in client.get("/models/m").text
    assert "tells 3 labels" in client.get("/").text
assert not [name for name in sys.modules if name.startswith("warmstart.tasks.classify")]
print(json.dumps(whole.record.to_dict()["scores"]["test"]))
"""


def test_labels_are_learnt_resumed_exported_served_and_reported_without_a_module_of_classification(
    shapes: Path, tmp_path: Path
) -> None:
    program = tmp_path / "blocked.py"
    program.write_text(BLOCKED)
    done = subprocess.run(
        [sys.executable, str(program), str(shapes), str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    scores = json.loads(done.stdout.splitlines()[-1])
    for name in ("map_macro", "map_micro", "f1_micro", "f1_macro", "hamming", "lrap", "subset_accuracy"):
        assert name in scores
        assert f"{name}_ci95" in scores


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_labels_through_every_verb(shapes: Path, tmp_path: Path) -> None:
    run = train(str(shapes), PLAN, TrainSettings(runs=tmp_path / "runs"))
    assert run.record.plan.task == "multilabel"
    assert run.record.choice["method"] == "folds"
    assert not run.scores.val.used_for_choosing
    rows = _rows(run.folder / "predictions.csv")
    truth = np.array([[name in row["labels"].split(";") for name in NAMES] for row in rows])
    p = np.array([[float(row[f"{name} probability"]) for name in NAMES] for row in rows])
    assert run.scores.test.map_macro == pytest.approx(average_precision_score(truth, p, average="macro"), abs=1e-3)
    assert run.scores.test.map_macro > 0.8 > run.scores.test.map_macro_of_prior
    loaded = ws.load(run.folder)
    for name, array in run.model.fitted.arrays().items():
        np.testing.assert_array_equal(loaded.fitted.arrays()[name], array)
    (one,) = predict(str(run.folder), [rows[0]["path"]], coverage=0.7).predictions
    assert set(one.labels) == set(rows[0]["said"].split(";")) - {"none"}
    assert one.probabilities["circle"] == pytest.approx(float(rows[0]["circle probability"]), abs=1e-3)
    assert one.coverage == 0.7
    assert one.with_recall is not None
    held = evaluate(str(run.folder), str(shapes))
    assert held.scores.to_dict()["map_macro"] == pytest.approx(run.scores.test.map_macro, abs=1e-4)
    with pytest.raises(UsageError, match=r"too few to promise a recall of 0\.999"):
        predict(str(run.folder), [rows[0]["path"]], coverage=0.999)
    exported = export(str(run.folder), ExportSettings(out=tmp_path / "out"))
    assert exported.proven
    assert exported.parity.map_before == pytest.approx(run.scores.test.map_macro, abs=1e-3)  # type: ignore[attr-defined]
    assert ws.load(exported.folder).coverage(0.7) == loaded.coverage(0.7)
    by_table = export(str(run.folder), ExportSettings(out=tmp_path / "other", pictures=str(shapes)))
    assert by_table.parity.map_before is not None  # type: ignore[attr-defined]
    page = Path(report(run.folder).path).read_text("utf-8")
    for words in ("the mean average precision over labels is", "Average precision of each label", "over its probability"):
        assert words in page


def test_columns_of_0_and_1_with_gaps_through_every_verb(shapes: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = shapes.parent / "columns.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *NAMES])
        for row in _rows(shapes):
            own = row["labels"].split(";")
            writer.writerow([row["path"], *("" if random.random() < 0.2 else int(name in own) for name in NAMES)])
    plan = Plan(cut="pooled", task="multilabel", target=NAMES, image_size_px=64, options={"recall": 0.9})
    run = train(str(table), plan, TrainSettings(runs=tmp_path / "runs"))
    assert any(one["unknown"] for one in run.record.data.of_task["labels"].values())
    assert run.scores.test.recall_asked == 0.9
    assert len(set(run.model.fitted.thresholds.tolist())) == 1  # recall is promised for one threshold
    rows = _rows(run.folder / "predictions.csv")
    assert {row["circle"] for row in rows} <= {"", "0", "1"}
    assert evaluate(str(run.folder), str(table)).scores.map_macro == pytest.approx(run.scores.test.map_macro, abs=1e-4)
    exported = export(str(run.folder), ExportSettings(out=tmp_path / "out"))
    assert exported.parity.map_before is not None  # type: ignore[attr-defined]
    assert ws.load(exported.folder).predict(rows[0]["path"]).labels == ws.load(run.folder).predict(rows[0]["path"]).labels
    model, watcher = ws.load(run.folder), NullProgress()
    assert len(calibration_pictures(model, str(run.folder), None, most=8, watcher=watcher)) == 8  # type: ignore[arg-type]
    assert len(calibration_pictures(model, str(run.folder), str(table), most=8, watcher=watcher)) == 8  # type: ignore[arg-type]


def test_a_label_that_the_model_does_not_know_is_named_and_not_counted(shapes: Path, tmp_path: Path) -> None:
    run = train(str(shapes), PLAN, TrainSettings(runs=tmp_path / "runs"))
    table = shapes.parent / "foreign.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "labels"])
        for row in _rows(shapes):
            writer.writerow([row["path"], row["labels"] if row["labels"] == "-" else f"{row['labels']};star"])
    found = evaluate(str(run.folder), str(table))
    (problem,) = [problem for problem in found.problems if problem.kind == "foreign-label"]
    assert problem.message == "labels star are not among the model's (circle, square, stripes); they are not counted."
    assert found.scores.map_macro == pytest.approx(run.scores.test.map_macro, abs=1e-4)


def test_no_label_of_test_has_a_part_in_what_is_learnt(shapes: Path, tmp_path: Path) -> None:
    rows = _rows(shapes)
    splits = ["train"] * 54 + ["val"] * 18 + ["test"] * 18
    runs = []
    for name in ("as they are", "turned round"):
        table = tmp_path / f"{name}.csv"
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "labels", "split"])
            for row, split in zip(rows, splits, strict=True):
                own = set(row["labels"].split(";")) - {"-"}
                if split == "test" and name == "turned round":
                    own = set(NAMES) - own
                writer.writerow([shapes.parent / row["path"], ";".join(sorted(own)) or "-", split])
        runs.append(train(str(table), PLAN, TrainSettings(runs=tmp_path / "runs")))
    one, other = (run.model.fitted.arrays() for run in runs)
    for name in one:
        if name != "recall.test":  # what is known of test is kept, and changes no answer
            np.testing.assert_array_equal(one[name], other[name])
    assert runs[0].scores.val == runs[1].scores.val
    assert runs[0].scores.test.map_macro != runs[1].scores.test.map_macro


def test_without_a_recipe_a_task_without_advice_learns_on_the_frozen_network(shapes: Path, tmp_path: Path) -> None:
    heard: list[str] = []

    class Listening(NullProgress):
        def say(self, line: str) -> None:
            heard.append(line)

    run = train(str(shapes), Plan(cut=ADVISED, image_size_px=64), TrainSettings(runs=tmp_path / "runs"), watcher=Listening())
    assert run.record.plan.cut == "pooled"
    assert any("the task multilabel has no advice" in line for line in heard)


def test_unknown_entries_cost_nothing_and_have_no_gradient() -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    truth = torch.tensor([[1.0, 0.0, float("nan")], [0.0, 1.0, 1.0]] * 3)
    known = ~torch.isnan(truth)
    for kind in ("bce", "asymmetric"):
        objective = LabelObjective(kind=kind)  # type: ignore[arg-type]
        loss = objective.loss(logits, objective.targets(truth))
        (gradient,) = torch.autograd.grad(loss, logits)
        assert not gradient[~known].any()
        assert gradient[known].any()
    plain = nn.functional.binary_cross_entropy_with_logits(logits[known], truth[known], reduction="sum")
    assert LabelObjective().loss(logits, truth).item() == pytest.approx(plain.item(), rel=1e-6)
    with torch.no_grad():
        sure = torch.full((1, 1), -6.0)
        nothing, there = torch.zeros(1, 1), torch.ones(1, 1)
        asymmetric = LabelObjective(kind="asymmetric")
        assert asymmetric.loss(sure, nothing).item() == 0  # below the margin
        assert asymmetric.loss(sure, there).item() == pytest.approx(LabelObjective().loss(sure, there).item(), rel=1e-6)
        p = torch.tensor(0.7)
        expected = -((0.7 - 0.05) ** 4) * np.log(1 - 0.65)
        assert asymmetric.loss(torch.logit(p).reshape(1, 1), nothing).item() == pytest.approx(expected, rel=1e-4)


@pytest.fixture(scope="module")
def small(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Labeller:
    run = train(str(shapes), PLAN, TrainSettings(runs=tmp_path_factory.mktemp("runs"), report=False))
    found: Labeller = run.model.fitted  # type: ignore[assignment]
    return found


@pytest.mark.parametrize(
    ("entries", "arrays", "message"),
    [
        ({"labels": ["a", "a", "b"]}, {}, "expected names, each once"),
        ({"labels": ["a", "b"]}, {}, "expected finite float32"),
        ({"columns": ["rust"]}, {}, "or a column for each label"),
        ({"recall": 1.5}, {}, "expected a share between 0 and 1"),
        ({}, {"scale": np.full((2, 3), -1.0)}, "expected slopes above 0"),
        ({}, {"thresholds": np.array([0.5, 2.0, 0.5])}, "in 0 … 1"),
        ({}, {"map.intercept": np.full(3, np.nan, np.float32)}, "expected finite float32"),
        ({}, {"recall.held_out": np.array([[0.9, 0.1], [1.0, 1.0]])}, "in ascending order"),
        ({}, {"recall.held_out": np.zeros((2, 0))}, "which is empty"),
    ],
)
def test_a_folder_that_anybody_may_have_written_is_refused(
    small: Labeller, entries: dict[str, object], arrays: dict[str, np.ndarray], message: str
) -> None:
    task = find_task("multilabel")
    widths = {tap: small.map.coef.shape[0] // len(small.taps) for tap in small.taps}
    widths[small.taps[0]] += small.map.coef.shape[0] - sum(widths.values())
    whole = {**small.settings(), "layout": list(widths.items()), "novelty": None}
    restored = task.restore(whole, small.arrays())
    for name, array in restored.arrays().items():
        np.testing.assert_array_equal(array, small.arrays()[name])
    with pytest.raises((ValueError, KeyError, TypeError), match=message):
        task.restore(whole | entries, small.arrays() | arrays)


def test_a_document_of_an_exported_file_is_refused_where_it_cannot_be(small: Labeller) -> None:
    task = find_task("multilabel")
    whole = json.loads(json.dumps(task.exported(small)))
    reading = task.reading(whole)
    assert reading.facts() == small.facts()
    assert reading.coverage(0.7) == small.coverage(0.7)
    for change in (
        {"thresholds": [0.5]},
        {"thresholds": [0.5, 0.5, "x"]},
        {"control": {"held_out": [[0.5]], "test": [[], []]}},
        {"labels": []},
        {"recall": "all"},
    ):
        with pytest.raises((ValueError, KeyError, TypeError)):
            task.reading(whole | change)
    for found in (np.zeros((2, 4)), np.full((2, 3), np.nan), np.full((2, 3), 1.5)):
        with pytest.raises(ValueError, match=r"an array of 2 × 4, expected 2 × 3|no probabilities"):
            reading.of_graph(found)
