"""A model folder from a stranger works, or is refused by name: whatever was changed in it, and signed again.

The digests of a folder are no protection against who makes them, so every change here is signed as `files.write` signs.
"""

import copy
import json
import math
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from drawn_shapes import draw_shape
from warmstart.engines.protocol import Engine
from warmstart.errors import ModelFileError
from warmstart.model.files import DESCRIPTION, TENSORS, _file_digest, _own_digest
from warmstart.model.predictor import load
from warmstart.workflows.predict import open_model

ModelWith = Callable[[str], Path]
BACKBONE, SIZE_PX = "timm:test_efficientnet", 64  # of conftest's models
HEADS = ("linear", "svm", "svm-rbf", "ridge", "knn", "mlp")

# What a value of a description is replaced by. Some of these are right in some places: then the model must work.
BAD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 10**30, -0.5, 1e300, "", "x", "\u0000\u001b[31m", "\ud800", [], {}, [[]], ["a", "a"], [None], {"a": 1},
)  # fmt: skip


def signed(folder: Path, document: dict[str, Any], tensors: dict[str, np.ndarray] | None = None) -> Path:
    """The folder with this description and these tensors, and digests that fit."""
    if tensors is not None:
        save_file(tensors, folder / TENSORS)
        document = document | {"files": {TENSORS: _file_digest(folder / TENSORS)}}
    document = {key: value for key, value in document.items() if key != "digest"}
    (folder / DESCRIPTION).write_text(json.dumps(document | {"digest": _own_digest(document)}), "utf-8")
    return folder


def fault(folder: Path, engine: Engine | None = None) -> str | None:
    """None where the model answers, or is refused by the name of a file in its folder; else what went wrong.

    engine: of the same network, where compiling it again would only take time.
    """
    try:
        model = load(folder)
        if model.preprocessing.size_px == SIZE_PX and model.engine == "openvino" and model.backbone == BACKBONE:
            model._opened.engine = engine
        prediction = model.predict(draw_shape("circle", 5), coverage=0.9 if model.trust else None)
    except ModelFileError as refusal:
        return None if folder.name in str(refusal) and "\n" not in str(refusal) else f"refused without a name: {refusal}"
    except Exception as reason:
        return f"{type(reason).__name__}: {str(reason)[:120]}"
    numbers = [*prediction.probabilities.values()]  # type: ignore[union-attr]
    numbers.append(prediction.novelty or 0.0)  # type: ignore[union-attr]
    if not all(map(math.isfinite, numbers)) or abs(sum(numbers[:-1]) - 1) > 1e-6:
        return f"answered {numbers}"
    return None


def opened(folder: Path) -> Engine:
    model = load(folder)
    model.predict(draw_shape("circle", 5))
    assert model._opened.engine is not None
    return model._opened.engine


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every value in a document; of a list the first and last, of a run's own record the outermost."""
    if path:
        yield path
    if path[:1] == ("about",) and len(path) > 1:
        return
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for i in {0, len(value) - 1}:
            yield from places(value[i], (*path, i))


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    fresh = copy.deepcopy(document)
    at = fresh
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return fresh


@pytest.fixture
def folder(model_with: ModelWith, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_with("linear"), tmp_path / "stranger"))


@pytest.mark.parametrize("head", HEADS)
def test_any_value_of_the_description_may_be_wrong(head: str, model_with: ModelWith, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_with(head), tmp_path / "stranger"))
    document = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    # What all heads have is tried with one of them.
    tried = [path for path in places(document) if path != ("digest",) and (head == "linear" or path[0] == "head")]
    tried += [("task",), ("task_from",)] if head == "linear" else []  # models of classes say neither
    engine = opened(signed(folder, document))  # signing alone changes nothing
    faults = {}
    for path in tried:
        for value in BAD_VALUES if head == "linear" else BAD_VALUES[:8]:
            if found := fault(signed(folder, changed(document, path, value)), engine):
                faults[path, repr(value)] = found
    assert not faults, faults


def tamperings(tensor: np.ndarray) -> dict[str, np.ndarray | None]:
    """By what was done to it."""
    first = np.zeros(tensor.shape, bool)
    first.flat[:1] = True
    return {
        "gone": None,
        "NaN": np.where(first, np.nan, tensor).astype(tensor.dtype),
        "infinite": np.where(first, -np.inf, tensor).astype(tensor.dtype),
        "huge": (tensor * 0 + np.finfo(tensor.dtype).max).astype(tensor.dtype),
        "negative": (-np.abs(tensor) - 1).astype(tensor.dtype),
        "reversed": np.ascontiguousarray(tensor[::-1]),
        "empty": tensor[:0],
        "shorter": tensor[:-1],
        "longer": np.concatenate([tensor, tensor[-1:]]),
        "one number": tensor.reshape(-1)[:1].reshape(()),
        "another axis": tensor[None],
        "flat": tensor.reshape(-1),
        "transposed": np.ascontiguousarray(tensor.T),
        "no columns": tensor[..., :0],
        "whole numbers": tensor.astype(np.int64),
        "bytes": tensor.astype(np.uint8),
        "booleans": tensor.astype(bool),
        "half": tensor.astype(np.float16),
        "double": tensor.astype(np.float64),
    }


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("head", HEADS)
def test_any_tensor_may_be_wrong(head: str, model_with: ModelWith, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_with(head), tmp_path / "stranger"))
    document = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    tensors = load_file(folder / TENSORS)
    first_of_backbone = min(name for name in tensors if name.startswith("backbone.") and tensors[name].ndim == 4)
    engine = opened(folder)
    faults = {}
    for name in tensors:
        if name.startswith("backbone.") and (name != first_of_backbone or head != "linear"):
            continue
        if name.startswith("trust.") and head != "linear":
            continue
        for kind, tensor in tamperings(tensors[name]).items():
            others = {n: t for n, t in tensors.items() if n != name}
            made = signed(folder, document, others if tensor is None else others | {name: tensor})
            if found := fault(made, None if name.startswith("backbone.") else engine):
                faults[name, kind] = found
    assert not faults, faults


def header(folder: Path, change: Callable[[dict[str, Any]], Any] | None, *, length: int | None = None) -> Path:
    """The folder with another header before the same tensors, signed; ``length``: what it says of its own."""
    content = (folder / TENSORS).read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    document = json.loads(content[8:end])
    if change is not None:
        change(document)
    text = json.dumps(document).encode()
    (folder / TENSORS).write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content[end:])
    return resigned(folder)


def resigned(folder: Path) -> Path:
    document = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    return signed(folder, document | {"files": {TENSORS: _file_digest(folder / TENSORS)}})


def entry(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["head.coef"]
    return found


@pytest.mark.parametrize(
    ("change", "length"),
    [
        (None, 2**63),
        (None, 2**40),
        (None, 0),
        (None, 3),
        (lambda d: entry(d).update(data_offsets=[0, 2**50]), None),
        (lambda d: entry(d).update(data_offsets=[-4, 0]), None),
        (lambda d: entry(d).update(data_offsets=[8, 4]), None),
        (lambda d: entry(d).update(data_offsets=d["head.intercept"]["data_offsets"]), None),
        (lambda d: entry(d).update(shape=[2**40, 2**40]), None),
        (lambda d: entry(d).update(shape=[-1, 3]), None),
        (lambda d: entry(d).update(dtype="F99"), None),
        (lambda d: entry(d).update(dtype="BF16", shape=[160, 6]), None),
        (lambda d: entry(d).update(dtype="F8_E4M3", shape=[160, 12]), None),
        (lambda d: d.clear(), None),
        (lambda d: d.update(deep=json.loads("[" * 500 + "]" * 500)), None),
        (lambda d: d.update(__metadata__={"a": 1}), None),
    ],
)
def test_a_header_of_tensors_may_lie(folder: Path, change: Any, length: int | None) -> None:
    with pytest.raises(ModelFileError, match=r"stranger/model\.(safetensors|json)"):
        load(header(folder, change, length=length))


def test_tensors_that_end_too_soon_or_go_on_are_refused(folder: Path) -> None:
    content = (folder / TENSORS).read_bytes()
    for changed_content in (b"", content[:5], content[:100], content[:-4], content + b"0000", b"PK\x03\x04" + content):
        (folder / TENSORS).write_bytes(changed_content)
        with pytest.raises(ModelFileError, match=r"model\.safetensors"):
            load(resigned(folder))


def test_a_file_that_claims_to_be_huge_is_refused_before_it_is_read(folder: Path) -> None:
    with (folder / TENSORS).open("r+b") as file:
        file.truncate(2**42)  # holes: nothing is on the disk
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        load(folder)
    with (folder / DESCRIPTION).open("r+b") as file:
        file.truncate(2**42)
    with pytest.raises(ModelFileError, match=r"model\.json.*longer than"):
        load(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", [DESCRIPTION, TENSORS])
def test_what_is_no_file_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert fault(folder) is None
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert fault(folder) is None
    (folder / name).unlink()
    (folder / name).symlink_to(name)  # to itself
    assert fault(folder) is None
    (folder / name).unlink()
    (folder / name).mkdir()
    assert fault(folder) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "deep"),
        ('{"format": ' + '{"a":' * 5000 + "1" + "}" * 5001, "deep"),
        ('{"format": 1, "format": 1}', "twice"),
        ('{"format": NaN}', "NaN"),
        ('{"format": -Infinity}', "Infinity"),
        ('{"format": 1e999}', "1e999"),
        ('{"format": ' + "9" * 5000 + "}", "digits"),
        ("\ufeff{}", "format"),
    ],
)
def test_a_description_that_is_no_proper_json_is_refused(folder: Path, text: str, why: str) -> None:
    (folder / DESCRIPTION).write_text(text, "utf-8")
    with pytest.raises(ModelFileError, match=rf"model\.json.*{why}"):
        load(folder)


@pytest.mark.parametrize("name", ["n" * 300, "n" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(name: str, tmp_path: Path) -> None:
    for verb in (load, open_model):
        with pytest.raises(ModelFileError, match=r"cannot be read|is not a model"):
            verb(str(tmp_path / name))
