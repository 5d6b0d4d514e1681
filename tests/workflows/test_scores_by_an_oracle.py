"""What a run says of itself, computed once more by other code: scikit-learn, closed forms, the saved model on the files.

Labels and splits are read from the manifest that was trained on, predictions from predictions.csv and pictures.safetensors.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.stats import norm
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_recall_fscore_support, roc_auc_score

from drawn_shapes import CLASSES, draw_folder
from warmstart.model.predictor import load
from warmstart.plan import Plan
from warmstart.session import dataset as dataset_module
from warmstart.session.outcome import Run, frozen
from warmstart.session.progress import NullProgress
from warmstart.session.run_state import Probe
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify import selection
from warmstart.tasks.classify.conformal import conformity, of_label
from warmstart.tasks.classify.targets import ClassTargets
from warmstart.tasks.classify.task import TASK
from warmstart.training.validation import ValScores
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.train import train

FROZEN = Plan(backbone="timm:test_efficientnet", weights="random", image_size_px=64, precision="f32")  # small
TUNED = replace(FROZEN, cut="stage2", taps="all", batch_size=8, training={"epochs": 1})
WITH_THRESHOLD = replace(FROZEN, positive="square", threshold=0.8)
PER_CLASS = 14


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn shapes, a third of them under the wrong name: scores are neither 0 nor 1, and classes not equally frequent."""
    folder = draw_folder(tmp_path_factory.mktemp("oracle") / "shapes", per_class=PER_CLASS)
    rng = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for name in CLASSES:
            for number in range(PER_CLASS):
                label = CLASSES[int(rng.choice(3, p=[0.5, 0.3, 0.2]))] if rng.random() < 0.34 else name
                split = "train" if number < 6 else "val" if number < 10 else "test"
                writer.writerow([f"{name}/{number}{'.jpg' if number % 2 else '.png'}", label, split])
    return folder / "labels.csv"


@pytest.fixture(scope="module")
def two_classes(table: Path) -> Path:
    """The same, with two labels."""
    rows = [line.replace("stripes\n", "circle\n") for line in table.read_text("utf-8").splitlines(keepends=True)]
    path = table.with_name("two.csv")
    path.write_text("".join(row.replace(",stripes,", ",circle,") for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def cache(new_cache: Callable[[], Path]) -> Path:
    return new_cache()


@pytest.fixture(autouse=True)
def _shared_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMSTART_CACHE", str(cache))


@pytest.fixture(scope="module", params=["frozen", "trained", "threshold"])
def run(
    request: pytest.FixtureRequest,
    table: Path,
    two_classes: Path,
    cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(cache))
        patch.setattr(ValScores, "better_than", lambda *_: True)  # so that the network that is tested is a trained one
        plan = {"frozen": FROZEN, "trained": TUNED, "threshold": WITH_THRESHOLD}[request.param]
        data = two_classes if request.param == "threshold" else table
        settings = TrainSettings(runs=tmp_path_factory.mktemp("runs"), report=False, findings=False)
        yield train(str(data), plan, settings)


def labels_of(run: Run, split: str) -> dict[str, str]:
    """path → label, from the manifest."""
    source = Path(run.record.data.source)
    with source.open(encoding="utf-8", newline="") as file:
        return {str(source.parent / row["path"]): row["label"] for row in csv.DictReader(file) if row["split"] == split}


def told(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "run.json").read_text("utf-8"))
    return found


def held_out(run: Run, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,) from the manifest, probabilities (N, K) as the run wrote them."""
    names = json.loads((run.folder / "pictures.json").read_text("utf-8"))
    numbers = load_file(run.folder / "pictures.safetensors")
    known = labels_of(run, split)
    chosen = [(row, names["paths"][at]) for row, at in enumerate(numbers["held_out"]) if names["paths"][at] in known]
    assert len(chosen) == len(known)
    y = np.array([names["class_names"].index(known[path]) for _, path in chosen])
    return y, numbers["probabilities"][[row for row, _ in chosen]]


def wilson(right: int, n: int) -> tuple[float, float]:
    """The two p with |p̂ - p| = z √(p (1 - p) / n): the roots of a quadratic (Wilson 1927)."""
    z2, p = norm.ppf(0.975) ** 2, right / n
    a, b, c = 1 + z2 / n, -(2 * p + z2 / n), p * p
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    error = 0.0
    for i in range(bins):
        inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


def decided(run: Run, shares: np.ndarray) -> np.ndarray:
    plan = run.record.plan
    if plan.threshold is None:
        return np.asarray(shares.argmax(axis=1))
    at = run.model.class_names.index(plan.positive or "")
    return np.where(shares[:, at] >= plan.threshold, at, 1 - at)


@pytest.mark.parametrize("split", ["val", "test"])
def test_every_score_is_scikit_learns(run: Run, split: str) -> None:
    y, shares = held_out(run, split)
    scores = told(run)["scores"][split]
    predicted, k = decided(run, shares), shares.shape[1]
    assert 0 < accuracy_score(y, predicted) < 1
    assert scores["n"] == len(y)
    assert scores["accuracy"] == pytest.approx(accuracy_score(y, predicted))
    assert scores["accuracy_ci95"] == pytest.approx(wilson(int((y == predicted).sum()), len(y)))
    assert scores["macro_f1"] == pytest.approx(f1_score(y, predicted, average="macro", zero_division=0))
    sure = shares.astype(np.float64) / shares.sum(axis=1, keepdims=True, dtype=np.float64)
    assert scores["log_loss"] == pytest.approx(log_loss(y, sure, labels=range(k)), rel=1e-4)
    one_against_rest = [roc_auc_score(y == label, shares[:, label]) for label in (range(k) if k > 2 else [1])]
    assert scores["auroc"] == pytest.approx(np.mean(one_against_rest))
    assert scores["confusion"] == confusion_matrix(y, predicted, labels=range(k)).tolist()
    confidence = shares[np.arange(len(y)), predicted].astype(np.float64)
    assert scores["ece"] == pytest.approx(expected_calibration_error(confidence, y == predicted), abs=1e-6)
    found = precision_recall_fscore_support(y, predicted, labels=range(k), zero_division=0)
    for i, name in enumerate(run.model.class_names):
        assert list(scores["per_class"][name].values()) == pytest.approx([column[i] for column in found])


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_majority_is_that_of_train(run: Run, split: str) -> None:
    (majority, _), *_ = Counter(labels_of(run, "train").values()).most_common()
    found = list(labels_of(run, split).values())
    assert told(run)["scores"][split]["majority_accuracy"] == pytest.approx(found.count(majority) / len(found))


def test_predictions_name_the_labels_of_the_manifest_and_give_the_accuracy_and_the_confusion(run: Run) -> None:
    with (run.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"]: row["true"] for row in rows} == labels_of(run, "test")
    scores = told(run)["scores"]["test"]
    true, predicted = [row["true"] for row in rows], [row["predicted"] for row in rows]
    assert scores["accuracy"] == accuracy_score(true, predicted)
    assert scores["confusion"] == confusion_matrix(true, predicted, labels=list(run.model.class_names)).tolist()


def test_what_is_said_of_sets_of_classes_is_counted_on_test(run: Run) -> None:
    y, shares = held_out(run, "test")
    calibration = load_file(run.folder / "model" / "model.safetensors")["trust.calibration"]
    n = len(calibration)
    assert n == told(run)["trust"]["calibration"]["pictures"]
    for row in told(run)["trust"]["sets"]:
        rank = math.ceil((n + 1) * row["asked"])
        limit = sorted(calibration)[rank - 1] if rank <= n else math.inf
        inside = 1 - shares.astype(np.float64) <= limit
        inside[np.arange(len(y)), shares.argmax(axis=1)] = True
        assert row["measured"] == pytest.approx(inside[np.arange(len(y)), y].mean())
        assert row["ci95"] == pytest.approx(wilson(int(inside[np.arange(len(y)), y].sum()), len(y)), abs=1e-9)
        assert row["mean_size"] == pytest.approx(inside.sum(axis=1).mean())
        assert row["single"] == pytest.approx((inside.sum(axis=1) == 1).mean())


def test_the_model_that_was_saved_is_the_one_that_was_scored(run: Run) -> None:
    saved = load(run.folder)
    with (run.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    _, shares = held_out(run, "test")
    for row, said, p in zip(rows, saved.predict([row["path"] for row in rows]), shares, strict=True):
        assert list(said.probabilities.values()) == pytest.approx(p, abs=5e-3)  # rows are stored in half precision
        if abs(p.max() - np.sort(p)[-2]) > 0.02 and run.record.plan.threshold is None:
            assert said.class_name == row["predicted"]
        assert said.probability == pytest.approx(float(row["probability"]), abs=5e-3) or said.class_name != row["predicted"]


def test_evaluate_says_what_scikit_learn_says_of_the_models_own_predictions(run: Run, tmp_path: Path) -> None:
    known = labels_of(run, "test")
    found = evaluate(str(run.folder), list(known.items()))
    assert found.scores is not None
    assert found.trained_on == 0
    assert not found.scores.used_for_choosing
    said = run.model.predict(list(known))
    names = list(run.model.class_names)
    y = np.array([names.index(label) for label in known.values()])
    shares = np.array([list(p.probabilities.values()) for p in said])
    shares /= shares.sum(axis=1, keepdims=True)
    assert found.scores.accuracy == accuracy_score(list(known.values()), [p.class_name for p in said])
    assert found.scores.log_loss == pytest.approx(log_loss(y, shares, labels=range(len(names))), abs=0.01)
    confusion = confusion_matrix(list(known.values()), [p.class_name for p in said], labels=names)
    assert [list(row) for row in found.scores.confusion] == confusion.tolist()
    (majority, _), *_ = Counter(labels_of(run, "train").values()).most_common()
    assert found.scores.majority_accuracy == pytest.approx(list(known.values()).count(majority) / len(known))


def test_evaluate_tells_pictures_that_were_learnt_from_apart(run: Run) -> None:
    everything = [pair for split in ("train", "val", "test") for pair in labels_of(run, split).items()]
    found = evaluate(str(run.folder), everything)
    assert found.images == len(everything)
    assert found.trained_on == len(labels_of(run, "train")) + len(labels_of(run, "val"))
    assert found.scores is not None
    assert found.scores_with_seen is not None
    assert (found.scores.n, found.scores_with_seen.n) == (len(labels_of(run, "test")), len(everything))
    assert (found.scores.used_for_choosing, found.scores_with_seen.used_for_choosing) == (False, True)
    assert found.scores.confusion == run.record.scores["test"].confusion


@pytest.mark.parametrize("by_val", [False, True], ids=["folds", "val"])
def test_probabilities_are_calibrated_on_logits_that_no_pictures_own_label_chose(
    by_val: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where labels mean nothing, the luckiest of many candidates looks good on the very pictures that it was the luckiest on."""
    paths = sorted(draw_folder(tmp_path / "coins", per_class=12).rglob("*.*g"))
    seen: list[Probe] = []
    real = frozen
    monkeypatch.setattr(
        "warmstart.workflows.train.frozen", lambda probe, watcher: (seen.append(probe), real(probe, watcher))[1]
    )
    monkeypatch.setattr(selection, "ENOUGH_VAL", 1 if by_val else 1000)
    plan = replace(FROZEN, fractions=(0.4, 0.5, 0.1))
    for seed in range(20):  # until folds disagree about the best candidate, as they mostly do
        rng = np.random.default_rng(seed)
        pictures = [(str(path), str(rng.choice(["heads", "tails"]))) for path in paths]
        made = train(
            pictures, plan, TrainSettings(runs=tmp_path / "runs", report=False, findings=False), watcher=NullProgress()
        )
        choice = seen[-1].learnt.choice
        if not np.array_equal(choice.apart_logits, choice.held_out_logits):
            break
    assert not np.array_equal(choice.apart_logits, choice.held_out_logits)
    assert choice.method == ("val" if by_val else "folds")
    exp = np.exp(choice.apart_logits.astype(np.float64) / made.model.temperature)
    offered = np.concatenate([seen[-1].dataset.positions("train"), seen[-1].choosing])  # to the choice, which counts in these
    y = seen[-1].dataset.targets.labels[offered[choice.held_out]]
    expected = np.sort(of_label(conformity(exp / exp.sum(axis=1, keepdims=True)), y))
    assert load_file(made.folder / "model" / "model.safetensors")["trust.calibration"] == pytest.approx(expected, abs=1e-5)


def test_halves_of_val_divide_neither_copies_nor_groups() -> None:
    from warmstart.records import Picture

    rng = np.random.default_rng(0)
    n, val = 420, 400
    units = np.concatenate([np.arange(n - val), n + rng.integers(0, 150, val)])
    dataset = dataset_module.Dataset(
        source="x",
        task=TASK,
        pictures=tuple(Picture(path=str(i), digest=rng.bytes(16)) for i in range(n)),
        targets=ClassTargets(class_names=("a", "b"), labels=rng.integers(0, 2, n)),
        splits=("train",) * (n - val) + ("val",) * val,
        units=units,
        problems=(),
    )
    choosing, calibrating = dataset_module.halves_of_val(dataset, trains_network=True)
    assert sorted([*choosing, *calibrating]) == list(range(n - val, n))
    assert not set(units[choosing]) & set(units[calibrating])
    assert abs(len(choosing) - len(calibrating)) <= 12
    one_scene = replace(dataset, units=np.concatenate([np.arange(n - val), np.full(val, n)]))
    choosing, calibrating = dataset_module.halves_of_val(one_scene, trains_network=True)
    assert (len(choosing), len(calibrating)) == (val, 0)
