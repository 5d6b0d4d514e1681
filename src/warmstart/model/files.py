"""The model folder: `model.json` says what it is, `model.safetensors` holds every number. Reading runs no code and needs no torch.

Written whole or not at all (beside its place, then moved). `model.json` carries the digest of the tensors and of itself, so a
damaged or edited folder is refused by the name of the file. Who makes a folder makes its digests too: what is read here is a
document and tensors, no more; whether they make a model is judged by `model.checking`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.atomic import recover, replaced_folder
from warmstart.errors import ModelFileError
from warmstart.records import fits, json_digest, read_json, to_json
from warmstart.refusals import explained

FORMAT = 1
# The largest of ours: 1.4 GB for the widest network, as much again for a k-NN head on 100,000 pictures.
MOST_TENSOR_BYTES = 8_000_000_000
DESCRIPTION, TENSORS = "model.json", "model.safetensors"
AGAIN = "Copy the folder again from where it was trained, or train again."


def write(folder: Path, description: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Write the model folder, replacing one that is there. ``description`` is JSON-ready and gets format and digests added.

    Raises MachineError, and the one that was there stays.
    """
    from safetensors.numpy import save_file

    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with replaced_folder(folder) as fresh:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, fresh / TENSORS)
        document = {"format": FORMAT, **description, "files": {TENSORS: _file_digest(fresh / TENSORS)}}
        (fresh / DESCRIPTION).write_text(to_json(document | {"digest": _own_digest(document)}), "utf-8")


def model_folder(folder: Path) -> Path:
    """The folder itself, or the model's in a run folder."""
    try:
        inside = not (folder / DESCRIPTION).is_file() and (folder / "model" / DESCRIPTION).is_file()
    except OSError:  # `read_description` says it
        inside = False
    return folder / "model" if inside else folder


def read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(description, tensors) of a model folder. Raises ModelFileError naming the file and what is wrong with it."""
    from safetensors import safe_open
    from safetensors.numpy import load_file

    description = read_description(folder)
    path = folder / TENSORS
    if not path.is_file():
        raise ModelFileError(f"{path} is missing: the model folder is incomplete. Copy the whole folder, or train again.")
    try:
        if (size := path.stat().st_size) > MOST_TENSOR_BYTES:
            raise ModelFileError(
                f"{path} has {size:,} bytes, and no model of warmstart's has more than {MOST_TENSOR_BYTES:,}. Copy the folder again."
            )
        digest = _file_digest(path)
    except OSError as reason:
        raise ModelFileError(f"{path} cannot be read ({reason.strerror}): check its permissions.") from reason
    if digest != description["files"][TENSORS]:
        raise ModelFileError(
            f"{path} is not the file that {DESCRIPTION} describes: its digest differs, so it was damaged or changed after "
            "training. Copy the folder again from where it was trained."
        )
    try:
        with safe_open(path, "numpy"):
            pass  # the header is checked: lengths, places, no more and no less than the file
        return description, load_file(path)
    except Exception as reason:  # safetensors has errors of its own, and NumPy's for types that it does not know
        raise ModelFileError(
            f"{path} is no file of tensors that warmstart reads ({type(reason).__name__}: {_first_line(reason)}). {AGAIN}"
        ) from reason


def read_description(folder: Path) -> dict[str, Any]:
    """`model.json` alone, checked."""
    recover(folder)
    path = folder / DESCRIPTION
    try:
        if path.exists() and not path.is_file():
            raise ModelFileError(f"{path} is no file. {AGAIN}")
        missing = not path.is_file()
    except OSError as reason:  # a name that is too long, or a folder that may not be looked into
        raise ModelFileError(f"{path} cannot be read ({reason.strerror}): check the name, and its permissions.") from reason
    if missing:
        run = folder / "model" / DESCRIPTION
        hint = (
            f" It is a run folder; its model is {run.parent}"
            if run.is_file()
            else " A model folder is what train wrote as runs/…/model"
        )
        why = f"there is no {DESCRIPTION} in it" if folder.exists() else "there is no such folder"
        raise ModelFileError(f"{folder} is not a model: {why}.{hint}.")
    try:
        document = read_json(path)
        found = document["format"]
    except OSError as reason:
        raise ModelFileError(f"{path} cannot be read ({reason.strerror}): check its permissions.") from reason
    except (ValueError, KeyError, TypeError) as reason:
        raise ModelFileError(
            f"{path} is not a warmstart model description ({type(reason).__name__}: {_first_line(reason)}). {AGAIN}"
        ) from reason
    if not isinstance(document, dict) or not fits(found, int) or found < 1:
        raise ModelFileError(f"{path} is not a warmstart model description (its format is {found!r:.80}). {AGAIN}")
    if found > FORMAT:
        raise ModelFileError(
            f"{path} has format {found}; this version of warmstart reads formats up to {FORMAT}. Update: pip install -U warmstart"
        )
    claimed = document.pop("digest", None)
    if claimed != _own_digest(document):
        raise ModelFileError(
            f"{path} was damaged or edited: its digest does not fit its content. Copy it again, or train again."
        )
    if not isinstance(document.get("files"), dict) or not isinstance(document["files"].get(TENSORS), str):
        raise ModelFileError(f"{path} lacks or misuses 'files': it names no digest of {TENSORS}. {AGAIN}")
    return dict(document)


def _first_line(reason: BaseException) -> str:
    return (str(reason).splitlines() or [""])[0][:200]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_digest(document: Mapping[str, Any]) -> str:
    return json_digest(document)
