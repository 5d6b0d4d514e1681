"""The model folder: read back to the bit, self-contained, and refused by name when anything about it is wrong."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_shapes import draw_shape
from warmstart.backbones import weights
from warmstart.errors import ModelFileError
from warmstart.model.files import _own_digest
from warmstart.model.predictor import load
from warmstart.session.outcome import Run


@pytest.fixture
def folder(trained: Run, tmp_path: Path) -> Path:
    """A model folder of one's own, away from its run."""
    return Path(shutil.copytree(trained.folder / "model", tmp_path / "model"))


def edit(path: Path, change: Callable[[dict[str, Any]], Any], *, sign: bool = False) -> None:
    document = json.loads(path.read_text("utf-8"))
    change(document)
    if sign:
        document.pop("digest", None)
        document["digest"] = _own_digest(document)
    path.write_text(json.dumps(document), "utf-8")


def test_a_saved_model_gives_the_same_probabilities_to_the_bit(trained: Run, warm_cache: Path, tmp_path: Path) -> None:
    pictures = [draw_shape(name, 77) for name in ("circle", "square", "stripes")]
    expected = [prediction.probabilities for prediction in trained.model.predict(pictures)]
    trained.model.save(tmp_path / "copy")
    copy = load(tmp_path / "copy")
    assert [prediction.probabilities for prediction in copy.predict(pictures)] == expected
    rows = np.random.default_rng(0).normal(size=(9, sum(width for _, width in copy.layout)))
    assert np.array_equal(copy.probabilities(rows), trained.model.probabilities(rows))
    assert copy.about == json.loads(json.dumps(trained.model.about))


def test_a_model_needs_neither_the_package_of_its_weights_nor_a_filled_cache(
    trained: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the source of the weights was asked for")

    really = importlib.util.find_spec
    monkeypatch.setattr(weights, "load_backbone", refuse)
    monkeypatch.setattr(weights, "find_spec", lambda name: None if "efficientnet" in name else really(name))
    picture = draw_shape("square", 77)
    assert load(folder).predict(picture) == trained.model.predict(picture)


def test_a_run_folder_is_accepted_for_its_model(trained: Run) -> None:
    assert load(trained.folder).class_names == load(trained.folder / "model").class_names == trained.model.class_names


def test_saving_replaces_what_was_there_and_leaves_nothing_else_behind(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    trained.model.save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert not (tmp_path / "model" / "old").exists()


def test_one_flipped_bit_of_the_tensors_is_noticed_and_the_file_named(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.safetensors is not the file that model\.json describes"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["class_names"].reverse(),
        lambda document: document.update(threshold=0.9),
        lambda document: document.pop("digest"),
        lambda document: document["files"].update({"model.safetensors": "0" * 64}),
    ],
)
def test_an_edited_description_is_refused(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    edit(folder / "model.json", change)
    with pytest.raises(ModelFileError, match=r"model\.json was damaged or edited"):
        load(folder)


def test_a_newer_format_is_refused_with_the_way_to_read_it(folder: Path) -> None:
    edit(folder / "model.json", lambda document: document.update(format=2, news=True), sign=True)
    with pytest.raises(ModelFileError, match=r"format 2; .* up to 1.*pip install -U warmstart"):
        load(folder)


@pytest.mark.parametrize("name", ["layout", "taps", "head", "preprocessing", "temperature", "backbone"])
def test_a_description_that_lacks_a_part_is_refused_by_the_name_of_the_part(folder: Path, name: str) -> None:
    edit(folder / "model.json", lambda document: document.pop(name), sign=True)
    with pytest.raises(ModelFileError, match=rf"model\.json lacks or misuses '{name}'"):
        load(folder)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'"text"', b"\xff\xfe", b'{"classes": 3}'])
def test_what_is_no_description_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.json is not a warmstart model description"):
        load(folder)


def test_missing_files_and_folders_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match=r"model\.safetensors is missing"):
        load(folder)
    (folder / "model.json").unlink()
    with pytest.raises(ModelFileError, match=r"model is not a model: there is no model\.json in it"):
        load(folder)
    with pytest.raises(ModelFileError, match="there is no such folder"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("part", ["backbone", "head"])
def test_a_backbone_or_head_of_a_later_version_is_refused_by_name(folder: Path, part: str) -> None:
    edit(folder / "model.json", lambda document: document[part].update(name="oracle"), sign=True)
    with pytest.raises(ModelFileError, match=rf"unknown {part} 'oracle'.* later version"):
        load(folder)
