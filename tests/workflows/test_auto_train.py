"""train without a recipe: the probe first, then what the advice has and the time allows, the best on val kept."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import warmstart as ws
from drawn_shapes import draw_folder
from warmstart.errors import UsageError
from warmstart.model.predictor import load
from warmstart.plan import Plan
from warmstart.session.outcome import Run
from warmstart.session.progress import NullProgress
from warmstart.session.run_folder import read_plan
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.advice import auto_train as advised_module
from warmstart.tasks.classify.advice import plan_search
from warmstart.workflows.train import resume, train

OPEN = Plan(image_size_px=64, cut="auto", batch_size=8)
TENSORS = "model/model.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("advised") / "shapes", per_class=14)


@pytest.fixture(scope="module", autouse=True)
def _any_val_will_do_and_epochs_are_few() -> Iterator[None]:
    """42 drawn pictures have 6 for val, on which nobody could choose; and a frozen head is right about all of them."""
    from warmstart.tasks.classify.advice import rules as advice

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_search, "FEWEST_VAL", 1)
        patch.setattr(plan_search, "RIGHT_ON_ALL", 2.0)  # never
        patch.setattr(advice, "FEWEST_VAL", 1)
        patch.setattr(plan_search, "better_on_val", lambda *_: True)
        patch.setattr(advice, "FEWEST_TO_TRAIN", 1)
        options = (advice.Option(0.75, 1.0), advice.PROBE)  # small data has none but the probe
        patch.setattr(advice, "SCENARIOS", tuple(replace(row, epochs=2, options=options) for row in advice.SCENARIOS))
        yield


@pytest.fixture(scope="module")
def filled_cache(new_cache: Callable[[], Path]) -> Path:
    return new_cache()


@pytest.fixture(scope="module")
def run(data: Path, filled_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(filled_cache))
        yield train(str(data), OPEN, TrainSettings(runs=tmp_path_factory.mktemp("runs"), budget_s=600))


@pytest.fixture(autouse=True)
def _cache_as_the_run_left_it(run: Run, filled_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that graphs are not converted and proved once more for each test."""
    shutil.copytree(filled_cache, tmp_path / "cache")
    monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def tried(run: Run) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((run.folder / "run.json").read_text("utf-8"))["advice"]["tried"]
    return found


def test_the_best_on_val_is_the_runs_model_and_plan(run: Run) -> None:
    best = min((one for one in tried(run) if one["measured_s"]), key=lambda one: one["val_log_loss"])
    probe = run.record.advice["probe"]
    expected = best["cut"] if best["val_log_loss"] < probe["val_log_loss"] else "pooled"
    assert run.record.plan.cut == expected == read_plan(run.folder).cut
    assert load(run.folder).about["plan"]["cut"] == expected


def test_it_is_never_worse_on_val_than_the_probe(run: Run) -> None:
    losses = [one["val_log_loss"] for one in tried(run) if one["measured_s"]]
    assert losses
    assert min(run.record.advice["probe"]["val_log_loss"], *losses) <= run.record.advice["probe"]["val_log_loss"]


def test_the_record_holds_evidence_reasons_forecast_and_truth(run: Run) -> None:
    record = json.loads((run.folder / "run.json").read_text("utf-8"))
    assert {"evidence", "advice", "forecasts", "probe", "tried"} <= record["advice"].keys()
    assert record["forecast"]["seconds"]["total"] > 0
    for one in tried(run):
        assert one["forecast_s"] > 0


def test_what_training_leaves_for_a_kill_is_gone_and_the_curves_stay(run: Run) -> None:
    names = {path.name for path in run.folder.rglob("*")}
    assert not [name for name in names if name.startswith(("checkpoint", "start"))]
    assert {"depth-profile.png", "depth-profile.svg"} <= names
    for one in tried(run):
        assert (run.folder / "candidates" / str(one["cut"]) / "history.csv").is_file() == (one["measured_s"] is not None)


class Watching(NullProgress):
    """Does something when a phase is announced."""

    def __init__(self, phase: str, problem: BaseException) -> None:
        self.phase, self.problem, self.sentences = phase, problem, list[str]()

    def progress(self, phase: str, done: int, total: int, *, note: str = "") -> None:
        if phase == self.phase and done > total / 2 and self.problem is not None:
            raise self.problem

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


def test_a_model_is_there_before_any_training_and_ctrl_c_keeps_it(data: Path, runs: Path) -> None:
    watcher = Watching("training", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train(str(data), OPEN, TrainSettings(runs=runs, budget_s=600), watcher=watcher)
    (folder,) = runs.iterdir()
    record = json.loads((folder / "run.json").read_text("utf-8"))
    assert record["plan"]["cut"] == "stage6"  # better on val, as every candidate is here
    assert "stopped on request" in record["training"]["end"]
    assert record["scores"]["test"]["n"] > 0
    assert load(folder).predict(str(next((data / "circle").iterdir()))).class_name in ("circle", "square", "stripes")
    assert any("the best so far" in sentence for sentence in watcher.sentences)


def test_ctrl_c_while_evidence_is_measured_tests_and_keeps_the_probe(
    data: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(advised_module, "advised", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(str(data), OPEN, TrainSettings(runs=runs, budget_s=600))
    (folder,) = runs.iterdir()
    record = json.loads((folder / "run.json").read_text("utf-8"))
    assert record["plan"]["cut"] == "pooled"
    assert record["scores"]["test"]["n"] > 0
    assert (folder / "report.html").is_file()


def test_where_the_probe_is_right_on_all_of_val_nothing_is_trained(
    data: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_search, "RIGHT_ON_ALL", 1.0)
    run = train(str(data), OPEN, TrainSettings(runs=runs, budget_s=600, report=False))
    (tried,) = run.record.advice["tried"]
    assert "right on all" in tried["outcome"]
    assert run.record.plan.cut == "pooled"


def test_a_run_that_died_while_it_trained_is_resumed_to_the_same_model(
    data: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last epoch of each counts as best and the last candidate as better, so that the weights are those of training.
    monkeypatch.setattr("warmstart.training.validation.ValScores.better_than", lambda *_: True)
    monkeypatch.setattr(plan_search.OnVal, "log_loss", property(lambda own: -float(own.probe.plan.cut != "pooled")))
    whole = train(str(data), OPEN, TrainSettings(runs=runs / "whole", budget_s=600))
    with pytest.raises(RuntimeError):
        train(
            str(data),
            OPEN,
            TrainSettings(runs=runs / "died", budget_s=600),
            watcher=Watching("training", RuntimeError("killed")),
        )
    (folder,) = (runs / "died").iterdir()
    assert (folder / TENSORS).is_file()
    assert not (folder / "run.json").exists()
    again = resume(folder)
    assert again.record.plan == whole.record.plan
    assert again.record.plan.cut != "pooled"
    assert (again.folder / TENSORS).read_bytes() == (whole.folder / TENSORS).read_bytes()


def test_what_does_not_fit_is_not_begun_and_the_probe_is_the_result(
    data: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = train(str(data), OPEN, TrainSettings(runs=runs, budget_s=0.001))
    plain = train(str(data), replace(OPEN, cut="pooled"), TrainSettings(runs=runs))
    assert all("does not fit" in str(one["outcome"]) for one in tried(short))
    assert not short.record.forecast
    assert (short.folder / TENSORS).read_bytes() == (plain.folder / TENSORS).read_bytes()


def test_training_that_does_not_help_on_val_is_not_kept(data: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_search, "better_on_val", lambda *_: False)
    result = train(str(data), OPEN, TrainSettings(runs=runs, budget_s=600))
    assert result.record.plan.cut == "pooled"
    assert {str(one["outcome"]) for one in tried(result)} == {"not better on val than the probe by more than chance"}


def test_too_small_a_val_is_named(data: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_search, "FEWEST_VAL", 20)
    result = train(str(data), OPEN, TrainSettings(runs=runs, budget_s=600))
    assert all("too few to tell" in str(one["outcome"]) for one in tried(result))


def test_data_without_val_gets_the_probe(data: Path, runs: Path) -> None:
    result = train(str(data), replace(OPEN, fractions=(0.75, 0.0, 0.25)), TrainSettings(runs=runs, budget_s=600))
    assert (result.record.plan.cut, result.record.advice["tried"], result.record.advice["probe"]) == ("pooled", [], {})


def test_a_recipe_beside_the_cut_auto_is_refused(data: Path, runs: Path) -> None:
    with pytest.raises(UsageError, match="taps, augment was given"):
        train(str(data), replace(OPEN, taps="all", augment="flip"), TrainSettings(runs=runs))
    assert not runs.exists()


def test_a_network_of_ones_own_is_advised_on_too(shapes: Path, warm_cache: Path, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, 2, 1), torch.nn.ReLU()
    )
    backbone = ws.Backbone.from_module(network, size_px=32)
    run = ws.train(shapes, backbone=backbone, budget_s=20, runs=tmp_path, report=False, quiet=True)
    assert run.record.plan.backbone == backbone.spec.name
    assert run.record.advice
    with pytest.raises(UsageError, match="give it again"):
        ws.train(shapes, run.record.plan, runs=tmp_path, quiet=True)
