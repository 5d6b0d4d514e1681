"""An exported file predicts where nothing of the training stack can be imported, and where nothing of warmstart is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from export_examples import Exporting
from PIL import Image

from drawn_shapes import draw_shape
from warmstart.runtime.predictor import open_exported

ROOT = Path(__file__).parents[2]

# What `pip install --no-deps warmstart` and the extra `runtime` leave out.
WITHOUT_TRAINING = """
import sys
absent = {"torch", "torchvision", "timm", "sklearn", "scipy", "lmdb", "safetensors", "matplotlib", "pandas", "jinja2"}
absent |= set(sys.argv.pop(1).split(","))

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ImportError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
from warmstart.cli.main import run
run(sys.argv[1:])
"""


def without_training(*arguments: str, also: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TRAINING, also, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("name", "other"), [("onnx", "openvino"), ("openvino", "onnxruntime")])
def test_predict_needs_numpy_pillow_and_one_engine(exporting: Exporting, shapes: Path, name: str, other: str) -> None:
    file = exporting(name, "fp32").file
    asked = ("--coverage", "0.9", "--sure", "0.6")
    done = without_training("predict", str(file), str(shapes / "circle"), "--json", *asked, also=other)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    expected = [p.to_dict() for p in open_exported(file).predict([p["path"] for p in document["predictions"]], coverage=0.9)]
    assert len(expected) == 8
    for ours, theirs in zip(document["predictions"], expected, strict=True):
        assert ours["class"] == theirs["class"]
        assert ours["sure"]["class"] == (ours["class"] if ours["probability"] >= 0.6 else None)
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_a_missing_engine_is_named(exporting: Exporting, shapes: Path, name: str, package: str) -> None:
    done = without_training("predict", str(exporting(name, "fp32").file), str(shapes), also=package)
    assert done.returncode == 2
    assert f"pip install {package}" in done.stderr


@pytest.mark.parametrize("resize_inside", [False, True])
def test_the_example_reads_the_file_alone(exporting: Exporting, tmp_path: Path, resize_inside: bool) -> None:
    example = ROOT / "examples" / "predict.py"
    assert "import warmstart" not in example.read_text("utf-8")
    result = exporting("onnx", "fp32", resize_inside=resize_inside)
    paths = []
    for shape in ("circle", "stripes"):
        paths.append(str(tmp_path / f"{shape}.png"))
        draw_shape(shape, 77).save(paths[-1])
    with Image.open(paths[0]) as picture:
        assert picture.size != (64, 64)
    command = [sys.executable, "-I", str(example), str(result.file), *paths]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    expected = open_exported(result.file).predict(paths)
    assert lines == [f"{p.source}: {p.class_name} ({p.probability:.1%})" for p in expected]


def test_the_lists_to_install_by_hand_are_those_of_the_extras() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert _listed("requirements-runtime.txt") == extras["runtime"]
    assert set(extras.get("serve", ())) <= {*_listed("requirements-serve.txt"), *extras["runtime"]}


def _listed(name: str) -> list[str]:
    return [line for line in (ROOT / name).read_text("utf-8").splitlines() if not line.startswith("#")]
