"""An exported file from a stranger works, or is refused by name: whatever was changed in it, and however long it would run."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_examples import Exporting

onnx = pytest.importorskip("onnx", reason="the extra export is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from drawn_shapes import draw_shape  # noqa: E402
from warmstart.errors import ModelFileError  # noqa: E402
from warmstart.runtime import engines  # noqa: E402
from warmstart.runtime.document import KEY, Document  # noqa: E402
from warmstart.runtime.predictor import Exported, open_exported  # noqa: E402

BAD_VALUES: tuple[Any, ...] = (None, True, -1, 0, 10**17, 0.5, "", "x", "\u0000", "\ud800", [], {}, [[]], ["a", "a"], {"a": 1})


@pytest.fixture
def document(exporting: Exporting) -> dict[str, Any]:
    """As an export wrote it."""
    return dict(open_exported(exporting("onnx", "fp32").file).document.everything)


def test_any_value_of_the_document_may_be_wrong(document: dict[str, Any]) -> None:
    paths = [(key,) for key in document] + [("preprocessing", key) for key in document["preprocessing"]]
    paths += [("trust", "calibration"), ("trust", "test"), ("class_names", 0), ("trust", "test", 0)]
    Document.from_json(json.dumps(document), Path("stranger.onnx"))
    for path in paths:
        for value in BAD_VALUES:
            changed = json.loads(json.dumps(document))
            at = changed
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
            try:
                read = Document.from_json(json.dumps(changed), Path("stranger.onnx"))
            except ModelFileError as refusal:
                if "stranger.onnx" not in str(refusal):
                    raise
            else:
                assert len(set(read.reading.class_names)) == len(read.reading.class_names) > 0
                assert read.preprocessing.size_px > 0
    for text in ("", "[]", "null", "[" * 100_000, '{"format_version": NaN}', '{"format_version": 1, "format_version": 1}', "{"):
        with pytest.raises(ModelFileError, match=r"stranger\.onnx"):
            Document.from_json(text, Path("stranger.onnx"))


# What a file says of pictures


class Says:
    """A file that answers with this."""

    batch_size = 4

    def __init__(self, answer: Callable[[int], Any]) -> None:
        self._answer = answer

    def map(self, batches: Iterable[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, np.ndarray]]:
        for token, pixels in batches:
            yield token, self._answer(len(pixels))


def rows(*row: float) -> Callable[[int], np.ndarray]:
    return lambda n: np.tile(np.array(row, np.float32), (n, 1))


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (rows(np.nan, 0.5, 0.5), "no probabilities"),
        (rows(np.inf, 0, 0), "no probabilities"),
        (rows(-0.5, 0.5, 1.0), "no probabilities"),
        (rows(2.0, -0.5, -0.5), "no probabilities"),
        (rows(0.2, 0.2, 0.2), r"sum to 0\.6, expected 1"),
        (rows(0.9, 0.9, 0.9), r"sum to 2\.7, expected 1"),
        (rows(0.5, 0.5), "2 × 2, expected 2 × 3"),
        (lambda n: np.full((n + 1, 3), 1 / 3, np.float32), "3 × 3, expected 2 × 3"),
        (lambda n: np.full((3,), 1 / 3, np.float32), "array of 3, expected"),
    ],
)
def test_an_answer_that_is_no_probabilities_is_refused(exporting: Exporting, answer: Any, found: str) -> None:
    document = open_exported(exporting("onnx", "fp32").file).document
    exported = Exported(document, Says(answer))
    pictures = [draw_shape("circle", i) for i in range(2)]
    with pytest.raises(ModelFileError, match=found):
        exported.predict(pictures)
    with pytest.raises(ModelFileError, match=found):
        exported.predict_prepared([exported.prepare(picture) for picture in pictures], ["a", "b"])


def test_an_error_of_whoever_gives_the_pictures_stays_theirs(exporting: Exporting) -> None:
    exported = open_exported(exporting("onnx", "fp32").file)

    class VanishedError(Exception):
        pass

    class Sources(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise VanishedError

    with pytest.raises(VanishedError):
        list(exported.predict_each(Sources()))


# Graphs that no export has


def stranger(tmp_path: Path, document: dict[str, Any], *nodes: Any, tensors: Iterable[Any] = (), classes: int = 3) -> Path:
    """A model.onnx with our document, whose last node gives 'share' of shape (B,)."""
    own = [
        helper.make_node("Cast", ["pictures"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
    ]
    end = [
        helper.make_node("Mul", ["share", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "third"], ["each"]),
        helper.make_node("Unsqueeze", ["each", "one"], ["column"]),
        helper.make_node("Concat", ["column"] * classes, ["probabilities"], axis=1),
    ]
    constants = {
        "axes": np.array([1, 2, 3]),
        "one": np.array([1]),
        "zero": np.array(0, np.float32),
        "third": np.array(1 / classes, np.float32),
    }
    size = document["preprocessing"]["size_px"]
    graph = helper.make_graph(
        [*own, *nodes, *end],
        "stranger",
        [helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["batch", 3, size, size])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", classes])],
        [*(numpy_helper.from_array(value, name) for name, value in constants.items()), *tensors],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 9
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(document)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def plain(name: str = "mean") -> Any:
    return helper.make_node("Identity", [name], ["share"])


def test_a_graph_of_a_stranger_works_where_nothing_is_wrong_with_it(tmp_path: Path, document: dict[str, Any]) -> None:
    answer = open_exported(stranger(tmp_path, document, plain())).predict(draw_shape("circle", 1))
    assert list(answer.probabilities.values()) == pytest.approx([1 / 3] * 3)  # type: ignore[union-attr]


def loop(times: int) -> tuple[list[Any], list[Any]]:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["x", "x"], ["y"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, ["b"])],
        [value("on", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, ["b"])],
    )
    tensors = [numpy_helper.from_array(np.array(times), "times"), numpy_helper.from_array(np.array(True), "yes")]
    return [helper.make_node("Loop", ["times", "yes", "mean"], ["share"], body=body)], tensors


def test_a_loop_is_refused_before_it_begins(tmp_path: Path, document: dict[str, Any]) -> None:
    nodes, tensors = loop(2**62)
    path = stranger(tmp_path, document, *nodes, tensors=tensors)
    with pytest.raises(ModelFileError, match=r"model\.onnx cannot be opened \(it holds loops or branches"):
        open_exported(path)


def test_a_run_that_does_not_end_is_ended_and_not_begun_again(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "RUN_S", 0.5)
    monkeypatch.setattr(engines, "refuse_unbounded", lambda content: None)  # as if there were a loop that is not seen
    nodes, tensors = loop(2**62)
    exported = open_exported(stranger(tmp_path, document, *nodes, tensors=tensors))
    for _ in range(2):
        with pytest.raises(ModelFileError, match=r"model\.onnx cannot be run \(it did not end within"):
            exported.predict(draw_shape("circle", 1))


def test_memory_that_a_file_may_take_is_bounded(tmp_path: Path, document: dict[str, Any]) -> None:
    nodes = [
        helper.make_node("Shape", ["pictures"], ["batch"], start=0, end=1),
        helper.make_node("Mul", ["batch", "many"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["giant"]),
        helper.make_node("ReduceMean", ["giant"], ["number"], keepdims=0),
        helper.make_node("Mul", ["mean", "number"], ["share"]),
    ]
    many = engines.ARENA_BYTES + engines.ARENA_BYTES_PER_CORE * engines.machine.cores()  # of four bytes each
    path = stranger(tmp_path, document, *nodes, tensors=[numpy_helper.from_array(np.array([many]), "many")])
    with pytest.raises(ModelFileError, match=r"model\.onnx cannot be run"):
        open_exported(path).predict(draw_shape("circle", 1))


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "weights.bin"])
def test_numbers_in_other_files_are_refused(tmp_path: Path, document: dict[str, Any], location: str) -> None:
    outside = numpy_helper.from_array(np.ones(4, np.float32), "outside")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    entry = outside.external_data.add()
    entry.key, entry.value = "location", location
    with pytest.raises(ModelFileError, match=r"model\.onnx cannot be opened \(it holds numbers in other files"):
        open_exported(stranger(tmp_path, document, plain(), tensors=[outside]))
    node = helper.make_node("Constant", [], ["hidden"], value=outside)
    with pytest.raises(ModelFileError, match="numbers in other files"):
        open_exported(stranger(tmp_path, document, node, plain()))


def test_another_number_of_classes_or_another_face_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match="1 × 5, expected 1 × 3"):
        open_exported(stranger(tmp_path, document, plain(), classes=5)).predict(draw_shape("circle", 1))
    path = stranger(tmp_path, document, plain())
    model = onnx.load(path)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "secrets"
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match="takes pictures and gives secrets"):
        open_exported(path)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_cut_flipped_and_foreign_bytes_are_refused_or_work(exporting: Exporting, tmp_path: Path, name: str) -> None:
    source = exporting(name, "fp32").file
    folder = Path(shutil.copytree(source.parent, tmp_path / "stranger"))
    file = folder / source.name
    content = source.read_bytes()
    rng = np.random.default_rng(0)
    changes = [b"", b"\x00" * 100, b"<xml/>", b"\x7fELF", content[: len(content) // 2], content[:-3], content + content]
    for place in rng.integers(0, len(content), 12):
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(8))
        changes.append(bytes(changed))
    for number, changed_content in enumerate(changes):
        file.write_bytes(changed_content)
        try:
            answer = open_exported(file).predict(draw_shape("circle", 1))
        except ModelFileError as refusal:
            if file.name not in str(refusal):
                raise AssertionError(number) from refusal
        else:
            assert sum(answer.probabilities.values()) == pytest.approx(1, abs=0.01)  # type: ignore[union-attr]


def test_an_openvino_graph_without_its_weights_or_with_a_giant_tensor_is_refused(exporting: Exporting, tmp_path: Path) -> None:
    source = exporting("openvino", "fp32").file
    folder = Path(shutil.copytree(source.parent, tmp_path / "stranger"))
    (folder / "model.bin").unlink()
    with pytest.raises(ModelFileError, match=r"model\.xml"):
        open_exported(folder)
    shutil.copy(source.with_name("model.bin"), folder)
    text = (folder / "model.xml").read_text("utf-8")
    size = open_exported(source).preprocessing.size_px
    assert f"{size}" in text
    (folder / "model.xml").write_text(text.replace(f'shape="?,3,{size},{size}"', 'shape="?,3,99999,99999"'), "utf-8")
    with pytest.raises(ModelFileError, match=r"model\.xml"):
        open_exported(folder)
