"""What is int8 in an ONNX file: the backbone, and nothing before or after it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from export_examples import Exporting

from warmstart.backbones.taps import Normalise, TappedPrefix
from warmstart.export.graph import WholeModel
from warmstart.export.onnx_file import write
from warmstart.export.resizing import Resize

onnx = pytest.importorskip("onnx")
SIDE = 32


class Clamped(torch.nn.Module):
    """What a classifier has fitted, whose head has every operation that is quantised inside a backbone."""

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = (torch.relu(features) + 0.37)[:, :3].clamp(0.0, 60.0)
        return torch.softmax(logits / 1.0, dim=1), logits


class Residual(torch.nn.Module):
    """A stage that ends with an addition, after its last convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x)) + x


@pytest.fixture(scope="module", params=[False, True], ids=["prepared", "resize"])
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The int8 graph of a small network between a resize, perhaps, and a head that adds and clips."""
    torch.manual_seed(0)
    stages = [("stem", torch.nn.Conv2d(3, 4, 3, stride=2)), ("last", Residual())]
    network = TappedPrefix(Normalise((0.5,) * 3, (0.25,) * 3), stages, ("stem", "last"))
    resize = Resize(SIDE, "crop") if request.param else None
    graph = WholeModel(network, Clamped(), views=("plain", "flip"), resize=resize, names=("probabilities", "logits")).eval()
    shape = (1, 40, 56, 3) if request.param else (1, 3, SIDE, SIDE)
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("int8") / "model.onnx"
    write(graph, "int8", SIDE, [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(4)], path)
    return onnx.load(path).graph


def ends(graph: Any, outputs: set[str]) -> set[str]:
    """All that is computed from ``outputs``; nodes stand in order."""
    reached = set(outputs)
    for node in graph.node:
        if reached & set(node.input):
            reached |= set(node.output)
    return reached


def inputs_of(graph: Any, names: set[str]) -> set[str]:
    """All that ``names`` are computed from."""
    needed = set(names)
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
    return needed


def rounded(graph: Any) -> dict[str, str]:
    """What each QuantizeLinear reads → what it writes."""
    return {node.input[0]: node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}


def widened_constants(graph: Any) -> set[str]:
    constants = {tensor.name for tensor in graph.initializer}
    return {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in constants}


def assert_only_the_backbone_is_rounded(graph: Any) -> None:
    taps = [n for n in graph.node if n.op_type == "Concat"][-1]
    after = ends(graph, set(taps.output))
    assert {"logits", "probabilities"} <= after
    assert not after & rounded(graph).keys()
    assert not [n.name for n in graph.node if set(n.output) & after and set(n.input) & widened_constants(graph)]
    first = next(n for n in graph.node if n.op_type == "Conv")
    before = inputs_of(graph, {first.input[0]})
    assert "pictures" in before
    assert len(before & rounded(graph).keys()) == 1  # the picture, for that convolution
    assert not [n.name for n in graph.node if set(n.output) & before and set(n.input) & widened_constants(graph)]


def test_resize_taps_and_head_stay_float32(drawn: Any) -> None:
    graph = drawn
    assert_only_the_backbone_is_rounded(graph)
    assert len([n for n in graph.node if n.op_type == "Clip"]) >= 1  # the head's, which int8 would have swallowed


def test_the_addition_at_the_end_of_a_backbone_is_int8(drawn: Any) -> None:
    graph = drawn
    last = [n for n in graph.node if n.op_type == "Conv"][-1]
    additions = [n for n in graph.node if n.op_type == "Add" and set(n.output) & ends(graph, set(last.output))]
    assert additions[0].output[0] in rounded(graph)


def test_a_whole_model_in_int8_has_its_head_in_float32(exporting: Exporting) -> None:
    for resize_inside in (False, True):
        file: Path = exporting("onnx", "int8", resize_inside=resize_inside).file
        graph = onnx.load(file).graph
        assert_only_the_backbone_is_rounded(graph)
        convolutions = [n for n in graph.node if n.op_type == "Conv"]
        assert all(n.input[1] in widened_constants(graph) for n in convolutions)
