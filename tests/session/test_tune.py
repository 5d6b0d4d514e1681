"""train with an earlier cut: starts as the probe, leaves the prefix alone, is tested as it is used, and can be resumed."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from drawn_shapes import draw_folder
from warmstart.backbones.weights import feature_tensors, load_backbone
from warmstart.errors import InputError, UsageError
from warmstart.model.predictor import load
from warmstart.plan import Plan
from warmstart.report.run_record import HistoryRow
from warmstart.session import loop_run
from warmstart.session.outcome import Run
from warmstart.session.progress import NullProgress
from warmstart.session.run_folder import read_plan
from warmstart.session.settings import TrainSettings
from warmstart.training_settings import TrainingSettings
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.lr_find import lr_find
from warmstart.workflows.train import resume, train

TUNED = Plan(image_size_px=64, cut="stage6", taps="all", batch_size=8, training={"epochs": 2})


pytestmark = pytest.mark.usefixtures("last_epoch_counts_as_best")


class Killed(BaseException):
    """As a kill: nothing of ours catches it."""


@pytest.fixture(scope="module")
def shapes_to_tune(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("tune") / "shapes", per_class=14)


@pytest.fixture(scope="module")
def run(shapes_to_tune: Path, new_cache: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(new_cache()))
        yield train(str(shapes_to_tune), TUNED, TrainSettings(runs=tmp_path_factory.mktemp("tune-runs")))


def test_training_starts_with_the_scores_of_the_frozen_head(run: Run, shapes_to_tune: Path, tmp_path: Path) -> None:
    frozen = train(str(shapes_to_tune), replace(TUNED, cut="pooled", training={}), TrainSettings(runs=tmp_path))
    start = run.record.training.epochs[0]
    assert frozen.scores.val is not None
    assert start.train_loss is None
    assert start.val["accuracy"] == frozen.scores.val.accuracy
    # Uncalibrated here, calibrated there; equal where the temperature is 1. Compare what does not depend on it.
    assert start.val["calibrated_loss"] <= frozen.scores.val.log_loss + 1e-3


def test_the_saved_prefix_is_the_sources_to_the_bit_and_the_suffix_has_learnt(run: Run) -> None:
    backbone = load_backbone("efficientnet_lite0")
    source = feature_tensors(backbone)
    saved = load(run.folder).tensors
    assert saved.keys() == source.keys()
    changed = {name for name in source if not np.array_equal(source[name], saved[name])}
    left = ("conv_stem", "bn1", *(f"blocks.{i}." for i in range(6)))
    assert not any(name.startswith(left) for name in changed)
    assert any(name.startswith("blocks.6.") for name in changed)
    # Batch norm's statistics stay those of the source in the suffix too, unless asked for otherwise.
    assert not any("running_" in name for name in changed)
    assert len(run.record.training.prefix_digest) == 64


def test_the_run_says_what_evaluate_finds_with_the_saved_model(run: Run, tmp_path: Path) -> None:
    rows = list(csv.DictReader((run.folder / "predictions.csv").read_text("utf-8").splitlines()))
    pairs = [(row["path"], row["true"]) for row in rows]
    again = evaluate(str(run.folder), pairs).scores
    assert again is not None
    assert run.scores.test is not None
    assert again.accuracy == run.scores.test.accuracy
    assert again.log_loss == pytest.approx(run.scores.test.log_loss, abs=1e-6)


def test_history_has_a_line_for_the_start_and_for_every_epoch(run: Run) -> None:
    lines = list(csv.DictReader((run.folder / "history.csv").read_text("utf-8").splitlines()))
    assert [int(line["epoch"]) for line in lines] == [0, 1, 2]
    assert float(lines[2]["val_accuracy"]) == pytest.approx(run.record.training.epochs[2].val["accuracy"])
    assert not (run.folder / "start.json").exists()
    assert {"extract", "fit", "train"} <= run.record.seconds.keys()


def test_a_run_that_died_in_its_last_epoch_is_resumed_to_the_same_model(
    run: Run, shapes_to_tune: Path, new_cache: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die_after_the_first_epoch(path: Path, checkpoint: object, identity: object) -> None:
        write(path, checkpoint, identity)  # type: ignore[arg-type]
        raise Killed

    write = loop_run.write_checkpoint
    monkeypatch.setattr(loop_run, "write_checkpoint", die_after_the_first_epoch)
    with pytest.raises(Killed):
        train(str(shapes_to_tune), TUNED, TrainSettings(runs=tmp_path))
    monkeypatch.undo()
    monkeypatch.setenv("WARMSTART_CACHE", str(new_cache()))
    (folder,) = tmp_path.glob("*-shapes")
    resumed = resume(folder)
    assert resumed.folder == folder
    undisturbed, after = load(run.folder), load(folder)
    assert all(np.array_equal(undisturbed.tensors[name], after.tensors[name]) for name in undisturbed.tensors)
    with pytest.raises(InputError, match="finished"):
        resume(folder)


class Impatient(NullProgress):
    """Presses Ctrl-C when the first epoch was looked at, and once more while what came of it is tested, if ``twice``."""

    def __init__(self, *, twice: bool = False) -> None:
        self.twice, self.pressed = twice, False

    def epoch(self, row: HistoryRow) -> None:
        if row.epoch == 1:
            self.pressed = True
            raise KeyboardInterrupt

    def progress(self, phase: str, done: int, total: int, *, note: str = "") -> None:
        if self.twice and self.pressed:
            raise KeyboardInterrupt


def test_ctrl_c_tests_and_keeps_the_best_epoch_so_far(shapes_to_tune: Path, tmp_path: Path) -> None:
    plan = replace(TUNED, training={"epochs": 50})
    with pytest.raises(KeyboardInterrupt):
        train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path), watcher=Impatient())
    (folder,) = tmp_path.glob("*-shapes")
    record = json.loads((folder / "run.json").read_text("utf-8"))
    assert [row["epoch"] for row in record["training"]["epochs"]] == [0, 1]
    assert "stopped on request after epoch 1" in record["training"]["end"]
    assert record["scores"]["test"]["n"] > 0
    assert (folder / "report.html").is_file()
    assert load(folder).predict(next(shapes_to_tune.rglob("*.png"))).class_name
    with pytest.raises(InputError, match="finished"):
        resume(folder)


def test_ctrl_c_a_second_time_leaves_the_run_to_be_resumed(shapes_to_tune: Path, tmp_path: Path) -> None:
    settings = TrainSettings(runs=tmp_path, report=False)
    with pytest.raises(KeyboardInterrupt):
        train(str(shapes_to_tune), TUNED, settings, watcher=Impatient(twice=True))
    (folder,) = tmp_path.glob("*-shapes")
    assert not (folder / "run.json").exists()
    resumed = resume(folder)
    assert [row.epoch for row in resumed.record.training.epochs] == [0, 1, 2]


def test_resuming_with_other_pictures_is_refused_by_name(
    shapes_to_tune: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = draw_folder(tmp_path / "shapes", per_class=14)

    def die(*_: object) -> None:
        write(*_)  # type: ignore[arg-type]
        raise Killed

    write = loop_run.write_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(loop_run, "write_checkpoint", die)
        with pytest.raises(Killed):
            train(str(data), TUNED, TrainSettings(runs=tmp_path / "runs"))
    draw_folder(data, per_class=2, first_seed=50)
    (folder,) = (tmp_path / "runs").iterdir()
    with pytest.raises(UsageError, match="data"):
        resume(folder)


def test_resuming_after_the_file_of_weights_became_another_is_refused_by_name(
    shapes_to_tune: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_file(feature_tensors(load_backbone("efficientnet_lite0")), weights)

    def die(*_: object) -> None:
        write(*_)  # type: ignore[arg-type]
        raise Killed

    write = loop_run.write_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(loop_run, "write_checkpoint", die)
        with pytest.raises(Killed):
            train(str(shapes_to_tune), replace(TUNED, weights=str(weights)), TrainSettings(runs=tmp_path / "runs"))
    save_file(feature_tensors(load_backbone("efficientnet_lite0", weights="random", seed=1)), weights)
    (folder,) = (tmp_path / "runs").iterdir()
    with pytest.raises(UsageError, match="prefix: "):
        resume(folder)


def test_training_from_scratch_starts_from_a_head_that_knows_nothing(shapes_to_tune: Path, tmp_path: Path) -> None:
    plan = replace(TUNED, cut="pixels", taps="auto", weights="random", augment="standard", training={"epochs": 1})
    cold = train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path))
    assert cold.record.plan.taps == "pooled"
    assert cold.record.training.trained_stages[0] == "stem"
    assert cold.record.training.epochs[0].val_loss == pytest.approx(np.log(3), abs=1e-3)


def test_stored_views_multiply_rows_and_a_second_run_computes_none(shapes_to_tune: Path, tmp_path: Path) -> None:
    plan = replace(TUNED, cut="stage6", augment="standard", augment_views=3, training={"epochs": 1})
    first = train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path))
    splits = first.record.data.splits
    assert first.record.cache.misses == 42 + 3 * splits["train"] + splits["val"] + splits["val"] + splits["test"]
    again = train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path))
    assert again.record.cache.misses == 0  # the trained network is the same, so even its own rows are there
    assert again.record.to_dict()["scores"] == first.record.to_dict()["scores"]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (replace(TUNED, cut="stage7", taps="middle"), "leaves nothing to train"),
        (replace(TUNED, batch_size=1000), "larger than the train split"),
        (replace(TUNED, training={"epochs": 0, "label_smoothing": 0.2}, augment="flip"), "nothing of it is trained"),
        (replace(TUNED, cut="pixels", head="svm"), "no features"),
    ],
)
def test_plans_that_contradict_themselves_say_how(plan: Plan, words: str, shapes_to_tune: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path))


def test_every_setting_of_training_stands_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    listed = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")}
    expected = {field.name for field in fields(TrainingSettings)} - {"class_weights"}  # given by --class-weight
    assert expected <= listed


def test_the_plan_survives_its_file(run: Run) -> None:
    assert read_plan(run.folder) == run.record.plan


def test_gradual_unfreezing_goes_left_from_cut_to_cut_and_leaves_the_rest_frozen(shapes_to_tune: Path, tmp_path: Path) -> None:
    plan = replace(TUNED, cut="stage5", unfreeze=("stage6",), training={"epochs": 1})
    result = train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path)).record.training
    assert [(row.cut, row.epoch) for row in result.epochs] == [
        ("stage6", 0),
        ("stage6", 1),
        ("stage5", 0),
        ("stage5", 1),
    ]
    # The second cut starts from what the first has learnt.
    assert result.epochs[2].val_loss == pytest.approx(result.epochs[1].val_loss, abs=2e-3)
    assert result.epochs[2].val_loss != pytest.approx(result.epochs[0].val_loss, abs=1e-6)
    assert [phase["cut"] for phase in result.phases] == ["stage6", "stage5"]
    assert result.trained_stages == ("stage6", "stage7", "stage8")


def test_gradual_unfreezing_is_resumed_in_the_phase_that_was_interrupted(
    shapes_to_tune: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(TUNED, cut="stage5", unfreeze=("stage6",), training={"epochs": 2})
    undisturbed = train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path / "undisturbed"))

    def die_at_the_second_cut(path: Path, checkpoint: object, identity: object) -> None:
        write(path, checkpoint, identity)  # type: ignore[arg-type]
        if "stage5" in path.name:
            raise Killed

    write = loop_run.write_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(loop_run, "write_checkpoint", die_at_the_second_cut)
        with pytest.raises(Killed):
            train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path / "killed"))
    (folder,) = (tmp_path / "killed").iterdir()
    resumed = resume(folder)
    before, after = load(undisturbed.folder), load(folder)
    assert all(np.array_equal(before.tensors[name], after.tensors[name]) for name in before.tensors)
    # A kill between checkpoint and history, as here, costs no line: the checkpoint knows what it says.
    rows = [(row.cut, row.epoch) for row in resumed.record.training.epochs]
    assert rows == [("stage6", 0), ("stage6", 1), ("stage6", 2), ("stage5", 0), ("stage5", 1), ("stage5", 2)]
    assert len(undisturbed.record.training.epochs) == 6


def test_cuts_that_do_not_go_from_right_to_left_are_refused(shapes_to_tune: Path, tmp_path: Path) -> None:
    plan = replace(TUNED, cut="stage6", unfreeze=("stage5",))
    with pytest.raises(UsageError, match="right to left"):
        train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path))


def test_a_budget_cuts_the_number_of_epochs_down_to_what_fits(
    shapes_to_tune: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_run, "seconds_per_epoch", lambda *_: 300.0)
    plan = replace(TUNED, training={"epochs": 50})
    record = train(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path, budget_s=1000)).record
    assert record.training.settings["epochs"] == 3  # 0.95 × just under 1,000 s
    assert len(record.training.epochs) == 1 + 3
    assert record.plan.training == {"epochs": 50}


def test_predictions_of_a_trained_network_can_be_averaged_over_views(run: Run, shapes_to_tune: Path, tmp_path: Path) -> None:
    flipped = train(str(shapes_to_tune), replace(TUNED, views="flip"), TrainSettings(runs=tmp_path))
    one, two = load(run.folder), load(flipped.folder)
    assert all(np.array_equal(one.tensors[name], two.tensors[name]) for name in one.tensors)  # trained alike
    assert two.preprocessing.views == ("plain", "flip")
    assert flipped.scores.test is not None


def test_the_rate_finder_suggests_a_rate_and_draws_its_curve(shapes_to_tune: Path, tmp_path: Path) -> None:
    plan = replace(TUNED, training={})
    found = lr_find(str(shapes_to_tune), plan, TrainSettings(runs=tmp_path), steps=12, lowest=1e-5, highest=10.0)
    assert 1e-6 <= found.curve.suggestion <= 10.0
    assert {"lr-find.png", "lr-find.svg", "lr-find.json"} == {path.name for path in Path(found.folder).iterdir()}
    assert json.loads((Path(found.folder) / "lr-find.json").read_text("utf-8"))["cut"] == "stage6"
    with pytest.raises(UsageError, match="nothing of the network is trained"):
        lr_find(str(shapes_to_tune), replace(plan, cut="pooled"), TrainSettings(runs=tmp_path))
