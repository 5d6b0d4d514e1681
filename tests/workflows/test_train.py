"""train, end to end on drawn pictures: what it writes, what it computes again and what not."""

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_shapes import CLASSES, draw_folder, draw_shape, set_back
from warmstart.errors import DataError, StoreError, UnknownNameError, UsageError
from warmstart.model.predictor import load
from warmstart.plan import Plan
from warmstart.session.outcome import Run
from warmstart.session.settings import TrainSettings
from warmstart.store.cache import Store
from warmstart.store.key import row_key
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.train import train

SMALL = Plan(image_size_px=64)
_opened: list[str] | None = None


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if _opened is not None and event == "open":
        _opened.append(str(arguments[0]))


sys.addaudithook(_note)  # cannot be taken away again, so it looks at a variable


@contextmanager
def watch_opens() -> Iterator[list[str]]:
    """Every path that this process opens."""
    global _opened
    _opened = seen = []
    try:
        yield seen
    finally:
        _opened = None


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    """run(data, plan): train into this test's folder."""
    return lambda data, plan=SMALL, **settings: train(data, plan, TrainSettings(runs=tmp_path / "runs", **settings))


def test_a_run_folder_holds_plan_record_predictions_report_and_model(trained: Run, shapes: Path) -> None:
    folder = trained.folder
    parts = [
        "doctor.json",
        "model",
        "pictures.json",
        "pictures.safetensors",
        "plan.json",
        "predictions.csv",
        "report.html",
        "run.json",
    ]
    assert sorted(path.name for path in folder.iterdir()) == parts
    assert sorted(path.name for path in (folder / "model").iterdir()) == ["model.json", "model.safetensors"]
    record = json.loads((folder / "run.json").read_text("utf-8"))
    parity = record["parity"]
    assert (parity["format"], parity["proven"], parity["pictures"]) == (
        record["engine"]["name"],
        True,
        record["scores"]["test"]["n"],
    )
    assert record == json.loads(json.dumps(trained.record.to_dict()))
    assert json.loads((folder / "plan.json").read_text("utf-8")) == record["plan"] | {"forecast": record["forecast"]}
    assert record["forecast"]["seconds"].keys() == {"extract", "fit", "train", "total"}
    assert "auto" not in [record["plan"][name] for name in ("taps", "engine", "precision")]
    assert Plan.from_dict(record["plan"]) == trained.record.plan

    assert {"images", "classes", "splits", "problems"} <= set(record["data"])
    assert record["data"]["images"] == 24
    assert record["data"]["classes"] == dict.fromkeys(CLASSES, 8)
    assert sum(record["data"]["splits"].values()) == 24
    assert record["data"]["problems"] == []
    assert set(record["scores"]) == {"val", "test"}
    for scores in record["scores"].values():
        assert {"accuracy", "accuracy_ci95", "macro_f1", "log_loss", "ece", "majority_accuracy"} <= set(scores)
    assert {"total", "extract", "fit", "evaluate"} <= set(record["seconds"])
    assert record["seconds"]["total"] >= record["seconds"]["extract"] + record["seconds"]["fit"]
    assert record["images_per_second"] > 0
    assert record["cache"] == {"hits": 0, "misses": 24}
    assert record["run_dir"] == str(folder)
    assert record["engine"]["proof"]["pictures"] == 16


def test_predictions_name_every_test_picture_with_its_class_and_probability(trained: Run, warm_cache: Path) -> None:
    with (trained.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert trained.scores.test is not None
    assert len(rows) == trained.scores.test.n == trained.record.data.splits["test"]
    right = 0
    for row in rows:
        assert Path(row["path"]).parent.name == row["true"]
        right += row["true"] == row["predicted"]
        (prediction,) = trained.model.predict([row["path"]])
        assert prediction.class_name == row["predicted"]
        assert float(row["probability"]) == pytest.approx(prediction.probability, abs=2e-3)  # rows are stored in half precision
    assert right / len(rows) == trained.scores.test.accuracy


def test_the_shapes_are_learnt(trained: Run) -> None:
    assert trained.scores.test is not None
    assert trained.scores.test.accuracy > trained.scores.test.majority_accuracy


def test_evaluate_computes_the_very_scores_of_the_run(trained: Run, shapes: Path, warm_cache: Path) -> None:
    again = evaluate(str(trained.folder), str(shapes))
    learnt = trained.record.data.splits["train"] + trained.record.data.splits["val"]
    assert (again.images, again.trained_on) == (24, learnt)
    assert again.scores == trained.scores.test
    assert again.scores_with_seen is not None
    assert again.scores_with_seen.used_for_choosing
    assert (again.cache.hits, again.cache.misses) == (24, 0)


def test_a_second_run_opens_no_picture_and_gives_the_same(
    trained: Run, shapes: Path, warm_cache: Path, run: Callable[..., Run]
) -> None:
    with watch_opens() as opened:
        second = run(str(shapes), report=False)
    assert not [path for path in opened if str(shapes) in path]
    assert opened  # the hook sees something: the store, the weights
    assert (second.record.cache.hits, second.record.cache.misses) == (24, 0)
    assert second.record.images_per_second is None
    assert second.record.scores == trained.record.scores
    assert second.folder != trained.folder


def test_a_changed_picture_costs_one_and_ten_added_ones_ten(warm_cache: Path, tmp_path: Path, run: Callable[..., Run]) -> None:
    data = draw_folder(tmp_path / "own")
    run(str(data))
    changed = data / "circle" / "0.png"
    earlier_ns = changed.stat().st_mtime_ns
    draw_shape("circle", 100).save(changed)
    os.utime(changed, ns=(earlier_ns, earlier_ns + 1))
    second = run(str(data))
    assert (second.record.cache.hits, second.record.cache.misses) == (23, 1)

    draw_folder(data, 5, first_seed=20, classes=("circle", "square"))
    third = run(str(data))
    assert (third.record.cache.hits, third.record.cache.misses) == (24, 10)
    assert third.record.data.images == 34


def test_flipped_views_share_the_plain_rows(shapes: Path, warm_cache: Path, run: Callable[..., Run]) -> None:
    flipped = run(str(shapes), replace(SMALL, views="flip"))
    assert (flipped.record.cache.hits, flipped.record.cache.misses) == (24, 24)
    # A picture and its mirror image are the same to a model that averages over both.
    picture = draw_shape("stripes", 3)
    plain, mirrored = flipped.model.predict([picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])
    assert plain.probabilities == pytest.approx(mirrored.probabilities, abs=2e-2)


def test_renaming_the_folder_computes_nothing(shapes: Path, warm_cache: Path, tmp_path: Path, run: Callable[..., Run]) -> None:
    shutil.copytree(shapes, tmp_path / "elsewhere")
    assert run(str(tmp_path / "elsewhere")).record.cache.misses == 0


def test_a_damaged_row_is_computed_again_and_noted(
    trained: Run, shapes: Path, warm_cache: Path, run: Callable[..., Run]
) -> None:
    (recipe,) = [path for path in (warm_cache / "store").iterdir() if (path / "recipe.json").is_file()]
    with Store(warm_cache / "store") as store:
        (described,) = store.recipes()
        with store.rows(described.recipe, row_format=described.recipe["format"]) as rows:
            digest = bytes.fromhex(trained.model.about["trained_on"][0])
            (row,) = rows.read([row_key(digest, "plain")])
    content = bytearray((recipe / "data.mdb").read_bytes())
    at = content.index(row.tobytes())
    content[at + 10] ^= 1
    (recipe / "data.mdb").write_bytes(content)
    healed = run(str(shapes))
    assert [note for note in healed.record.engine["notes"] if "1 damaged rows" in note]
    assert healed.record.scores == trained.record.scores
    assert not run(str(shapes)).record.engine["notes"]


def test_broken_pictures_are_left_out_counted_and_named(warm_cache: Path, tmp_path: Path, run: Callable[..., Run]) -> None:
    data = draw_folder(tmp_path / "own")
    whole = (data / "circle" / "0.png").read_bytes()
    (data / "circle" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (data / "square" / "text.jpg").write_text("not a picture")
    (data / "square" / "empty.jpg").touch()
    first = run(str(data))
    kinds = {Path(problem.path).name: problem.kind for problem in first.record.data.problems}
    assert kinds == {"cut.png": "truncated", "text.jpg": "not-a-picture", "empty.jpg": "empty"}
    for problem in first.record.data.problems:
        assert problem.path in problem.message
    assert first.record.data.images == 24
    assert (first.record.cache.hits, first.record.cache.misses) == (24, 0)  # a broken picture is neither
    set_back(data)
    run(str(data))
    with watch_opens() as opened:
        third = run(str(data), report=False)
    assert not [path for path in opened if str(data) in path]  # broken ones are remembered too
    assert third.record.data.problems == first.record.data.problems
    with pytest.raises(DataError, match=r"--strict: 3 problems"):
        run(str(data), strict=True)


def test_strict_is_content_with_a_sound_folder(shapes: Path, warm_cache: Path, run: Callable[..., Run]) -> None:
    assert run(str(shapes), strict=True).scores.test is not None


def test_of_two_classes_positive_and_threshold_decide_and_are_saved(
    warm_cache: Path, tmp_path: Path, run: Callable[..., Run]
) -> None:
    data = draw_folder(tmp_path / "two", classes=("circle", "square"))
    draw_folder(tmp_path / "more", 6, first_seed=50, classes=("circle", "square"))
    for path in (tmp_path / "more" / "circle").iterdir():  # circles called squares: nothing is certain any more
        path.rename(data / "square" / path.name)
    found = {}
    for threshold in (None, 1e-6, 1 - 1e-6):
        trained = run(str(data), replace(SMALL, positive="square", threshold=threshold))
        model = load(trained.folder)
        assert (model.positive, model.threshold) == ("square", threshold)
        predictions = model.predict(sorted(data.rglob("*.*")))
        found[threshold] = [prediction.class_name for prediction in predictions].count("square")
        for prediction in predictions:
            assert prediction.probability == prediction.probabilities[prediction.class_name]
    assert (found[1e-6], found[1 - 1e-6]) == (22, 0)
    assert 0 < found[None] < 22
    assert trained.scores.test is not None
    assert trained.scores.test.per_class["square"]["recall"] == 0  # scores follow the decision


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"positive": "sqare"}, UnknownNameError, "Did you mean 'square'"),
        ({"positive": "square"}, UsageError, "two classes; .* has 3"),
        ({"threshold": 0.3}, UsageError, "name it with --positive"),
        ({"head": "svn"}, UnknownNameError, "'svm'"),
        ({"cut": "stage77", "head": "svm"}, UsageError, "stage7"),
        ({"backbone": "efficientnet_lite7"}, UnknownNameError, "Did you mean .*efficientnet_lite0"),
        ({"taps": "stage1,stag2"}, UsageError, "stag2"),
        ({"resize": "crpo"}, UnknownNameError, "crop"),
        ({"views": "flop"}, UnknownNameError, "flip"),
        ({"engine": "tensorrt"}, UnknownNameError, "openvino"),
        ({"precision": "int8"}, UnknownNameError, "bf16"),
        ({"class_weight": "balance"}, UnknownNameError, "balanced"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_the_way_out(
    changes: dict[str, object], error: type[Exception], says: str, shapes: Path, warm_cache: Path, run: Callable[..., Run]
) -> None:
    with pytest.raises(error, match=says):
        run(str(shapes), replace(SMALL, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("head", ["svm", "svm-rbf", "ridge", "knn", "mlp"])
def test_every_head_trains_on_an_earlier_stage(head: str, shapes: Path, warm_cache: Path, run: Callable[..., Run]) -> None:
    trained = run(str(shapes), replace(SMALL, head=head, cut="stage3"))
    assert trained.record.plan.taps == "stage3"
    assert trained.record.cache.misses == 0
    assert trained.scores.test is not None
    assert trained.scores.test.accuracy >= 0.5


def test_pairs_and_data_frames_train_like_the_folder(
    trained: Run, shapes: Path, warm_cache: Path, run: Callable[..., Run]
) -> None:
    import pandas

    pairs = [(str(path), path.parent.name) for path in sorted(shapes.rglob("*.*"))]
    frame = pandas.DataFrame(pairs, columns=["path", "label"])
    assert run(pairs).record.scores == run(frame).record.scores == trained.record.scores


def test_a_store_too_small_for_the_rows_says_so(shapes: Path, warm_cache: Path, run: Callable[..., Run]) -> None:
    shutil.rmtree(warm_cache / "store")
    with pytest.raises(StoreError, match=r"full|budget"):
        run(str(shapes), store_bytes=40_000)


def test_probabilities_of_the_saved_rows_are_finite(trained: Run) -> None:
    rows = np.zeros((2, sum(width for _, width in trained.model.layout)), np.float16)
    assert np.isfinite(trained.model.probabilities(rows)).all()
