"""explain and filters from a model folder on: what is found, what is drawn, and what is said when something is missing."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drawn_shapes import draw_folder, draw_shape
from warmstart.backbones.weights import load_backbone
from warmstart.errors import DataError, PictureError, UnknownNameError
from warmstart.tasks.classify.explain.explanation import ExplainSettings, draw, explain
from warmstart.workflows.filters import draw as draw_filters
from warmstart.workflows.filters import filters
from warmstart.workflows.train import Run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "wide.png"
    shape = draw_shape("circle", 50)
    page = Image.new("RGB", (200, 100), "black")
    page.paste(shape, (60, 2))
    page.save(path)
    return path


def test_an_explanation_is_of_the_prediction_and_lies_over_the_picture(trained: Run, warm_cache: Path, picture: Path) -> None:
    result = explain(str(trained.folder), picture)
    assert result.prediction == trained.model.predict(picture)
    assert result.class_name == result.prediction.class_name
    assert (result.heat.method, result.layer) == ("occlusion", "stage8")
    assert result.picture.shape == (100, 200, 3)
    assert np.array_equal(result.picture, np.asarray(Image.open(picture)))
    assert result.heat_map.shape == (100, 200)
    left, top, right, bottom = result.window
    assert (left, top, right, bottom) == pytest.approx((56.25, 6.25, 143.75, 93.75))
    assert result.heat_map[:, : int(left)].max() == result.heat_map[:, int(right) + 1 :].max() == 0
    assert result.heat_map.max() > 0
    assert list(result.feature_maps) == ["pixels", "stem", *(f"stage{k}" for k in range(1, 9))]
    assert not result.notes


def test_a_large_picture_is_shown_smaller_and_its_window_with_it(trained: Run, warm_cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    draw_shape("square", 1).resize((3000, 1500)).save(path)
    result = explain(str(trained.folder), path, ExplainSettings(neighbours=0))
    assert result.picture.shape == (512, 1024, 3)
    assert result.heat_map.shape == (512, 1024)
    assert result.window == pytest.approx((288, 32, 736, 480))


def test_another_class_method_and_layer_can_be_asked_for(trained: Run, warm_cache: Path, picture: Path) -> None:
    settings = ExplainSettings(class_name="stripes", method="grad-cam", layer="blocks.5", neighbours=0)
    result = explain(str(trained.folder), picture, settings)
    assert (result.class_name, result.heat.label) == ("stripes", trained.model.class_names.index("stripes"))
    assert (result.heat.method, result.layer) == ("grad-cam", "stage6")
    assert result.neighbours == ()


def test_the_nearest_training_pictures_are_found_where_the_run_found_them(
    trained: Run, warm_cache: Path, shapes: Path, picture: Path
) -> None:
    result = explain(str(trained.folder / "model"), picture)
    assert len(result.neighbours) == 5
    learnt = set(trained.model.about["trained_on"])
    from warmstart.data.hashing import digest_file

    for neighbour in result.neighbours:
        assert Path(neighbour.path).parent.name == neighbour.class_name
        assert digest_file(neighbour.path).hex() in learnt
    distances = [neighbour.distance for neighbour in result.neighbours]
    assert distances == sorted(distances)


def test_a_training_picture_is_not_its_own_neighbour(trained: Run, warm_cache: Path, shapes: Path) -> None:
    from warmstart.data.hashing import digest_file

    learnt = set(trained.model.about["trained_on"])
    path = next(path for path in sorted(shapes.rglob("*.png")) if digest_file(path).hex() in learnt)
    result = explain(str(trained.folder), path)
    assert "itself one of the training pictures" in result.notes[0]
    assert str(path) not in {neighbour.path for neighbour in result.neighbours}
    assert result.neighbours[0].distance > 1e-4


def test_pictures_that_moved_are_found_when_told_where(
    trained: Run, warm_cache: Path, picture: Path, shapes: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(trained.folder, tmp_path / "run")
    record = run / "run.json"
    record.write_text(record.read_text("utf-8").replace(str(shapes), str(tmp_path / "gone")), "utf-8")
    result = explain(str(run), picture)
    assert result.neighbours == ()
    assert "not where the run found them" in result.notes[0]
    assert "--data" in result.notes[0]
    moved = shutil.copytree(shapes, tmp_path / "moved")
    before = explain(str(trained.folder), picture).neighbours
    after = explain(str(run), picture, ExplainSettings(data=str(moved))).neighbours
    assert [replace(n, path=n.path.replace(str(moved), str(shapes))) for n in after] == list(before)
    Path(after[0].path).unlink()
    fewer = explain(str(run), picture, ExplainSettings(data=str(moved)))
    assert after[0].path not in {n.path for n in fewer.neighbours}
    assert len(fewer.neighbours) == 5
    assert "are not in" in fewer.notes[0]


def test_without_a_run_or_training_pictures_the_rest_is_explained_all_the_same(
    trained: Run, warm_cache: Path, picture: Path, tmp_path: Path
) -> None:
    alone = shutil.copytree(trained.folder / "model", tmp_path / "elsewhere" / "model")
    result = explain(str(alone), picture)
    assert (result.neighbours, "no run.json" in result.notes[0]) == ((), True)
    assert result.heat_map.any()
    strangers = draw_folder(tmp_path / "strangers", 2, first_seed=90)
    result = explain(str(alone), picture, ExplainSettings(data=str(strangers)))
    assert result.neighbours == ()
    assert "training pictures are not in" in result.notes[0]
    with pytest.raises(DataError, match="does not exist"):
        explain(str(alone), picture, ExplainSettings(data=str(tmp_path / "nowhere")))


def test_a_pretrained_network_is_explained_with_its_own_classes(warm_cache: Path, picture: Path, tmp_path: Path) -> None:
    result = explain("imagenet:efficientnet_lite0", picture, ExplainSettings(class_name="daisy"))
    assert (result.class_name, result.layer, result.neighbours) == ("daisy", "stage8", ())
    assert "was not trained here" in result.notes[-1]


def test_what_is_drawn_is_named_and_the_same_twice(trained: Run, warm_cache: Path, picture: Path, tmp_path: Path) -> None:
    result = explain(str(trained.folder), picture)
    drawn = draw(result, tmp_path / "a" / "b")
    names = {f"{name}.{kind}" for name in ("heat-map", "feature-maps", "depth", "neighbours") for kind in ("png", "svg")}
    assert {Path(path).name for path in drawn.files} == names
    draw(result, tmp_path / "c")
    for path in drawn.files:
        assert Path(path).read_bytes() == (tmp_path / "c" / Path(path).name).read_bytes()
        if path.endswith(".png"):
            with Image.open(path) as image:
                assert image.width >= 700
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be made.*--out"):
        draw(result, tmp_path / "file" / "x")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (lambda: ExplainSettings(layer="stage77"), "Did you mean 'stage7'"),
        (lambda: ExplainSettings(class_name="circel"), "Did you mean 'circle'"),
        (lambda: ExplainSettings(method="gradcam"), "Did you mean 'grad-cam'"),
    ],
)
def test_names_that_are_not_there_are_refused_with_the_nearest(
    settings: Callable[[], ExplainSettings], words: str, trained: Run, warm_cache: Path, picture: Path
) -> None:
    with pytest.raises(UnknownNameError, match=words):
        explain(str(trained.folder), picture, settings())


def test_a_picture_that_cannot_be_decoded_is_an_error(trained: Run, warm_cache: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not much")
    with pytest.raises(PictureError, match=r"broken\.jpg"):
        explain(str(trained.folder), broken)


def test_filters_of_a_backbone_and_of_a_model_trained_from_it_are_the_weights(
    trained: Run, warm_cache: Path, tmp_path: Path
) -> None:
    expected = load_backbone("efficientnet_lite0").network.conv_stem.weight.detach().numpy()  # type: ignore[union-attr, operator]
    of_model, of_backbone = filters(str(trained.folder)), filters("efficientnet_lite0")
    assert np.array_equal(of_model.filters.weights, expected)
    assert np.array_equal(of_backbone.filters.weights, expected)
    assert of_model.filters.path == "conv_stem"
    assert not np.array_equal(filters("efficientnet_lite0", weights="random").filters.weights, expected)
    drawn = draw_filters(of_model, tmp_path / "f")
    assert [Path(path).name for path in drawn.files] == ["filters.png", "filters.svg"]
    assert drawn.to_dict()["shape"] == [32, 3, 3, 3]


def test_an_open_file_is_read_once_and_several_pictures_are_refused(trained: Run, warm_cache: Path, picture: Path) -> None:
    expected = explain(str(trained.folder), picture)
    with picture.open("rb") as file, Image.open(picture) as opened:
        for given in (file, opened, memoryview(picture.read_bytes())):
            found = explain(str(trained.folder), given)
            assert np.array_equal(found.heat_map, expected.heat_map)
            assert [n.path for n in found.neighbours] == [n.path for n in expected.neighbours]
    for several in ([picture], [picture, picture], np.zeros((2, 40, 40, 3), np.uint8), [], None):
        with pytest.raises(DataError):
            explain(str(trained.folder), several)
