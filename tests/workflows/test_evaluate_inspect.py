"""evaluate and inspect: what the model had seen, what it cannot know, and what is in a folder."""

from pathlib import Path

import pytest
from PIL import Image

from drawn_shapes import draw_folder, draw_shape
from warmstart.data.hashing import digest_file
from warmstart.errors import DataError
from warmstart.session.outcome import Run
from warmstart.workflows.evaluate import evaluate
from warmstart.workflows.inspect import inspect
from warmstart.workflows.predict import predict


def test_evaluate_tells_pictures_that_the_model_learnt_from_by_their_content(
    trained: Run, shapes: Path, warm_cache: Path, tmp_path: Path
) -> None:
    fresh = draw_folder(tmp_path / "fresh", 3, first_seed=300)
    unseen = evaluate(str(trained.folder), str(fresh))
    assert (unseen.images, unseen.trained_on, unseen.scores_with_seen) == (9, 0, None)
    assert unseen.scores is not None
    assert (unseen.scores.n, unseen.scores.used_for_choosing) == (9, False)

    learnt = set(trained.model.about["trained_on"])
    for path in sorted((shapes / "circle").iterdir()):
        (fresh / "circle" / f"renamed {path.name}").write_bytes(path.read_bytes())
    mixed = evaluate(str(trained.folder), str(fresh))
    known = sum(digest_file(path).hex() in learnt for path in (shapes / "circle").iterdir())
    assert (mixed.images, mixed.trained_on) == (17, known)
    assert mixed.scores is not None
    assert mixed.scores.n == 17 - known
    assert mixed.scores_with_seen is not None
    assert (mixed.scores_with_seen.n, mixed.scores_with_seen.used_for_choosing) == (17, True)


def test_evaluate_needs_one_class_only_and_names_those_it_does_not_know(trained: Run, warm_cache: Path, tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", 3, first_seed=300, classes=("square",))
    assert evaluate(str(trained.folder), str(data)).images == 3
    (data / "triangle").mkdir()
    draw_shape("circle", 300).save(data / "triangle" / "1.png")
    result = evaluate(str(trained.folder), str(data))
    assert result.images == 3
    (problem,) = result.problems
    assert (problem.kind, "triangle" in problem.message) == ("foreign-class", True)
    with pytest.raises(DataError, match="triangle"):
        evaluate(str(trained.folder), [(str(data / "triangle" / "1.png"), "triangle")])


def test_evaluate_leaves_out_what_is_broken_or_stands_under_two_classes(trained: Run, warm_cache: Path, tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", 3, first_seed=300)
    (data / "circle" / "text.jpg").write_text("no picture")
    (data / "circle" / "same.png").write_bytes((data / "square" / "300.png").read_bytes())
    result = evaluate(str(trained.folder), str(data))
    assert result.images == 8
    assert {problem.kind for problem in result.problems} == {"not-a-picture", "conflicting-labels"}
    for path in data.rglob("*.*"):
        path.write_text("no picture either " + path.name)
    with pytest.raises(DataError, match="none of"):
        evaluate(str(trained.folder), str(data))


def test_inspect_counts_classes_formats_modes_sizes_copies_and_broken_files(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("a", "b"):
        (data / name).mkdir(parents=True)
    for i, (width, height, mode, format_name) in enumerate(
        [(10, 20, "RGB", "JPEG"), (30, 40, "L", "PNG"), (50, 60, "RGB", "PNG"), (70, 80, "RGB", "BMP")]
    ):
        Image.new(mode, (width, height), 40 * i if mode == "L" else (40 * i, 9, 9)).save(data / "a" / f"{i}.jpg", format_name)
    (data / "b" / "copy.jpg").write_bytes((data / "a" / "0.jpg").read_bytes())
    (data / "a" / "copy.jpg").write_bytes((data / "a" / "1.jpg").read_bytes())
    (data / "b" / "cut.png").write_bytes((data / "a" / "2.jpg").read_bytes()[:60])
    found = inspect(str(data))
    assert found.images == 6
    assert found.classes == {"a": 5, "b": 1}
    assert found.formats == {"png": 3, "jpeg": 2, "bmp": 1}
    assert found.modes == {"RGB": 4, "L": 2}
    assert (found.width_px, found.height_px) == ((10, 30, 70), (20, 40, 80))
    assert sorted(sorted(Path(p).name for p in paths) for paths in found.duplicates) == [
        ["0.jpg", "copy.jpg"],
        ["1.jpg", "copy.jpg"],
    ]
    assert {problem.kind for problem in found.problems} == {"truncated", "conflicting-labels"}
    assert found.splits == {}


def test_inspect_shows_given_splits_and_a_single_class(tmp_path: Path) -> None:
    data = tmp_path / "data"
    draw_folder(data / "train", 2)
    draw_folder(data / "test", 1, first_seed=9)
    assert inspect(str(data)).splits == {"train": 6, "test": 3}
    assert inspect(str(draw_folder(tmp_path / "one", 2, classes=("circle",)))).classes == {"circle": 2}


def test_inspect_of_nothing_readable_says_so_and_does_not_fail(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.jpg").write_text(f"no picture, {name}")
    found = inspect(str(tmp_path / "data"))
    assert (found.images, found.classes, len(found.problems)) == (0, {"a": 0, "b": 0}, 2)


def test_predict_goes_through_folders_and_globs_in_order_and_names_what_is_missing(
    trained: Run, shapes: Path, warm_cache: Path
) -> None:
    result = predict(str(trained.folder), [str(shapes / "square"), str(shapes / "circle" / "*.png"), "nowhere"])
    names = [Path(p.source).parent.name for p in result.predictions]
    assert names == ["square"] * 8 + ["circle"] * 4
    assert [problem.kind for problem in result.problems] == ["missing"]
    with pytest.raises(DataError, match="no picture found"):
        predict(str(trained.folder), [])
