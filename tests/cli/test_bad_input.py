"""What people really have on their disks: each gets one clear message or a named problem, never a traceback or a silent loss."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drawn_shapes import draw_folder, draw_shape
from warmstart.session.outcome import Run

Call = Callable[..., Any]


def bomb(path: Path) -> None:
    """A PNG that says that it is 30,000 × 30,000."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def no_folder(data: Path) -> None: ...


def empty_folder(data: Path) -> None:
    data.mkdir()


def one_class(data: Path) -> None:
    draw_folder(data, 3, classes=("circle",))


def flat_folder(data: Path) -> None:
    data.mkdir()
    draw_shape("circle", 0).save(data / "1.png")


def nothing_readable(data: Path) -> None:
    for name in ("circle", "square"):
        (data / name).mkdir(parents=True)
        for i in range(3):
            (data / name / f"{i}.jpg").write_bytes(b"\xff\xd8\xff" + bytes([i] * 30))


def one_class_readable(data: Path) -> None:
    draw_folder(data, 3, classes=("circle",))
    (data / "square").mkdir()
    (data / "square" / "1.jpg").write_text("not a picture")


def text_file(data: Path) -> None:
    data.write_text("hello\nworld\n", "utf-8")


def picture_as_data(data: Path) -> None:
    draw_shape("circle", 0).save(data, "PNG")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_folder, "does not exist"),
        (empty_folder, "is empty"),
        (one_class, "only the class 'circle'"),
        (flat_folder, "no class folder"),
        (nothing_readable, "0.jpg"),
        (one_class_readable, "at least two"),
        (text_file, "path,label"),
        (picture_as_data, "png"),
    ],
)
def test_data_that_cannot_be_trained_on_is_one_message_and_exit_code_1(
    make: Callable[[Path], None], says: str, warmstart: Call, warm_cache: Path, tmp_path: Path
) -> None:
    data = tmp_path / "my data"
    make(data)
    result = warmstart("train", data, "--image-size", 64)
    assert (result.code, result.out) == (1, "")
    assert "my data" in result.said
    assert says in result.said
    assert "Traceback" not in result.err
    assert not (tmp_path / "runs").exists()


def _broken(data: Path) -> dict[str, str]:
    """Every kind of broken file, put among good pictures: name → the kind of problem it becomes."""
    circle = data / "circle"
    whole = (circle / "0.png").read_bytes()
    (circle / "empty.jpg").touch()
    (circle / "cut.png").write_bytes(whole[:400])
    (circle / "text.jpg").write_text("I am no picture")
    (circle / "text.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    bomb(circle / "bomb.png")
    (circle / "loop").symlink_to("loop")
    (circle / "gone.jpg").symlink_to("nowhere.jpg")
    (circle / "again").symlink_to(circle, target_is_directory=True)
    return {
        "empty.jpg": "empty",
        "cut.png": "truncated",
        "text.jpg": "not-a-picture",
        "text.heic": "unsupported",
        "bomb.png": "too-large",
    }


def test_broken_files_among_good_ones_are_named_and_the_run_goes_on(warmstart: Call, warm_cache: Path, tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", 4)
    draw_shape("circle", 0).resize((1, 1)).save(data / "circle" / "1x1.png")
    draw_shape("circle", 9).save(data / "circle" / "really a png.jpg", "PNG")
    kinds = _broken(data)
    result = warmstart("train", data, "--image-size", 64, "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    problems = {Path(problem["path"]).name: problem for problem in document["data"]["problems"]}
    assert {name: problems[name]["kind"] for name in kinds} == kinds
    assert {"loop", "gone.jpg", "again"} <= set(problems)
    for name, problem in problems.items():
        assert name in problem["message"]
    assert document["data"]["images"] == 14  # 12 drawn, one of a single pixel, one with a wrong extension
    shown = warmstart("train", data, "--image-size", 64)
    assert "cut.png" in shown.said
    assert warmstart("train", data, "--image-size", 64, "--strict").code == 1

    inspected = json.loads(warmstart("inspect", data, "--json").out)
    assert inspected["images"] == 14
    assert set(kinds) <= {Path(problem["path"]).name for problem in inspected["problems"]}


def test_broken_files_given_to_predict_are_named_beside_the_predictions(
    trained: Run, warmstart: Call, warm_cache: Path, tmp_path: Path
) -> None:
    data = draw_folder(tmp_path / "data", 2)
    kinds = _broken(data)
    document = json.loads(warmstart("predict", trained.folder, data, "--json").out)
    assert len(document["predictions"]) == 6
    problems = {Path(problem["path"]).name: problem["kind"] for problem in document["problems"]}
    assert {name: problems[name] for name in kinds} == kinds
    only_broken = warmstart("predict", trained.folder, data / "circle" / "cut.png")
    assert only_broken.code == 1
    assert "cut.png" in only_broken.said


def test_a_class_with_one_picture_is_trained_on_and_named(warmstart: Call, warm_cache: Path, tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", 4, classes=("circle", "square"))
    draw_folder(data, 1, classes=("stripes",))
    document = json.loads(warmstart("train", data, "--image-size", 64, "--json").out)
    assert document["data"]["classes"] == {"circle": 4, "square": 4, "stripes": 1}
    (problem,) = document["data"]["problems"]
    assert problem["kind"] == "single-picture"
    assert "'stripes'" in problem["message"]


def test_a_class_with_no_readable_picture_is_left_out_and_named(warmstart: Call, warm_cache: Path, tmp_path: Path) -> None:
    data = draw_folder(tmp_path / "data", 4, classes=("circle", "square"))
    (data / "stripes").mkdir()
    (data / "stripes" / "1.jpg").write_text("no picture")
    document = json.loads(warmstart("train", data, "--image-size", 64, "--json").out)
    assert set(document["data"]["classes"]) == {"circle", "square"}
    assert any("stripes" in problem["message"] for problem in document["data"]["problems"])


def test_a_manifest_with_a_missing_file_an_unknown_column_and_a_lone_label(
    warmstart: Call, shapes: Path, warm_cache: Path, tmp_path: Path
) -> None:
    rows = [f"{path},{path.parent.name},x" for path in sorted(shapes.rglob("*.*")) if path.parent.name != "stripes"]
    lone = next((shapes / "stripes").iterdir())
    text = "\n".join(["path,label,weather", *rows, "nowhere.jpg,circle,x", f"{lone},lonely,x"])
    (tmp_path / "m.csv").write_text(text, "utf-8")
    document = json.loads(warmstart("train", tmp_path / "m.csv", "--image-size", 64, "--json").out)
    kinds = {problem["kind"]: problem["message"] for problem in document["data"]["problems"]}
    assert "weather" in kinds["unknown-column"]
    assert "nowhere.jpg" in kinds["missing"]
    assert "lonely" in kinds["single-picture"]
    assert document["data"]["images"] == 17


def test_the_same_picture_under_two_classes_is_left_out_and_both_are_named(
    warmstart: Call, warm_cache: Path, tmp_path: Path
) -> None:
    data = draw_folder(tmp_path / "data", 4)
    (data / "square" / "same.png").write_bytes((data / "circle" / "0.png").read_bytes())
    for verb in (["train", data, "--image-size", 64], ["inspect", data]):
        document = json.loads(warmstart(*verb, "--json").out)
        problems = document["data"]["problems"] if "data" in document else document["problems"]
        (message,) = [problem["message"] for problem in problems if problem["kind"] == "conflicting-labels"]
        assert "same.png" in message
        assert "0.png" in message


def test_a_folder_that_may_not_be_read_is_named(warmstart: Call, tmp_path: Path) -> None:
    if not hasattr(os, "geteuid"):
        pytest.skip("permissions work differently here")
    data = draw_folder(tmp_path / "data", 2)
    if os.geteuid() == 0:
        pytest.skip("root may read everything; the reading itself is tested in tests/data as another user")
    (data / "circle").chmod(0)
    try:
        result = warmstart("inspect", data)
    finally:
        (data / "circle").chmod(0o700)
    assert "circle" in result.said


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: None, "no such folder"),
        (lambda folder: folder.mkdir(), "no model.json in it"),
        (lambda folder: (folder.mkdir(), (folder / "model.json").write_text('{"layers": 3}')), "not a warmstart model"),
        (lambda folder: (folder.mkdir(), (folder / "model.json").write_text('{"format": 99}')), "format 99"),
        (lambda folder: folder.write_text("a file"), "is not a model"),
    ],
)
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_what_is_no_model_is_named_and_exits_with_1(
    make: Callable[[Path], Any], says: str, verb: str, warmstart: Call, shapes: Path, tmp_path: Path
) -> None:
    make(tmp_path / "not mine")
    result = warmstart(verb, tmp_path / "not mine", shapes)
    assert result.code == 1
    assert "not mine" in result.said
    assert says in result.said


def test_predict_without_a_picture_says_what_it_expects(
    trained: Run, warmstart: Call, warm_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for argument in ("nowhere.jpg", "*.jpeg", tmp_path / "empty"):
        result = warmstart("predict", trained.folder, argument)
        assert result.code == 1
        assert str(argument) in result.said
