"""A data set of more than 8 bits from end to end: one range, learnt from train, stored with the model, the same wherever it predicts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_shapes import CLASSES, draw_shape, set_back
from warmstart.extraction.rendering import render
from warmstart.model.features import FeatureExtractor
from warmstart.model.predictor import load
from warmstart.plan import Plan
from warmstart.records import ValueRange
from warmstart.session.settings import TrainSettings
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.export import ExportSettings, export
from warmstart.workflows.train import train

PLAN = Plan(image_size_px=64)


def deep(class_name: str, seed: int, kind: str) -> Image.Image:
    """A drawn shape as a camera of 12 or 10 bits, or a sensor of real numbers, gives it."""
    grey = np.asarray(draw_shape(class_name, seed).convert("L")).astype(np.float32)
    if kind == "real":
        values = grey * 0.01 - 1.0
        values[0, 0] = -9999.0
        return Image.fromarray(values)
    return Image.fromarray((grey * {"12 bits": 16, "10 bits": 4}[kind]).astype(np.uint16))


def draw(folder: Path, kind: str, first: int = 0, per_class: int = 8) -> Path:
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + per_class):
            deep(name, seed, kind).save(folder / name / f"{seed}.tif")
    set_back(folder)
    return folder


@pytest.mark.parametrize("kind", ["12 bits", "10 bits", "real"])
def test_the_range_is_learnt_saved_and_used_again(tmp_path: Path, kind: str) -> None:
    data = draw(tmp_path / "data", kind)
    settings = TrainSettings(runs=tmp_path / "runs", report=False, findings=False)
    run = train(str(data), PLAN, settings)
    # one range for all
    values = run.model.preprocessing.values
    assert values.bits == {"12 bits": 12, "10 bits": 10, "real": None}[kind]
    assert (values.real is not None) == (kind == "real")
    # it is saved with the model, and a dark picture is dark for it, not stretched by itself
    again = load(run.folder)
    assert again.preprocessing == run.model.preprocessing
    path = sorted((data / "circle").iterdir())[0]
    assert render(path, again.preprocessing).max() > 120
    dark = tmp_path / "dark.tif"
    Image.fromarray((np.asarray(Image.open(path)) / 8).astype(np.asarray(Image.open(path)).dtype)).save(dark)
    if kind != "real":
        assert render(dark, again.preprocessing).max() < 64
    assert again.predict(path).probabilities == run.model.predict(path.read_bytes()).probabilities
    # the rows of the run are those of prediction
    scores = evaluate(str(run.folder), str(data))
    assert scores.cache.misses == 0
    # ten more pictures cost ten
    before = sum(1 for _ in data.rglob("*.tif"))
    for i in range(10):
        deep("square", 50 + i, kind).save(data / "square" / f"more-{i}.tif")
    more = train(str(data), PLAN, settings)
    assert more.model.preprocessing.values == values
    assert (more.record.cache.hits, more.record.cache.misses) == (before, 10)


def test_an_export_reads_deep_pictures_as_the_model_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from warmstart.runtime.predictor import open_exported

    data = draw(tmp_path / "data", "10 bits")
    run = train(str(data), PLAN, TrainSettings(runs=tmp_path / "runs", report=False, findings=False))
    result = export(str(run.folder), ExportSettings(format="onnx", out=tmp_path / "onnx"))
    exported = open_exported(tmp_path / "onnx")
    assert exported.preprocessing.values == ValueRange(bits=10)
    assert result is not None
    for path in sorted((data / "stripes").iterdir())[:3]:
        ours, theirs = run.model.predict(path), exported.predict(path)
        np.testing.assert_allclose(list(ours.probabilities.values()), list(theirs.probabilities.values()), atol=2e-2)


def test_a_transformer_learns_the_range_in_fit_and_keeps_it_in_transform(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", "12 bits", per_class=2)
    paths = [str(path) for path in sorted(data.rglob("*.tif"))]
    features = FeatureExtractor(image_size_px=64).fit(paths)
    assert features.recipe_.preprocessing.values == ValueRange(bits=12)
    dark = tmp_path / "dark.tif"
    Image.fromarray(np.asarray(Image.open(paths[0])) // 16).save(dark)
    assert not np.allclose(features.transform([paths[0]]), features.transform([str(dark)]))
