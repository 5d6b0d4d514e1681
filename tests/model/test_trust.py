"""What a model says of its own reliability: sets of classes, novelty, and both through a folder and from before there was one."""

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_shapes import draw_shape
from warmstart.errors import UsageError
from warmstart.evaluation.novelty import UNLIKE
from warmstart.model.files import _own_digest
from warmstart.model.predictor import Model, load
from warmstart.records import Prediction
from warmstart.tasks.classify.trust import Trust
from warmstart.workflows.predict import open_model, predict
from warmstart.workflows.train import Run


@pytest.fixture
def model(trained: Run, warm_cache: Path) -> Model:
    return trained.model


def shape(model: Model, **asked: float) -> Prediction:
    prediction = model.predict(draw_shape("circle", 90), **asked)
    assert isinstance(prediction, Prediction)
    return prediction


def test_a_set_begins_with_the_most_probable_class_and_grows_with_the_coverage(model: Model) -> None:
    sets = [shape(model, coverage=share).classes for share in (0.5, 0.8, 0.99)]
    for small, large in itertools.pairwise(sets):
        assert small is not None
        assert large is not None
        assert large[: len(small)] == small
    assert sets[2] == tuple(
        sorted(model.class_names, key=lambda name: -shape(model).probabilities[name])
    )  # 17 pictures: too few
    assert shape(model).classes is None


def test_noise_is_unlike_training_and_another_shape_is_not(model: Model) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8))
    strange, usual = model.predict([noise, draw_shape("circle", 90)])
    assert isinstance(strange, Prediction)
    assert isinstance(usual, Prediction)
    assert strange.novelty is not None
    assert usual.novelty is not None
    assert strange.novelty >= UNLIKE > usual.novelty


def test_all_of_it_is_in_the_folder(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    assert shape(copy, coverage=0.8) == shape(model, coverage=0.8)
    assert copy.coverage(0.8) == model.coverage(0.8)


def test_a_model_from_before_predicts_as_ever_and_says_what_it_cannot(trained: Run, warm_cache: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder / "model", tmp_path / "model"))
    document = json.loads((folder / "model.json").read_text("utf-8"))
    del document["trust"], document["digest"]
    (folder / "model.json").write_text(json.dumps(document | {"digest": _own_digest(document)}), "utf-8")
    old = load(folder)
    assert shape(old).probabilities == shape(trained.model).probabilities
    assert shape(old).novelty is None
    with pytest.raises(UsageError, match=r"was not calibrated for sets.*Train again"):
        old.predict(draw_shape("circle", 90), coverage=0.9)
    old.save(tmp_path / "again")
    assert load(tmp_path / "again").trust is None


def test_the_network_of_the_source_has_no_sets() -> None:
    with pytest.raises(UsageError, match="network of its source"):
        open_model("imagenet:efficientnet_lite0").coverage(0.9)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 95.0])
def test_a_coverage_that_is_no_share_is_refused_before_any_picture_is_read(trained: Run, coverage: float) -> None:
    with pytest.raises(UsageError, match=r"outside 0 … 1.*such as 0\.95"):
        predict(str(trained.folder), ["nowhere.jpg"], coverage=coverage)


def test_coverage_is_the_share_of_test_pictures_whose_class_is_in_the_set() -> None:
    trust = Trust(calibration=np.arange(1, 20) / 20, test=np.array([0.0, 0.5, 0.9, 0.97]), novelty=None)
    assert trust.limit(0.95) == pytest.approx(0.95)
    measured = trust.coverage(0.95)
    assert (measured.measured, measured.pictures, measured.calibrated_on) == (0.75, 4, 19)
    assert measured.ci95 is not None
    assert measured.ci95[0] <= 0.75 <= measured.ci95[1]
    untested = replace(trust, test=np.empty(0)).coverage(0.95)
    assert (untested.measured, untested.ci95, untested.pictures) == (None, None, 0)


def test_the_record_says_what_the_model_says(trained: Run) -> None:
    assert trained.model.trust is not None
    for row in trained.record.trust["sets"]:
        assert {key: row[key] for key in ("asked", "measured", "pictures")} == {
            key: value
            for key, value in trained.model.coverage(row["asked"]).to_dict().items()
            if key in ("asked", "measured", "pictures")
        }
        assert 1 <= row["mean_size"] <= 3
    assert trained.record.trust["calibration"]["apart"] is True
    assert set(trained.record.trust["ece"]) == {"before", "after", "p95_when_calibrated"}
