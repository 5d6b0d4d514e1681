"""Predicting: from anything that is a picture, in order, whatever stands between; the threshold; the network's own classes."""

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_shapes import draw_shape
from warmstart.backbones.weights import load_backbone
from warmstart.errors import DataError, PictureError
from warmstart.extraction.rendering import render
from warmstart.model.predictor import Model
from warmstart.records import Prediction, Preprocessing, Problem
from warmstart.runtime.predictor import Exported
from warmstart.session.outcome import Run
from warmstart.tasks.classify.answers import ClassAnswers
from warmstart.tasks.classify.model import ClassModel
from warmstart.workflows.predict import open_model, predict


@pytest.fixture
def model(trained: Run, warm_cache: Path) -> Model:
    return trained.model


def test_a_path_bytes_an_image_and_an_array_of_one_picture_give_one_answer(model: Model, tmp_path: Path) -> None:
    picture = draw_shape("circle", 50)
    path = tmp_path / "x.png"
    picture.save(path)
    sources = [str(path), path, path.read_bytes(), picture, np.asarray(picture)]
    single = [model.predict(source) for source in sources]
    together = model.predict(sources)
    assert all(isinstance(prediction, Prediction) for prediction in single)
    assert [p.probabilities for p in single] == [single[0].probabilities] * 5
    for prediction in together:  # not to the bit: see below
        assert prediction.probabilities == pytest.approx(single[0].probabilities, rel=1e-5)
    assert [p.source for p in together] == [str(path), str(path), "picture 2", "picture 3", "picture 4"]
    assert sum(single[0].probabilities.values()) == pytest.approx(1)
    assert single[0].probability == max(single[0].probabilities.values()) == single[0].probabilities[single[0].class_name]


def test_a_grey_array_is_one_picture_and_a_generator_is_several(model: Model) -> None:
    grey = np.asarray(draw_shape("square", 50).convert("L"))
    as_grey, as_rgb = model.predict(grey), model.predict(np.stack([grey] * 3, axis=2))
    assert as_grey.probabilities == as_rgb.probabilities
    assert len(model.predict(draw_shape("square", seed) for seed in range(3))) == 3
    assert len(model.predict(np.zeros((5, 40, 40, 3), np.uint8))) == 5
    assert model.predict([]) == []


@pytest.mark.parametrize("views", [("plain",), ("plain", "flip")])
def test_pictures_prepared_one_by_one_and_predicted_together_get_the_answers_of_predict(
    model: Model, views: tuple[str, ...]
) -> None:
    seen = replace(model, preprocessing=replace(model.preprocessing, views=views))
    pictures = [draw_shape("circle", seed) for seed in range(7)]
    prepared = [seen.prepare(picture) for picture in pictures]
    assert all(pixels.dtype == np.uint8 and pixels.shape == (3, 64, 64) for pixels in prepared)
    expected = seen.predict(pictures)
    found = seen.predict_prepared(prepared, [f"picture {i}" for i in range(7)])
    assert [p.source for p in found] == [p.source for p in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.probabilities == pytest.approx(theirs.probabilities, rel=1e-5)
        assert ours.novelty == pytest.approx(theirs.novelty)
    assert seen.predict_prepared([], []) == []


def test_broken_pictures_are_problems_in_their_places(model: Model, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    draw_shape("circle", 1).save(good)
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:300])
    pattern = "gbggggbbbbbbbbbbggbgb"  # whole batches of either kind among them
    sources = [{"g": good, "b": cut}[letter] for letter in pattern]
    results = list(model.predict_each(sources))
    assert "".join("b" if isinstance(result, Problem) else "g" for result in results) == pattern
    for result in results:
        if isinstance(result, Problem):
            assert (result.path, result.kind) == (str(cut), "truncated")
            assert str(cut) in result.message
    with pytest.raises(PictureError, match=r"cut\.png"):
        model.predict(sources)


class _Raises:
    """A path, an array or a file whose own methods raise."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise self.error


class _RaisesAsPath(_Raises, os.PathLike[str]):
    def __fspath__(self) -> str:
        raise self.error


class _RaisesAsFile(_Raises):
    def read(self) -> bytes:
        raise self.error


def bad_objects() -> list[Any]:
    """Each of which cannot be a picture, in a way of its own."""
    cut = io.BytesIO()
    draw_shape("circle", 1).save(cut, "PNG")
    lazily_opened = Image.open(io.BytesIO(cut.getvalue()[:400]))
    closed = Image.open(io.BytesIO(cut.getvalue()))
    assert closed.fp is not None
    closed.fp.close()
    closed_file = io.BytesIO(cut.getvalue())
    closed_file.close()
    raising = [
        kind(error("gone"))
        for kind in (_Raises, _RaisesAsPath, _RaisesAsFile)
        for error in (KeyError, ZeroDivisionError, OSError)
    ]
    return [
        *raising,
        lazily_opened,
        closed,
        closed_file,
        None,
        7,
        {},
        [],
        "nowhere.jpg",
        b"",
        b"no",
        np.zeros(3),
        np.zeros((3, 8, 9)),
        object(),
    ]


def test_one_bad_object_costs_only_itself(model: Model) -> None:
    bad = bad_objects()
    sources = [one for each in bad for one in (draw_shape("circle", 2), each)]
    results = list(model.predict_each(sources))
    assert [isinstance(result, Problem) for result in results] == [False, True] * len(bad)
    assert all(result.kind and result.message for result in results if isinstance(result, Problem))
    assert len({str(result.probabilities) for result in results if isinstance(result, Prediction)}) <= 2  # by the batch's size


class _Runner:
    """Every picture is of the first class."""

    batch_size = 3

    def map(self, batches: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        for first, pixels in batches:
            yield first, np.tile(np.array([0.75, 0.25], np.float32), (len(pixels), 1))


@pytest.mark.parametrize("resize_inside", [False, True])
def test_one_bad_object_costs_only_itself_with_an_exported_file_too(resize_inside: bool) -> None:
    preprocessing = Preprocessing(size_px=32)
    reading = ClassAnswers(class_names=("a", "b"), positive=None, threshold=None, trust=None, uncalibrated="")
    document = SimpleNamespace(
        task="classify", reading=reading, preprocessing=preprocessing, resize_inside=resize_inside, places=False
    )
    exported = Exported(document, _Runner())  # type: ignore[arg-type]
    bad = bad_objects()
    results = list(exported.predict_each(one for each in bad for one in (draw_shape("circle", 2), each)))
    assert [isinstance(result, Problem) for result in results] == [False, True] * len(bad)
    assert [r.source for r in results if isinstance(r, Prediction)] == [f"picture {2 * i}" for i in range(len(bad))]


def test_one_picture_and_pictures_as_they_come_are_taken_by_predict_each(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    draw_shape("circle", 1).save(path)
    assert [result.source for result in model.predict_each(str(path)) if isinstance(result, Prediction)] == [str(path)]
    assert len(list(model.predict_each(path.read_bytes()))) == 1
    assert len(list(model.predict_each(draw_shape("circle", seed) for seed in range(5)))) == 5
    with path.open("rb") as file:
        assert len(list(model.predict_each(file))) == 1
    with pytest.raises(DataError, match="names no picture"):
        list(model.predict_each(None))


def test_order_is_kept_over_many_batches(model: Model) -> None:
    pictures = [draw_shape(("circle", "square", "stripes")[i % 3], i) for i in range(41)]
    alone = [model.predict(picture).probabilities for picture in pictures[::8]]
    # Not to the bit: the head's matrix product may add up in another order for another number of rows.
    for together, by_itself in zip(model.predict(pictures)[::8], alone, strict=True):
        assert together.probabilities == pytest.approx(by_itself, rel=1e-3)


def test_answers_come_while_pictures_are_still_being_read(model: Model) -> None:
    picture, last = draw_shape("circle", 1), 0

    class Watched(Sequence[Image.Image]):
        def __len__(self) -> int:
            return 400

        def __getitem__(self, i: int) -> Image.Image:  # type: ignore[override]
            nonlocal last
            if i >= 400:
                raise IndexError
            last = max(last, i)
            return picture

    answers = model.predict_each(Watched())
    next(answers)
    assert last < 200
    assert len(list(answers)) == 399


@pytest.mark.parametrize("source", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.uint8), 7, None, Path("nowhere.jpg")])
def test_what_is_no_picture_is_refused(model: Model, source: object) -> None:
    with pytest.raises(PictureError, match=r"expected|does not exist"):
        model.predict([source])


def test_with_a_threshold_the_positive_class_is_predicted_from_it_on(model: ClassModel) -> None:
    def deciding(**how: Any) -> ClassModel:
        return replace(model, fitted=replace(model.fitted, class_names=("a", "b"), **how))

    shares = np.array([[0.29, 0.71], [0.3, 0.7], [0.9, 0.1]])
    assert deciding(positive="a", threshold=0.3).decide(shares).tolist() == [1, 0, 0]
    assert deciding(positive="b", threshold=0.3).decide(shares).tolist() == [1, 1, 0]
    assert deciding(positive=None, threshold=None).decide(shares).tolist() == [1, 1, 0]


def test_a_model_trained_in_bf16_is_used_in_float32_where_the_processor_has_none(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from warmstart.engines import openvino

    picture = draw_shape("circle", 3)
    native = replace(model, engine="openvino", precision="bf16").predict(picture)
    monkeypatch.setattr(openvino, "precisions", lambda: ("f32",))
    other = replace(model, engine="openvino", precision="bf16")
    assert other.usable_precision() == "f32"
    assert other.predict(picture).probabilities == pytest.approx(native.probabilities, abs=0.1)


def test_the_pretrained_network_predicts_its_own_1000_classes_as_torch_does(tmp_path: Path) -> None:
    from sklearn.datasets import load_sample_image

    path = tmp_path / "flower.png"
    Image.fromarray(load_sample_image("flower.jpg")).save(path)
    result = predict("imagenet:efficientnet_lite0", [str(path)])
    (prediction,) = result.predictions
    class_names = result.facts.says["classes"]
    assert len(set(class_names)) == len(prediction.probabilities) == 1000
    assert sum(prediction.probabilities.values()) == pytest.approx(1)

    backbone = load_backbone("efficientnet_lite0")
    spec = backbone.spec
    pixels = torch.from_numpy(render(path, Preprocessing(size_px=spec.input_size_px))).float()[None] / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    with torch.inference_mode():
        expected = torch.softmax(backbone.network((pixels - mean) / std), dim=1)[0].numpy()
    assert list(prediction.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-3)
    assert prediction.class_name == class_names[int(expected.argmax())]
    # A dahlia, for which ImageNet has no class; the network's guesses are flowers and what sits on them.
    assert prediction.probability > 0.2
    assert open_model("imagenet:efficientnet_lite0").about["source"] == "ImageNet-1k"


def test_encoded_bytes_of_any_format_are_read(model: Model) -> None:
    for format_name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        file = io.BytesIO()
        draw_shape("stripes", 5).save(file, format_name)
        assert isinstance(model.predict(file.getvalue()), Prediction)
