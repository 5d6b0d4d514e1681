"""FeatureExtractor: a transformer as scikit-learn expects one, over paths, images and arrays."""

import io
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from drawn_shapes import draw_shape
from warmstart.errors import DataError, PictureError, UnknownNameError, UsageError
from warmstart.model.features import FeatureExtractor
from warmstart.session.outcome import Run


@pytest.fixture
def features_cache(trained: Run, trained_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all of these tests: none of them cares who computed a row, and an engine is proved only once."""
    folder = tmp_path_factory.getbasetemp() / "features-cache"
    if not folder.exists():
        shutil.copytree(trained_cache, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(folder))
        yield folder


@pytest.fixture
def paths(shapes: Path) -> list[str]:
    return [str(path) for path in sorted(shapes.rglob("*.png"))]


def test_in_a_pipeline_an_svm_learns_from_paths_and_predicts_images_and_arrays(paths: list[str], features_cache: Path) -> None:
    labels = [Path(path).parent.name for path in paths]
    pipeline = make_pipeline(FeatureExtractor(image_size_px=64), SVC(kernel="linear"))
    pipeline.fit(paths, labels)
    images = [Image.open(path).convert("RGB") for path in paths]
    from_paths, from_images = pipeline.predict(paths), pipeline.predict(images)
    assert from_paths.tolist() == from_images.tolist() == pipeline.predict([np.asarray(image) for image in images]).tolist()
    assert np.mean(from_paths == labels) > 0.9


def test_features_are_the_same_whatever_the_picture_comes_as(paths: list[str], features_cache: Path) -> None:
    extractor = FeatureExtractor(image_size_px=64).fit(paths)
    features = extractor.transform(paths)
    assert features.dtype == np.float32
    assert features.shape == (len(paths), extractor.n_features_out_) == (len(paths), len(extractor.get_feature_names_out()))
    assert np.array_equal(extractor.transform([Image.open(path).convert("RGB") for path in paths]), features)
    assert np.array_equal(extractor.transform([Path(path).read_bytes() for path in paths]), features)
    assert np.array_equal(extractor.transform(np.array(paths, dtype=object)), features)
    assert np.array_equal(extractor.transform(list(reversed(paths))), features[::-1])


def test_a_batch_as_one_array_is_as_many_pictures(features_cache: Path) -> None:
    batch = np.stack([np.asarray(draw_shape("circle", seed).resize((70, 70))) for seed in range(4)])
    assert FeatureExtractor(image_size_px=64).fit_transform(batch).shape[0] == 4


def test_a_clone_has_the_same_settings_and_nothing_learnt(paths: list[str], features_cache: Path) -> None:
    extractor = FeatureExtractor(cut="stage3", image_size_px=64, views="flip").fit(paths)
    copy = clone(extractor)
    assert copy.get_params() == extractor.get_params()
    assert not hasattr(copy, "recipe_")
    assert copy.set_params(cut="stage2").cut == "stage2"


def test_a_cut_gives_the_features_of_that_stage(paths: list[str], features_cache: Path) -> None:
    stage = FeatureExtractor(cut="stage3", image_size_px=64).fit(paths)
    named = FeatureExtractor(taps="stage3", image_size_px=64).fit(paths)
    assert set(stage.taps_) == {"stage3"}
    assert np.array_equal(stage.transform(paths), named.transform(paths))
    assert stage.get_feature_names_out()[0] == "stage3_0"


def test_a_fitted_extractor_can_be_handed_to_another_process(paths: list[str], features_cache: Path) -> None:
    extractor = FeatureExtractor(image_size_px=64).fit(paths)
    features = extractor.transform(paths)
    assert np.array_equal(pickle.loads(pickle.dumps(extractor)).transform(paths), features)  # noqa: S301


def test_a_broken_picture_is_an_error_that_names_it(paths: list[str], features_cache: Path, tmp_path: Path) -> None:
    extractor = FeatureExtractor(image_size_px=64).fit(paths)
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(paths[0]).read_bytes()[:200])
    with pytest.raises(PictureError, match=r"1 pictures? cannot be used.*cut\.png") as caught:
        extractor.transform([*paths, str(cut)])
    assert caught.value.kind == "truncated"
    with pytest.raises(PictureError, match=r"nowhere\.png"):
        extractor.transform([str(tmp_path / "nowhere.png")])
    with pytest.raises(PictureError, match="uint8"):
        extractor.transform([np.zeros((8, 8, 3), np.float64)])


def test_nothing_to_transform_is_an_error(paths: list[str], features_cache: Path) -> None:
    with pytest.raises(DataError, match="no picture"):
        FeatureExtractor(image_size_px=64).fit([])


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"backbone": "efficientnet_lite7"}, UnknownNameError, "efficientnet_lite0"),
        ({"cut": "stage77"}, Exception, "stage7"),
        ({"cut": "pixels"}, UsageError, "pixels"),
        ({"taps": "stag3"}, UsageError, "stage3"),
        ({"views": "flop"}, UnknownNameError, "flip"),
        ({"resize": "crpo"}, UnknownNameError, "crop"),
        ({"engine": "tensorrt"}, UnknownNameError, "openvino"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_fit(
    settings: dict[str, str], error: type[Exception], says: str, paths: list[str], features_cache: Path
) -> None:
    with pytest.raises(error, match=says):
        FeatureExtractor(**settings, image_size_px=64).fit(paths)


def test_one_picture_an_iterator_and_open_files_are_taken_and_what_is_no_picture_is_refused(
    paths: list[str], features_cache: Path
) -> None:
    extractor = FeatureExtractor(image_size_px=64).fit(paths)
    expected = extractor.transform(paths)
    assert np.array_equal(extractor.transform(iter(paths)), expected)
    assert np.array_equal(extractor.transform(paths[0]), expected[:1])
    assert np.array_equal(extractor.transform([io.BytesIO(Path(path).read_bytes()) for path in paths]), expected)
    assert np.array_equal(extractor.transform(pd.Series(paths)), expected)
    for nothing in (None, 5, {"a": 1}, [], iter([]), np.zeros(4), pd.DataFrame({"path": paths})):
        with pytest.raises(DataError):
            extractor.transform(nothing)
    for broken in ([None], [object()], [np.zeros((2, 2, 2))], ["nowhere.jpg"]):
        with pytest.raises(PictureError):
            extractor.transform(broken)
