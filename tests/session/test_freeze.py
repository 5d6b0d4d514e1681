"""train with layers frozen by name: the cut follows from them, the rest of them is held, saved, exported and resumed bit for bit."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from drawn_shapes import draw_folder
from warmstart.backbones import freezing
from warmstart.backbones.weights import feature_tensors, load_backbone
from warmstart.errors import UsageError
from warmstart.model.predictor import load
from warmstart.plan import Plan
from warmstart.report.run_record import read_record
from warmstart.session import loop_run
from warmstart.session.outcome import Run
from warmstart.session.run_folder import read_plan
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.compare import compare
from warmstart.tasks.classify.report.sentences import plan_in_words
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.train import resume, train

# Of stem, stage1 … stage8: stage6 and stage8 but for its norm learn; batch norm follows the batches, so that statistics could move.
FROZEN = ("stem", "stage[1-5]", "blocks.6", "stage8.bn2")
PLAN = Plan(
    image_size_px=64,
    freeze=FROZEN,
    taps="all",
    batch_size=8,
    training={"epochs": 2, "batch_norm": "update", "learning_rate": 0.01},
)
HELD = ("blocks.6.", "bn2.")
LEFT = ("conv_stem", "bn1", *(f"blocks.{i}." for i in range(5)))


pytestmark = pytest.mark.usefixtures("last_epoch_counts_as_best")


class Killed(BaseException):
    """As a kill: nothing of ours catches it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folder(tmp_path_factory.mktemp("freeze") / "shapes", per_class=14)


@pytest.fixture(scope="module")
def run(data: Path, new_cache: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(new_cache()))
        yield train(str(data), PLAN, TrainSettings(runs=tmp_path_factory.mktemp("freeze-runs"), findings=False))


def quick(runs: Path) -> TrainSettings:
    return TrainSettings(runs=runs, findings=False, report=False)


def test_the_saved_model_has_the_sources_bits_where_it_was_frozen_and_others_where_it_learnt(run: Run) -> None:
    source, saved = feature_tensors(load_backbone("efficientnet_lite0")), load(run.folder).tensors
    assert saved.keys() == source.keys()
    changed = {name for name in source if not np.array_equal(source[name], saved[name])}
    assert {name for name in changed if name.startswith((*LEFT, *HELD))} == set()
    learning = {name for name in source if not name.startswith((*LEFT, *HELD))}
    assert {name.split(".")[0] for name in learning} == {"blocks", "conv_head"}
    assert changed == learning, "weights and statistics of stage6, and the last convolution"


def test_the_record_says_what_was_frozen_and_the_counts_are_true(run: Run) -> None:
    training, parameters = run.record.training, run.record.parameters
    assert run.record.plan.cut == "stage5"
    assert run.record.plan.freeze == FROZEN
    assert training.frozen["names"] == ["stage7", "bn2"]
    assert len(training.frozen["digest"]) == 64
    assert training.trained_stages == ("stage6", "stage8")
    assert parameters["trained_stages"] == ["stage6", "stage8"]
    assert parameters["frozen_stages"] == ["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage7"]
    network = dict(load_backbone("efficientnet_lite0").network.named_parameters())
    learning = sum(p.numel() for name, p in network.items() if name.startswith(("blocks.5.", "conv_head.")))
    assert parameters["trained"] == learning
    said = plan_in_words(read_record(run.folder))
    assert any("Stages stem to stage5 and stage7 frozen, stage6 and stage8 trained" in sentence for sentence in said)
    assert "Right of the cut, stage7 and bn2 are bit for bit what they were, statistics included." in said
    assert training.frozen["digest"] in (run.folder / "report.html").read_text("utf-8")


def test_the_plan_survives_its_file_and_can_be_run_again(run: Run) -> None:
    plan = read_plan(run.folder)
    assert plan == run.record.plan
    plan.require_runnable()


def test_what_is_saved_and_exported_says_what_was_tested(run: Run, data: Path, tmp_path: Path) -> None:
    rows = csv.DictReader((run.folder / "predictions.csv").read_text("utf-8").splitlines())
    pairs = [(row["path"], row["true"]) for row in rows]
    again = evaluate(str(run.folder), pairs).scores
    assert again is not None
    assert run.scores.test is not None
    assert again.log_loss == pytest.approx(run.scores.test.log_loss, abs=1e-6)
    exported = export(str(run.folder), ExportSettings(format="onnx", out=tmp_path / "out"))  # raises where it does not agree
    assert exported.proven


def test_statistics_that_go_on_updating_fail_the_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual mistake, planted: no gradient, but train mode."""
    monkeypatch.setattr(freezing, "_hooked", lambda modules: [])
    with pytest.raises(AssertionError, match="frozen right of stage5 changed during training"):
        train(str(data), PLAN, quick(tmp_path))


def test_a_run_with_frozen_layers_that_was_killed_is_resumed_to_the_same_model(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*of: object) -> None:
        write(*of)  # type: ignore[arg-type]
        raise Killed

    write = loop_run.write_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(loop_run, "write_checkpoint", die)
        with pytest.raises(Killed):
            train(str(data), PLAN, quick(tmp_path))
    (folder,) = tmp_path.glob("*-shapes")
    resumed = resume(folder)
    before, after = load(run.folder).tensors, load(folder).tensors
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert resumed.record.training.frozen == run.record.training.frozen


def test_resuming_after_frozen_layers_became_others_in_the_file_of_weights_is_refused_by_name(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*of: object) -> None:
        write(*of)  # type: ignore[arg-type]
        raise Killed

    weights, tensors = tmp_path / "weights.safetensors", feature_tensors(load_backbone("efficientnet_lite0"))
    save_file(tensors, weights)
    write = loop_run.write_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(loop_run, "write_checkpoint", die)
        with pytest.raises(Killed):
            train(str(data), replace(PLAN, weights=str(weights)), quick(tmp_path / "runs"))
    save_file(tensors | {"bn2.running_mean": tensors["bn2.running_mean"] + 1}, weights)
    (folder,) = (tmp_path / "runs").iterdir()
    with pytest.raises(UsageError, match=r"resumed: frozen: \w{64} then, \w{64} now"):
        resume(folder)


def test_freezing_everything_is_the_frozen_run(data: Path, tmp_path: Path) -> None:
    everything = train(str(data), Plan(image_size_px=64, freeze=("*",)), quick(tmp_path / "all"))
    frozen = train(str(data), Plan(image_size_px=64), quick(tmp_path / "frozen"))
    assert everything.record.training is frozen.record.training is None
    assert everything.record.to_dict()["scores"] == frozen.record.to_dict()["scores"]
    assert everything.record.parameters == frozen.record.parameters


def test_freezing_up_to_a_stage_is_cutting_there(data: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, freeze=(), cut="stage7", training={"epochs": 1})
    cut = train(str(data), plan, quick(tmp_path / "cut"))
    named = train(str(data), replace(plan, cut="pooled", freeze=("stem", "stage[1-7]")), quick(tmp_path / "named"))
    assert named.record.plan.cut == "stage7"
    assert named.record.training.frozen is None
    assert named.record.training.prefix_digest == cut.record.training.prefix_digest
    one, two = load(cut.folder).tensors, load(named.folder).tensors
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_gradual_unfreezing_leaves_frozen_what_is_named(data: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, freeze=("stem", "stage[1-5]", "stage7"), unfreeze=("stage7",), training={"epochs": 1})
    record = train(str(data), plan, quick(tmp_path)).record
    assert [phase["cut"] for phase in record.training.phases] == ["stage7", "stage5"]
    assert record.training.frozen["names"] == ["stage7"]
    assert record.training.trained_stages == ("stage6", "stage8")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (replace(PLAN, head="svm"), "with --head svm nothing of it is trained"),
        (replace(PLAN, training={"epochs": 0}), "and 0 epochs nothing of it is trained"),
        (replace(PLAN, cut="auto", training={}, taps="auto"), "freeze was given: name a cut"),
        (replace(PLAN, cut="stage7"), "leaves stage6 to learn, and --cut stage7"),
        (
            replace(PLAN, taps="stage3", freeze=("stem", "stage[1-3]"), cut="stem"),
            "of the stages there .* all are frozen",
        ),
        (replace(PLAN, taps="stage2,stage3"), "leaves nothing to train: the head reads stage2, stage3"),
        (replace(PLAN, freeze=("blocks.9",)), "unknown layer 'blocks.9'"),
    ],
)
def test_frozen_layers_that_contradict_the_rest_of_the_plan_say_how(plan: Plan, words: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        train(str(data), plan, quick(tmp_path))


def test_frozen_layers_for_plans_by_short_names_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="say by themselves what is frozen"):
        compare(data, ["frozen", "stage6"], PLAN, replace(quick(tmp_path), budget_s=60.0))
