"""Choosing an engine by proof, and what is kept of it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from warmstart.engines import build, openvino
from warmstart.engines.build import Prefix, ProofPictures, candidates, open_engine, resolve
from warmstart.engines.proof import compare
from warmstart.errors import UnknownNameError, UsageError
from warmstart.records import json_digest


def has_graph(prefix_key: str, folder: Path) -> bool:
    return build._is_whole(build._graph_folder(prefix_key, folder), prefix_key)


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

    sound = openvino.converted
    monkeypatch.setattr(openvino, "converted", lambda module, size_px: sound(Swapped().eval(), size_px))
    proven = resolve(toy_prefix, proof_pictures(pictures), folder=tmp_path)
    assert (proven.engine, proven.precision) == ("pytorch", "f32")
    assert len(proven.notes) == len(openvino.precisions())
    assert all("failed its proof" in note for note in proven.notes)


def test_an_operation_that_cannot_be_converted_falls_back_and_says_so(
    toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no conversion rule for aten::something\nand a long story")

    monkeypatch.setattr(openvino, "converted", fail)
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


def rows_of(prefix: Prefix, pictures: np.ndarray, folder: Path) -> np.ndarray:
    return np.concatenate([rows for _, rows in open_engine(prefix, "openvino", "f32", folder=folder).map([(0, pictures)])])


@pytest.fixture
def kept(toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy's graph and its proof for OpenVINO in float32, on the pictures called 'p'. Converted once."""
    made = tmp_path_factory.getbasetemp() / "kept"
    if not made.is_dir():
        resolve(toy_prefix, proof_pictures(pictures), engine="openvino", precision="f32", folder=made)
    return Path(shutil.copytree(made, tmp_path / "kept"))


def graph_of(folder: Path) -> Path:
    (home,) = (path.parent for path in folder.rglob("graph.sha256"))
    return home


def other_network(prefix: Prefix) -> Prefix:
    """Of the same shapes, with other weights and so another key."""
    module = type(prefix.module())().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(-0.5)
    return replace(prefix, key="ab" * 32, module=lambda: module)


FAULTS: dict[str, Callable[[Path], object]] = {
    "cut weights": lambda home: (home / "graph.bin").write_bytes((home / "graph.bin").read_bytes()[:-100]),
    "no weights": lambda home: (home / "graph.bin").unlink(),
    "another text": lambda home: (home / "graph.xml").write_text("<net/>"),
    "weights moved over to the text": lambda home: (
        (home / "graph.xml").write_bytes((home / "graph.xml").read_bytes() + (home / "graph.bin").read_bytes()),
        (home / "graph.bin").write_bytes(b""),
    ),
    "an empty seal": lambda home: (home / "graph.sha256").write_text(""),
    "a seal of noise": lambda home: (home / "graph.sha256").write_bytes(bytes(range(128, 192))),
    "a folder as the seal": lambda home: ((home / "graph.sha256").unlink(), (home / "graph.sha256").mkdir()),
    "an empty folder": lambda home: (shutil.rmtree(home), home.mkdir()),
    "a file in its place": lambda home: (shutil.rmtree(home), home.write_text("x")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_befell_a_kept_graph_the_rows_are_the_same(
    fault: str, toy_prefix: Prefix, pictures: np.ndarray, kept: Path
) -> None:
    before = rows_of(toy_prefix, pictures, kept)
    home = graph_of(kept)
    FAULTS[fault](home)
    assert np.array_equal(rows_of(toy_prefix, pictures, kept), before)
    assert has_graph(toy_prefix.key, kept) == home.is_dir()


def test_the_whole_graph_of_another_network_in_the_place_of_ours_is_not_believed(
    toy_prefix: Prefix, pictures: np.ndarray, kept: Path, tmp_path: Path
) -> None:
    other = other_network(toy_prefix)
    ours, theirs = rows_of(toy_prefix, pictures, kept), rows_of(other, pictures, tmp_path / "theirs")
    assert not np.allclose(ours, theirs)
    shutil.copytree(graph_of(tmp_path / "theirs"), graph_of(kept), dirs_exist_ok=True)
    assert np.array_equal(rows_of(toy_prefix, pictures, kept), ours)


def test_a_graph_of_a_version_that_named_it_after_what_a_file_said_is_not_used(
    toy_prefix: Prefix, pictures: np.ndarray, kept: Path, tmp_path: Path
) -> None:
    import hashlib

    other = other_network(toy_prefix)
    expected = rows_of(toy_prefix, pictures, kept)
    rows_of(other, pictures, tmp_path / "theirs")
    version = openvino.import_openvino().__version__.split("-")[0]
    old = tmp_path / "cache" / toy_prefix.key[:16] / f"openvino-{version}"
    shutil.copytree(graph_of(tmp_path / "theirs"), old)
    content = (old / "graph.xml").read_bytes() + (old / "graph.bin").read_bytes()
    (old / "graph.sha256").write_text(hashlib.sha256(content).hexdigest())
    assert np.array_equal(rows_of(toy_prefix, pictures, tmp_path / "cache"), expected)
    assert not old.exists()


@pytest.mark.parametrize("what", ["torch", "timm"])
def test_another_version_of_a_library_makes_its_own_graph(
    what: str, toy_prefix: Prefix, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert has_graph(toy_prefix.key, kept)
    versions = build.machine.versions
    monkeypatch.setattr(build.machine, "versions", lambda *names: versions(*names) | {what: "99.0"})
    assert not has_graph(toy_prefix.key, kept)


@pytest.mark.parametrize("where", ["no folder can be made", "no room", "no room anywhere"])
def test_where_no_graph_can_be_kept_the_engine_runs_all_the_same_and_leaves_nothing(
    where: str, toy_prefix: Prefix, pictures: np.ndarray, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rows_of(toy_prefix, pictures, kept)
    folder = tmp_path / "graphs"
    everywhere = where == "no room anywhere"
    if where != "no folder can be made":
        save = openvino.import_openvino().save_model

        def full(graph: object, path: Path, **options: object) -> None:
            if everywhere or folder in path.parents:
                path.write_text("half a gr")
                raise RuntimeError("basic_ios::clear: iostream error")
            save(graph, path, **options)

        monkeypatch.setattr(openvino.import_openvino(), "save_model", full)
    else:
        folder.write_text("a file")
    proven = resolve(toy_prefix, proof_pictures(pictures), engine="openvino", precision="f32", folder=folder)
    assert (proven.engine, proven.precision, proven.notes) == ("openvino", "f32", ())
    found = rows_of(toy_prefix, pictures, folder)
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6) if everywhere else np.array_equal(found, expected)
    assert [path.name for path in tmp_path.rglob("graph*") if path.is_file() and kept not in path.parents] in ([], ["graphs"])


def test_a_kept_graph_needs_no_module(toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path) -> None:
    open_engine(toy_prefix, "openvino", "f32", folder=tmp_path)
    assert has_graph(toy_prefix.key, tmp_path)

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


PROOF_FAULTS: dict[str, Callable[[str], str]] = {
    "another engine": lambda text: text.replace('"engine": "openvino"', '"engine": "pytorch"'),
    "another precision": lambda text: text.replace('"precision": "f32"', '"precision": "bf16"'),
    "smaller errors": lambda text: text.replace('"stem": ', '"stem": 1e-30'),
    "half of it": lambda text: text[: len(text) // 2],
    "nothing": lambda text: "",
    "a list": lambda text: "[]",
    "a number": lambda text: "3",
    "nested without end": lambda text: "[" * 10_000,
    "as the version before wrote it": lambda text: json.dumps(json.loads(text)["proven"]),
}


@pytest.mark.parametrize("fault", PROOF_FAULTS)
def test_a_proof_that_was_changed_is_made_again(fault: str, toy_prefix: Prefix, pictures: np.ndarray, tmp_path: Path) -> None:
    asked = {"engine": "openvino", "precision": "f32", "folder": tmp_path}
    first = resolve(toy_prefix, proof_pictures(pictures), **asked)  # type: ignore[arg-type]
    (path,) = tmp_path.rglob("proof-*.json")
    changed = PROOF_FAULTS[fault](path.read_text("utf-8"))
    assert changed != path.read_text("utf-8")
    path.write_text(changed, "utf-8")
    with pytest.raises(AssertionError, match="opened"):
        resolve(toy_prefix, ProofPictures(key="p", load=never), **asked)  # type: ignore[arg-type]
    again = resolve(toy_prefix, proof_pictures(pictures), **asked)  # type: ignore[arg-type]
    assert replace(again, seconds=first.seconds) == first
    assert resolve(toy_prefix, ProofPictures(key="p", load=never), **asked) == again  # type: ignore[arg-type]


def test_the_proof_of_other_pictures_under_our_name_is_none(toy_prefix: Prefix, pictures: np.ndarray, kept: Path) -> None:
    (first,) = kept.rglob("proof-*.json")
    resolve(toy_prefix, proof_pictures(pictures, "others"), engine="openvino", precision="f32", folder=kept)
    (second,) = set(kept.rglob("proof-*.json")) - {first}
    second.replace(first)
    with pytest.raises(AssertionError, match="opened"):
        resolve(toy_prefix, ProofPictures(key="p", load=never), engine="openvino", precision="f32", folder=kept)


def test_a_proof_with_its_own_digest_that_passes_no_more_is_none(toy_prefix: Prefix, kept: Path) -> None:
    (path,) = kept.rglob("proof-*.json")
    document = json.loads(path.read_text("utf-8"))
    document.pop("digest")
    document["proven"]["proof"]["tap_errors"]["stem"] = 5.0
    path.write_text(json.dumps(document | {"digest": json_digest(document)}), "utf-8")
    with pytest.raises(AssertionError, match="opened"):
        resolve(toy_prefix, ProofPictures(key="p", load=never), engine="openvino", precision="f32", folder=kept)


@pytest.mark.parametrize("change", ["instructions", "library", "layout", "what can be tried", "card"])
def test_a_proof_holds_for_the_machine_the_libraries_and_the_taps_that_it_was_made_with(
    change: str, toy_prefix: Prefix, pictures: np.ndarray, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"engine": "openvino", "precision": "auto", "folder": kept}
    resolve(toy_prefix, proof_pictures(pictures), **asked)  # type: ignore[arg-type]
    prefix = toy_prefix
    if change == "instructions":
        monkeypatch.setattr(build.machine, "vector_instructions", lambda: ("avx1024",))
    elif change == "library":
        versions = build.machine.versions
        monkeypatch.setattr(build.machine, "versions", lambda *names: versions(*names) | {"pillow": "99.0"})
    elif change == "card":
        monkeypatch.setattr(build.pytorch, "device_name", lambda: "another")
    elif change == "layout":
        prefix = replace(toy_prefix, layout=(("stem", 16), ("stage1", 8)))
    else:
        monkeypatch.setattr(openvino, "precisions", lambda: ("f32", "bf16"))  # of no machine, so unlike this one's
    with pytest.raises(AssertionError, match="opened"):
        resolve(prefix, ProofPictures(key="p", load=never), **asked)  # type: ignore[arg-type]


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


@pytest.mark.parametrize("problem", [MemoryError(), OSError(28, "No space left on device"), OutOfMemoryError("CUDA")])
def test_what_failed_for_want_of_memory_or_room_is_tried_again_the_next_time(
    problem: Exception, toy_prefix: Prefix, pictures: np.ndarray, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(openvino, "OpenVinoEngine", fail)
        poor = resolve(toy_prefix, proof_pictures(pictures), folder=kept)
    assert (poor.engine, len(poor.notes)) == ("pytorch", len(openvino.precisions()))
    assert resolve(toy_prefix, proof_pictures(pictures), folder=kept).engine == "openvino"


def test_a_proof_on_fewer_pictures_than_will_be_there_the_next_time_is_not_kept(
    toy_prefix: Prefix, pictures: np.ndarray, kept: Path
) -> None:
    resolve(toy_prefix, ProofPictures(key="p", load=lambda: pictures[:2], lasting=lambda: False), folder=kept)
    assert resolve(toy_prefix, proof_pictures(pictures), folder=kept).proof.pictures == len(pictures)
