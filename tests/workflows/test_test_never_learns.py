"""Labels of test teach nothing, those of val only what is said of them: relabelled and trained again, all that is learnt is the same bits.

A run that is held against itself agrees with every lie that is told twice. Here the other side is a relabelled copy of the data.
Splits are given, so that labels cannot move a picture. Times may differ, and what scores of the relabelled pictures stand in; nothing else.
"""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from drawn_shapes import CLASSES, draw_folder
from warmstart import machine
from warmstart.inspection import speed
from warmstart.plan import Plan
from warmstart.session import forecasting, loop_run
from warmstart.session import probe as probe_module
from warmstart.session.dataset import Dataset
from warmstart.session.outcome import Run
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify import selection
from warmstart.tasks.classify.advice import plan_search
from warmstart.tasks.classify.advice import rules as advice
from warmstart.tasks.classify.compare import compare
from warmstart.training.validation import ValScores
from warmstart.workflows.lr_find import lr_find
from warmstart.workflows.train import train

FROZEN = Plan(backbone="timm:test_efficientnet", weights="random", image_size_px=64, precision="f32")  # small
TUNED = replace(FROZEN, cut="stage2", taps="all", batch_size=8, training={"epochs": 2})
ADVISED = replace(FROZEN, cut="auto", batch_size=8)
PRETRAINED = Plan(image_size_px=64)
SPLITS = ("train",) * 12 + ("val",) * 4 + ("test",) * 4  # of each class
SPOILT = (
    0,
    5,
)  # train pictures of each class under the label of the next: nothing is right about all, so that every label matters

Rows = list[tuple[str, str, str]]  # path, label, split
Relabel = Callable[[str, int], str]  # class, number of the picture in it → label


def as_it_is(class_name: str, number: int) -> str:
    return class_name


def turned(*numbers: int) -> Relabel:
    """These pictures of each class get the label of the next class: as many of each as before, and every one of them wrong."""
    return lambda name, number: CLASSES[(CLASSES.index(name) + (number in numbers)) % len(CLASSES)]


def all_one(*numbers: int) -> Relabel:
    """These pictures get the same label."""
    return lambda name, number: CLASSES[0] if number in numbers else name


TRAIN, VAL, TEST = (tuple(i for i, split in enumerate(SPLITS) if split == s) for s in ("train", "val", "test"))
CHOOSE, CALIBRATE = VAL[:2], VAL[2:]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Relabel], str]:
    """A manifest of the same pictures under such labels."""
    folder = draw_folder(tmp_path_factory.mktemp("never-learns") / "shapes", per_class=len(SPLITS))

    def manifest(relabel: Relabel) -> str:
        path = folder / "labels.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "split"])
            for name in CLASSES:
                for number, split in enumerate(SPLITS):
                    label = relabel(turned(*SPOILT)(name, number), number) if number in SPOILT else relabel(name, number)
                    writer.writerow([f"{name}/{number}{'.jpg' if number % 2 else '.png'}", label, split])
        return str(path)

    return manifest


@pytest.fixture(scope="module")
def cache(new_cache: Callable[[], Path]) -> Path:
    """Rows and graphs of the pictures, which know no label, are shared by the runs of this file."""
    return new_cache()


@pytest.fixture(autouse=True)
def _shared_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMSTART_CACHE", str(cache))


@pytest.fixture
def run(data: Callable[[Relabel], str], tmp_path: Path) -> Callable[..., Run]:
    """run(plan, relabel): measured evidence, which knows labels, is not remembered from one to the next."""

    def trained(plan: Plan, relabel: Relabel = as_it_is, **settings: Any) -> Run:
        shutil.rmtree(machine.evidence_folder(), ignore_errors=True)
        settings = {"report": False, "findings": False, **settings}
        return train(data(relabel), plan, TrainSettings(runs=tmp_path / "runs", **settings))

    return trained


@pytest.fixture
def _every_epoch_counts_as_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the network that is kept has learnt something."""
    monkeypatch.setattr(ValScores, "better_than", lambda *_: True)


@pytest.fixture
def _val_is_cut_in_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number: the real halves are ranked inside each class, so labels would move them."""

    def halves(dataset: Dataset, *, trains_network: bool) -> tuple[np.ndarray, np.ndarray]:
        val = dataset.positions("val")
        late = np.array([int(Path(dataset.pictures[i].path).stem) in CALIBRATE for i in val])
        return (val[~late], val[late]) if trains_network else (val, val[:0])

    monkeypatch.setattr(probe_module, "halves_of_val", halves)


@pytest.fixture
def _val_is_large_enough_to_choose_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "ENOUGH_VAL", 1)


@pytest.fixture
def _one_plan_is_tried_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small val is, however busy the machine."""
    for module, name, value in (
        (plan_search, "FEWEST_VAL", 1),
        (plan_search, "RIGHT_ON_ALL", 2.0),
        (plan_search, "better_on_val", lambda *_: False),
        (plan_search, "fits", lambda *_: True),
        (loop_run, "seconds_per_epoch", lambda *_: 1e-3),
        (advice, "FEWEST_VAL", 1),
        (advice, "FEWEST_TO_TRAIN", 1),
    ):
        monkeypatch.setattr(module, name, value)
    options = (advice.Option(0.25, 1.0), advice.PROBE)
    monkeypatch.setattr(advice, "SCENARIOS", tuple(replace(row, epochs=2, options=options) for row in advice.SCENARIOS))


# What a run has learnt and what it says.

OF_TIME = (
    r"seconds|images_per_second|cache|run_dir|forecast|versions|machine|training\.images_per_second|engine\.(notes|proof)"
    r"|training\.epochs\.\d+\.(seconds|elapsed_seconds)|advice\.(speed|seconds|forecasts?|machine|plan|tried\.\d+\.(forecast|measured)_s)"
)
OF_TEST = r"scores\.test|trust\.(ece|sets)|parity|(advice\.)?data\.(fingerprint|classes)"
OF_MODEL = r"digest|files|about\.(scores\.test|data_fingerprint|created|versions)"


def leaves(document: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    inside = document.items() if isinstance(document, Mapping) else enumerate(document) if isinstance(document, list) else None
    if inside is None:
        yield name, document
        return
    for key, value in inside:
        yield from leaves(value, f"{name}.{key}" if name else str(key))


def said(path: Path, *but: str) -> dict[str, Any]:
    """All that stands in a JSON file, by its place, but what may differ."""
    left_out = re.compile("|".join(f"(?:{pattern})" for pattern in but))
    return {name: value for name, value in leaves(json.loads(path.read_text("utf-8"))) if not _matches(left_out, name)}


def _matches(pattern: re.Pattern[str], name: str) -> bool:
    found = pattern.match(name)
    return found is not None and name[found.end() :][:1] in ("", ".")


def learnt(run: Run, *, but: str = "trust.test") -> dict[str, np.ndarray]:
    """Every number of the saved model: head, network, novelty, calibration; without the scores of test, for which it was tested."""
    tensors = load_file(run.folder / "model" / "model.safetensors")
    return {name: tensor for name, tensor in tensors.items() if not re.match(but, name)}


def probabilities(run: Run) -> np.ndarray:
    """Of val, then test."""
    return np.asarray(load_file(run.folder / "pictures.safetensors")["probabilities"])


def true(run: Run) -> list[str]:
    with (run.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return [row["true"] for row in csv.DictReader(file)]


def predicted(run: Run) -> list[tuple[str, str, str]]:
    with (run.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return [(row["path"], row["predicted"], row["probability"]) for row in csv.DictReader(file)]


def assert_same_bits(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert tensor.tobytes() == other[name].tobytes(), f"{name} has learnt from labels that it must not know"


def assert_learnt_nothing_from_test(first: Run, relabelled: Run) -> None:
    assert true(first) != true(relabelled)
    assert_same_bits(learnt(first), learnt(relabelled))
    for name, but in (("run.json", (OF_TIME, OF_TEST)), ("model/model.json", (OF_MODEL,)), ("plan.json", ("forecast",))):
        assert said(first.folder / name, *but) == said(relabelled.folder / name, *but)
    assert probabilities(first).tobytes() == probabilities(relabelled).tobytes()
    assert predicted(first) == predicted(relabelled)


# Test.


@pytest.mark.parametrize("relabel", [turned(*TEST), all_one(*TEST)], ids=["all wrong", "all one"])
def test_a_frozen_run_learns_nothing_from_labels_of_test(run: Callable[..., Run], relabel: Relabel) -> None:
    assert_learnt_nothing_from_test(run(FROZEN), run(FROZEN, relabel))


@pytest.mark.usefixtures("_val_is_large_enough_to_choose_by")
def test_nor_does_one_that_chooses_on_val(run: Callable[..., Run]) -> None:
    first = run(FROZEN)
    assert first.record.choice["method"] == "val"
    assert_learnt_nothing_from_test(first, run(FROZEN, turned(*TEST)))


@pytest.mark.parametrize("head", ["svm", "ridge", "svm-rbf", "knn"])
def test_nor_does_any_other_head(run: Callable[..., Run], head: str) -> None:
    plan = replace(FROZEN, head=head, class_weight="balanced")
    assert_learnt_nothing_from_test(run(plan), run(plan, turned(*TEST)))


@pytest.mark.usefixtures("_every_epoch_counts_as_better", "_val_is_cut_in_half")
def test_a_trained_network_learns_nothing_from_labels_of_test(run: Callable[..., Run]) -> None:
    first = run(TUNED)
    assert_learnt_nothing_from_test(first, run(TUNED, turned(*TEST)))
    assert first.record.training.best_epoch == 2


@pytest.mark.usefixtures("_every_epoch_counts_as_better", "_one_plan_is_tried_and_not_kept")
def test_an_advised_run_learns_nothing_from_labels_of_test_and_says_that_val_chose(run: Callable[..., Run]) -> None:
    first, second = run(ADVISED, budget_s=3600), run(ADVISED, turned(*TEST), budget_s=3600)
    assert_learnt_nothing_from_test(first, second)
    (tried,) = first.record.advice["tried"]
    assert tried["measured_s"] is not None
    assert first.record.advice["evidence"]["train_images"] == 3 * len(TRAIN)
    assert first.record.plan.cut == "pooled"
    assert first.record.choice["method"] == "folds"
    assert first.scores.val is not None
    assert first.scores.val.used_for_choosing  # it was kept by how it stood on val against a trained network


def test_looking_for_faults_in_the_data_changes_nothing_that_is_learnt(run: Callable[..., Run]) -> None:
    without, looked = run(PRETRAINED), run(PRETRAINED, findings=True)
    assert (looked.folder / "doctor.json").is_file()
    assert_same_bits(learnt(without, but="nothing"), learnt(looked, but="nothing"))
    assert without.record.scores == looked.record.scores


def test_a_comparison_takes_its_best_plan_without_test(data: Callable[[Relabel], str], tmp_path: Path) -> None:
    plans = {"all": FROZEN, "early": replace(TUNED, training={"epochs": 1}), "last": replace(FROZEN, taps="pooled")}
    settings = TrainSettings(runs=tmp_path / "runs", report=False, findings=False, budget_s=3600)
    first = compare(data(as_it_is), plans, settings=settings)
    second = compare(data(turned(*TEST)), plans, settings=settings)
    losses = {c.name: c.record.scores["val"].log_loss for c in first.contestants}
    assert first.best == second.best == min(losses, key=lambda name: losses[name])
    assert losses == {c.name: c.record.scores["val"].log_loss for c in second.contestants}
    tests = [[c.record.scores["test"].accuracy for c in made.contestants] for made in (first, second)]
    assert tests[0] != tests[1]


def test_the_search_for_a_rate_reads_neither_val_nor_test(data: Callable[[Relabel], str], tmp_path: Path) -> None:
    curves = [
        lr_find(data(relabel), replace(TUNED, training={}), TrainSettings(runs=tmp_path), steps=10).curve
        for relabel in (as_it_is, turned(*TEST), turned(*VAL))
    ]
    assert curves[0] == curves[1] == curves[2]


def test_a_forecast_counts_pictures_of_test_and_knows_no_label_of_theirs(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(speed, "fit_seconds", lambda *found, **more: asked.append((*found, more)) or 1.0)
    real = forecasting.forecast

    def noted(plan: Plan, speed: Any, work: Any) -> Any:
        asked.append((plan, replace(work, start_s=0.0, base_bytes=0, open_s=0.0)))
        return real(plan, speed, work)

    monkeypatch.setattr(forecasting, "forecast", noted)
    run(FROZEN)
    first, asked[:] = list(asked), []
    run(FROZEN, all_one(*TEST))
    # The rows are stored by now, if they were not before.
    assert [replace(a, missing_taps=0) if hasattr(a, "missing_taps") else a for part in first for a in part] == [
        replace(a, missing_taps=0) if hasattr(a, "missing_taps") else a for part in asked for a in part
    ]


def test_the_forecast_in_the_record_is_what_was_said_before_and_the_truth_beside_it_was_measured(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = forecasting.forecast
    absurd = {"extract": 1e6, "fit": 2e6, "train": 0.0, "total": 3e6}
    monkeypatch.setattr(forecasting, "forecast", lambda *found: replace(real(*found), seconds=absurd))
    record = run(FROZEN).record
    assert record.forecast["seconds"] == absurd
    assert all(record.seconds[phase] < 1e6 for phase in ("extract", "fit", "total"))


# Val.


def test_where_folds_choose_val_is_scored_by_a_head_that_never_saw_it(run: Callable[..., Run]) -> None:
    first, second = run(FROZEN), run(FROZEN, turned(*VAL))
    assert first.record.choice["method"] == "folds"
    assert first.record.choice == second.record.choice
    n = 3 * len(VAL)
    assert probabilities(first)[:n].tobytes() == probabilities(second)[:n].tobytes()
    # The temperature and the scores for sets come from folds of train.
    for name in ("trust.calibration", "trust.novelty.bank", "trust.novelty.reference"):
        assert learnt(first)[name].tobytes() == learnt(second)[name].tobytes()
    assert first.model.temperature == second.model.temperature
    # The final head alone learns from val, once all is chosen.
    heads = [{k: v for k, v in learnt(made).items() if k.startswith("head.")} for made in (first, second)]
    assert any(heads[0][name].tobytes() != heads[1][name].tobytes() for name in heads[0])


@pytest.mark.usefixtures("_every_epoch_counts_as_better", "_val_is_cut_in_half")
def test_a_trained_network_learns_nothing_from_the_half_of_val_that_calibrates_and_is_calibrated_by_nothing_else(
    run: Callable[..., Run],
) -> None:
    first = run(TUNED)
    other_calibrating, other_choosing = run(TUNED, turned(*CALIBRATE)), run(TUNED, turned(*CHOOSE))
    assert_same_bits(learnt(first, but="trust"), learnt(other_calibrating, but="trust"))
    history = [
        [replace(row, seconds=0, elapsed_seconds=0) for row in r.record.training.epochs] for r in (first, other_calibrating)
    ]
    assert history[0] == history[1]
    assert learnt(first)["trust.calibration"].tobytes() != learnt(other_calibrating)["trust.calibration"].tobytes()
    # Those that choose an epoch do no more than that: with the same epoch nothing else is another.
    assert_same_bits(learnt(first, but="nothing"), learnt(other_choosing, but="nothing"))
    assert first.model.temperature == other_choosing.model.temperature
    assert [row.val_loss for row in other_choosing.record.training.epochs] != [row.val_loss for row in history[0]]


@pytest.mark.parametrize(
    ("plan", "fixture", "method", "flattering"),
    [
        (FROZEN, None, "folds", False),
        (FROZEN, "_val_is_large_enough_to_choose_by", "val", True),
        (TUNED, None, "folds", True),  # the epoch
    ],
    ids=["folds", "val", "trained"],
)
def test_scores_of_val_say_whether_anything_was_chosen_on_it(
    run: Callable[..., Run],
    request: pytest.FixtureRequest,
    plan: Plan,
    fixture: str | None,
    method: str,
    flattering: bool,
) -> None:
    if fixture:
        request.getfixturevalue(fixture)
    made = run(plan)
    scores = json.loads((made.folder / "run.json").read_text("utf-8"))["scores"]
    assert made.record.choice["method"] == method
    assert scores["val"]["used_for_choosing"] is flattering
    assert scores["test"]["used_for_choosing"] is False
    described = json.loads((made.folder / "model" / "model.json").read_text("utf-8"))["about"]["scores"]
    assert described["val"]["used_for_choosing"] is flattering
