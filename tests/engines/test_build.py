"""Choosing an engine by proof."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from warmstart.engines import build, openvino
from warmstart.engines.build import Prefix, ProofPictures, candidates, open_engine, resolve
from warmstart.engines.proof import compare
from warmstart.errors import UnknownNameError, UsageError


def proof_pictures(pictures: np.ndarray, key: str = "p") -> ProofPictures:
    return ProofPictures(key=key, load=lambda: pictures)


def never() -> np.ndarray:
    raise AssertionError("pictures were opened")


def test_the_first_candidate_passes_on_a_sound_prefix(toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path) -> None:
    proven = resolve(toy_prefix, proof_pictures(pictures), folder=tmp_path)
    assert (proven.engine, proven.precision) == ("openvino", openvino.precisions()[0])
    assert proven.proof.passed
    assert set(proven.proof.tap_errors) == {"stem", "stage1"}
    assert max(proven.proof.tap_errors.values()) > 0  # it was really computed by another engine
    assert proven.notes == ()


def test_a_remembered_proof_opens_no_picture_and_equals_the_first(
    toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path
) -> None:
    first = resolve(toy_prefix, proof_pictures(pictures), folder=tmp_path)
    assert resolve(toy_prefix, ProofPictures(key="p", load=never), folder=tmp_path) == first
    with pytest.raises(AssertionError, match="opened"):
        resolve(toy_prefix, ProofPictures(key="other pictures", load=never), folder=tmp_path)


@pytest.mark.parametrize("channels", [[2, 1, 0], [0, 2, 1]])
def test_swapped_colour_channels_fail_the_proof_and_pytorch_takes_over(
    channels: list[int], toy_prefix: Prefix, toy_module: nn.Module, pictures: np.ndarray, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.toy = toy_module

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.toy(pixels[:, channels])  # type: ignore[no-any-return]

    sound = openvino.convert
    monkeypatch.setattr(openvino, "convert", lambda module, size_px, path: sound(Swapped().eval(), size_px, path))
    proven = resolve(toy_prefix, proof_pictures(pictures), folder=tmp_path)
    assert (proven.engine, proven.precision) == ("pytorch", "f32")
    assert len(proven.notes) == len(openvino.precisions())
    assert all("failed its proof" in note for note in proven.notes)


def test_an_operation_that_cannot_be_converted_falls_back_and_says_so(
    toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no conversion rule for aten::something\nand a long story")

    monkeypatch.setattr(openvino, "convert", fail)
    proven = resolve(toy_prefix, proof_pictures(pictures), folder=tmp_path)
    assert proven.engine == "pytorch"
    assert "aten::something" in proven.notes[0]
    assert "long story" not in proven.notes[0]


def test_weights_that_are_not_finite_are_refused(
    toy_prefix: Prefix, toy_module: nn.Module, pictures: np.ndarray, tmp_path: Path
) -> None:
    with torch.no_grad():
        toy_module.stem[0].weight[0] = torch.nan  # type: ignore[index, union-attr]
    with pytest.raises(UsageError, match="Do the weights hold NaN"):
        resolve(toy_prefix, proof_pictures(pictures), folder=tmp_path)


def test_a_damaged_graph_is_converted_again(
    toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = np.concatenate(
        [rows for _, rows in open_engine(toy_prefix, "openvino", "f32", folder=tmp_path).map([(0, pictures)])]
    )
    weights = next(tmp_path.rglob("graph.bin"))
    weights.write_bytes(weights.read_bytes()[:-8] + b"\0" * 8)
    after = np.concatenate(
        [rows for _, rows in open_engine(toy_prefix, "openvino", "f32", folder=tmp_path).map([(0, pictures)])]
    )
    assert np.array_equal(before, after)


def test_a_kept_graph_needs_no_module(toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path) -> None:
    open_engine(toy_prefix, "openvino", "f32", folder=tmp_path)
    assert build.has_graph(toy_prefix.key, tmp_path)

    def no_module() -> nn.Module:
        raise AssertionError("module was built")

    again = Prefix(name="toy", key=toy_prefix.key, size_px=32, layout=toy_prefix.layout, module=no_module)
    assert len(list(open_engine(again, "openvino", "f32", folder=tmp_path).map([(0, pictures)]))) == 1


def test_candidates_end_with_pytorch_float32_and_respect_what_was_asked_for() -> None:
    assert candidates("auto", "f32") == [("openvino", "f32"), ("pytorch", "f32")]
    assert candidates("openvino", "bf16") == [("openvino", "bf16"), ("openvino", "f32"), ("pytorch", "f32")]
    assert candidates("pytorch", "auto") == [("pytorch", "f32")]
    with pytest.raises(UnknownNameError, match="openvino"):
        candidates("openvno", "auto")
    with pytest.raises(UnknownNameError, match="bf16"):
        candidates("auto", "fp16")


def test_the_error_of_a_tap_is_relative_to_what_distinguishes_the_pictures() -> None:
    reference = np.array([[0.0, 100.0], [2.0, 100.0]], dtype=np.float32)
    computed = reference + np.array([[0.1, 1.0], [-0.1, 1.0]], dtype=np.float32)
    proof = compare(computed, reference, (("a", 1), ("constant", 1)), engine="openvino", precision="f32")
    assert proof.tap_errors["a"] == pytest.approx(0.1)
    assert proof.tap_errors["constant"] == pytest.approx(0.01)  # does not vary: compared with its own size
    assert not proof.passed


def test_a_proof_with_nan_does_not_pass() -> None:
    rows = np.ones((3, 2), dtype=np.float32)
    assert not compare(rows * np.nan, rows, (("a", 2),), engine="openvino", precision="bf16").passed
