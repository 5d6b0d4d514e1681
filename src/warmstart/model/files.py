"""The model folder: `model.json` says what it is, `model.safetensors` holds every number. Reading runs no code and needs no torch.

Written whole or not at all (beside its place, then moved). `model.json` carries the digest of the tensors and of itself, so a
damaged or edited folder is refused by the name of the file.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.atomic import recover, replaced_folder
from warmstart.errors import ModelFileError
from warmstart.records import to_json
from warmstart.refusals import explained

FORMAT = 1
DESCRIPTION, TENSORS = "model.json", "model.safetensors"


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


def read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(description, tensors) of a model folder. Raises ModelFileError naming the file and what is wrong with it."""
    description = read_description(folder)
    path = folder / TENSORS
    if not path.is_file():
        raise ModelFileError(f"{path} is missing: the model folder is incomplete. Copy the whole folder, or train again.")
    try:
        digest = _file_digest(path)
    except OSError as reason:
        raise ModelFileError(f"{path} cannot be read ({reason.strerror}): check its permissions.") from reason
    if digest != description["files"][TENSORS]:
        raise ModelFileError(
            f"{path} is not the file that {DESCRIPTION} describes: its digest differs, so it was damaged or changed after "
            "training. Copy the folder again from where it was trained."
        )
    from safetensors.numpy import load_file

    return description, load_file(path)


def read_description(folder: Path) -> dict[str, Any]:
    """`model.json` alone, checked."""
    recover(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        run = folder / "model" / DESCRIPTION
        hint = (
            f" It is a run folder; its model is {run.parent}"
            if run.is_file()
            else " A model folder is what train wrote as runs/…/model"
        )
        why = f"there is no {DESCRIPTION} in it" if folder.exists() else "there is no such folder"
        raise ModelFileError(f"{folder} is not a model: {why}.{hint}.")
    try:
        document = json.loads(path.read_text("utf-8"))
        found = document["format"]
    except OSError as reason:
        raise ModelFileError(f"{path} cannot be read ({reason.strerror}): check its permissions.") from reason
    except (ValueError, KeyError, TypeError) as reason:
        raise ModelFileError(f"{path} is not a warmstart model description ({type(reason).__name__}: {reason}).") from reason
    if not isinstance(found, int) or found > FORMAT:
        raise ModelFileError(
            f"{path} has format {found}; this version of warmstart reads formats up to {FORMAT}. Update: pip install -U warmstart"
        )
    claimed = document.pop("digest", None)
    if claimed != _own_digest(document):
        raise ModelFileError(
            f"{path} was damaged or edited: its digest does not fit its content. Copy it again, or train again."
        )
    return dict(document)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_digest(document: Mapping[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
