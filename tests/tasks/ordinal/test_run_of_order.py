"""Values in an order through every verb, and without any module of classification."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import warmstart as ws
from patience import PATIENCE_S
from warmstart.backbones.weights import load_backbone
from warmstart.errors import UsageError
from warmstart.heads.cumulative import log_losses, prior_logits
from warmstart.heads.linear_map import LinearMap
from warmstart.report.cards import Matrix
from warmstart.report.shown import shown_by
from warmstart.session.outcome import Run
from warmstart.task_registry import find_task
from warmstart.tasks.ordinal.fit import OrderLearnt
from warmstart.tasks.ordinal.options import OrderOptions
from warmstart.tasks.ordinal.ranker import Ranker
from warmstart.tasks.ordinal.targets import OrderTargets
from warmstart.training.tuned import TunedSuffix, cold_start
from warmstart.training_settings import TrainingSettings
from warmstart.workflows.evaluate import evaluate

ORDER = ["none", "some", "many"]

BLOCKED = """
import sys, json
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("warmstart.tasks.classify"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
from pathlib import Path
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.predict import load
from warmstart.workflows.train import train
data, out = sys.argv[1:]
out = Path(out)
plan = Plan(task="ordinal", cut="pooled", image_size_px=64, options={"order": ["none", "some", "many"]})
run = train(data, plan, TrainSettings(runs=out / "runs"))
exported = export(str(run.folder), ExportSettings(out=out / "exported"))
assert exported.proven
picture = str(next((Path(data) / "some").iterdir()))
said = [load(folder).predict(picture) for folder in (run.folder, exported.folder)]
assert all(abs(said[0].probabilities[name] - said[1].probabilities[name]) < 0.02 for name in ("none", "some", "many")), said
assert load(exported.folder).coverage(0.8) == load(run.folder).coverage(0.8)
page = (run.folder / "report.html").read_text("utf-8")
for words in ("The order is none, some, many, from lowest to highest", "What was taken for what, by rank"):
    assert words in page, words
from starlette.testclient import TestClient
from warmstart.serve.app import make_app
from warmstart.serve.settings import ServeSettings
with TestClient(make_app(ServeSettings(models=(f"m={run.folder}",), home=out / "home")), base_url="http://127.0.0.1:8000") as client:
    answer = client.post("/api/models/m/predict", files={"file": ("a.png", Path(picture).read_bytes(), "image/png")}).json()
    (one,) = answer["predictions"]
    assert one["value"] == ["none", "some", "many"][one["rank"]] and one["value"] in one["set"], answer
    assert "stands in the order none, some, many" in client.get("/models/m").text
    assert "places in an order of 3" in client.get("/").text
assert not [name for name in sys.modules if name.startswith("warmstart.tasks.classify")]
print(json.dumps(run.record.to_dict()["scores"]["test"]))
"""


def test_an_order_is_learnt_exported_served_and_reported_without_a_module_of_classification(
    grades: Path, tmp_path: Path
) -> None:
    program = tmp_path / "blocked.py"
    program.write_text(BLOCKED)
    done = subprocess.run(
        [sys.executable, str(program), str(grades), str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    scores = json.loads(done.stdout.splitlines()[-1])
    for name in ("qwk", "mae_ranks", "within_one", "accuracy", "log_loss"):
        assert name in scores
        assert f"{name}_ci95" in scores


@pytest.fixture(scope="module")
def run(grades: Path, new_cache: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(new_cache()))
        return ws.train(
            str(grades), task="ordinal", order="none, some, many", cut="pooled", image_size_px=64, runs=folder, report=False
        )


def test_a_run_of_an_order_is_saved_loaded_and_evaluated_to_the_same(run: Run, grades: Path) -> None:
    assert run.record.plan.task == "ordinal"
    assert run.record.choice["order"] == ORDER
    assert not run.scores.val.used_for_choosing
    with (run.folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    off = [abs(ORDER.index(row["said"]) - ORDER.index(row["true"])) for row in rows]
    assert off == [abs(int(row["ranks too high"])) for row in rows]
    assert run.scores.test.mae_ranks == pytest.approx(np.mean(off))
    assert run.scores.test.mae_ranks < 0.6 * run.scores.test.mae_ranks_of_median
    assert all(ORDER.index(r["set from"]) <= ORDER.index(r["said"]) <= ORDER.index(r["set to"]) for r in rows)
    loaded = ws.load(run.folder)
    for name, array in run.model.fitted.arrays().items():
        np.testing.assert_array_equal(loaded.fitted.arrays()[name], array)
    one = loaded.predict(rows[0]["path"], coverage=0.6)
    assert one.value == rows[0]["said"]
    assert one.probabilities["none"] == pytest.approx(float(rows[0]["none probability"]), abs=1e-3)
    assert one.coverage == 0.6
    held = evaluate(str(run.folder), str(grades))
    assert held.scores.to_dict()["qwk"] == pytest.approx(run.scores.test.qwk, abs=1e-4)
    others = evaluate(str(run.folder), [(row["path"], "lots" if i else "none") for i, row in enumerate(rows)])
    (problem,) = [problem for problem in others.problems if problem.kind == "foreign-value"]
    assert (
        problem.message
        == f"value 'lots' is not among the model's (none, some, many); its {len(rows) - 1} pictures are not counted."
    )
    assert "none" in run._repr_html_()
    assert shown_by(find_task("ordinal")).matrix(run.record) == Matrix(names=tuple(ORDER), counts=run.scores.test.confusion)


@pytest.mark.parametrize(
    ("entries", "arrays", "message"),
    [
        ({"order": ["a", "a", "b"]}, {}, "two or more names, each once"),
        ({"order": ["a", "b"]}, {}, "expected finite float32"),
        ({"coverage": 1.5}, {}, "expected a share between 0 and 1"),
        ({"temperature": 0.0}, {}, "'temperature' = 0.0, expected 0.05"),
        ({"columns": "grade"}, {}, "columns"),
        ({}, {"map.intercept": np.array([1, 0], np.float32)}, "thresholds in ascending order"),
        ({}, {"map.intercept": np.array([0, np.nan], np.float32)}, "expected finite float32"),
        ({}, {"sets.held_out": np.zeros(0)}, "in ascending order"),
    ],
)
def test_a_folder_that_anybody_may_have_written_is_refused(
    run: Run, entries: dict[str, object], arrays: dict[str, np.ndarray], message: str
) -> None:
    fitted: Ranker = run.model.fitted  # type: ignore[assignment]
    task = find_task("ordinal")
    widths = {tap: fitted.map.coef.shape[0] // len(fitted.taps) for tap in fitted.taps}
    widths[fitted.taps[0]] += fitted.map.coef.shape[0] - sum(widths.values())
    whole = {**fitted.settings(), "layout": list(widths.items()), "novelty": None}
    restored = task.restore(whole, fitted.arrays())
    for name, array in restored.arrays().items():
        np.testing.assert_array_equal(array, fitted.arrays()[name])
    with pytest.raises((ValueError, KeyError, TypeError), match=message):
        task.restore(whole | entries, fitted.arrays() | arrays)


def test_a_document_of_an_exported_file_is_refused_where_it_cannot_be(run: Run) -> None:
    fitted: Ranker = run.model.fitted  # type: ignore[assignment]
    task = find_task("ordinal")
    whole = json.loads(json.dumps(task.exported(fitted)))
    reading = task.reading(whole)
    assert reading.facts() == fitted.facts() == task.described({**whole, "calibrated": True})
    assert reading.coverage(0.7) == fitted.coverage(0.7)
    with pytest.raises(UsageError, match="was not calibrated for sets"):
        task.reading(whole | {"sets": None}).coverage(0.7)
    for change in ({"order": ["a"]}, {"sets": {"held_out": [2.0], "test": [], "true": []}}, {"coverage": "all"}):
        with pytest.raises((ValueError, KeyError, TypeError)):
            task.reading(whole | change)
    for found, message in (
        (np.zeros((2, 4)), "expected 2 × 3"),
        (np.full((2, 3), np.nan), "no probabilities"),
        (np.ones((2, 3)), "sum to 3"),
    ):
        with pytest.raises(ValueError, match=message):
            reading.of_graph(found)


def test_the_network_right_of_a_cut_learns_with_a_tied_head_and_thresholds_in_order(
    grades: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
    trained = ws.train(
        str(grades),
        backbone=ws.Backbone.from_module(network, size_px=32),
        task="ordinal",
        order=ORDER,
        cut="stem",
        training={"epochs": 3},
        runs=tmp_path,
        report=False,
    )
    fitted: Ranker = trained.model.fitted  # type: ignore[assignment]
    assert fitted.map.coef.shape[1] == 1
    assert (np.diff(fitted.map.intercept) > 0).all()
    assert trained.record.training.epochs[0].val.keys() == {"calibrated_loss", "qwk"}
    assert trained.scores.val.used_for_choosing
    assert trained.scores.test.qwk > 0


def test_a_tied_head_gives_what_its_map_says_at_first_and_back() -> None:
    backbone = load_backbone("efficientnet_lite0", weights="random")
    width = dict(backbone.tap_layout())["pooled"]
    random = np.random.default_rng(0)
    head = LinearMap(coef=random.normal(size=(width, 1)).astype(np.float32), intercept=np.array([-1, 2, 3], np.float32))
    mean, scale = (random.uniform(0.5, 2, width).astype(np.float32) for _ in range(2))
    module = TunedSuffix(backbone, "stage7", ("pooled",), head, mean, scale)
    assert module.head.weight.shape == (1, width)
    back = module.learnt_head()
    np.testing.assert_allclose(back.coef, head.coef, atol=1e-5)
    np.testing.assert_allclose(back.intercept, head.intercept, atol=1e-2)
    features = torch.randn(5, width, generator=torch.Generator().manual_seed(0))
    (weight,), bias = module.head.weight, module.head.bias
    for k in range(3):
        torch.testing.assert_close(module.head(features)[:, k], features @ weight + bias[k])
    tied = find_task("ordinal").tunable.tied  # type: ignore[union-attr]
    assert cold_start(backbone, ("pooled",), 3, tied=tied).learnt_head().coef.shape == (width, 1)


def test_training_begins_with_what_the_frozen_head_says() -> None:
    y = np.array([0, 0, 1, 2, 2, 2, 1])
    targets = OrderTargets(names=("1", "2", "3"), labels=y)
    head = LinearMap(coef=np.ones((2, 1), np.float32), intercept=np.array([-1.5, 2], np.float32))
    fitted = Ranker(order=targets.names, columns=(), taps=("pooled",), map=head)
    learnt = OrderLearnt(
        fitted=fitted, tap_set="all", by_folds=True, held_out=None, record={}, chosen_with=7, prior=prior_logits(y, 3)
    )
    tunable = find_task("ordinal").tunable
    start = tunable.start(learnt)  # type: ignore[union-attr]
    objective = tunable.objective(targets, TrainingSettings(), OrderOptions())  # type: ignore[union-attr]
    X = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    loss = objective.loss(torch.from_numpy(start(X)), objective.targets(torch.from_numpy(y)))
    assert loss.item() == pytest.approx(log_losses(head(X), y).sum(), rel=1e-5)
    np.testing.assert_allclose(tunable.tuned(learnt, start).map.intercept, head.intercept, atol=1e-6)  # type: ignore[union-attr]
    crossed = LinearMap(coef=start.coef, intercept=start.intercept[::-1].copy())
    assert (np.diff(tunable.tuned(learnt, crossed).map.intercept) >= 0).all()  # type: ignore[union-attr]
