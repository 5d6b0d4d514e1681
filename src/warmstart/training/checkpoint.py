"""A run of training as one file, from which it goes on to the very same weights.

    checkpoint.safetensors    header: JSON with position, settings, identity, execution
                              tensors: module/…  best/…  average/…  optimizer/…

One file, because two could not be replaced at the same moment. It is written beside its place, flushed to the disk and
renamed: after a kill or a power cut there is the old file or the new one. No generator states are in it: random numbers
follow from seed and position.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from warmstart.atomic import write_bytes
from warmstart.errors import InputError, UsageError
from warmstart.machine import installed_version
from warmstart.records import from_json
from warmstart.refusals import explained
from warmstart.training.objective import ValScores
from warmstart.training_settings import TrainingSettings

FORMAT = 2  # 1 knew scores of classes only


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a run is."""

    epoch: int = 0  # epochs completed
    batch: int = 0  # batches of the running epoch that were trained on
    step: int = 0  # updates made
    loss_sum: float = 0.0  # over the running epoch's pictures
    pictures: int = 0  # of the running epoch
    epoch_seconds: float = 0.0  # spent on the running epoch
    seconds: float = 0.0  # spent on all
    best_epoch: int = 0
    best: ValScores
    last: ValScores | None = None  # of the last completed epoch
    last_train_loss: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; floats keep every bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        last = values["last"]
        return cls(**{**values, "best": _scores(values["best"]), "last": None if last is None else _scores(last)})


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything a run consists of between two steps."""

    position: Position
    settings: Mapping[str, Any]  # of training; a run goes on under the same
    execution: Mapping[str, Any]  # what decides last bits; a run may go on under another
    tensors: Mapping[str, Tensor]  # 'module/…', 'best/…', 'average/…', 'optimizer/…'

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, by their names in it."""
        return {key.removeprefix(f"{name}/"): tensor for key, tensor in self.tensors.items() if key.startswith(f"{name}/")}

    def training_settings(self) -> TrainingSettings:
        """Those that it was made under."""
        names = {field.name for field in dataclasses.fields(TrainingSettings)}
        return TrainingSettings.from_dict({name: value for name, value in self.settings.items() if name in names})


def write_checkpoint(path: Path, checkpoint: Checkpoint, identity: Mapping[str, Any]) -> None:
    """Write or replace the file, whole or not at all. ``identity``: plan, digest of the data …, flat or nested, JSON-ready.

    The version of warmstart is added to the identity.
    """
    from safetensors.torch import save

    document = {
        "format": FORMAT,
        "position": checkpoint.position.to_dict(),
        "settings": dict(checkpoint.settings),
        "execution": dict(checkpoint.execution),
        "identity": _with_version(identity),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    content = save(tensors, metadata={"warmstart": json.dumps(document, allow_nan=False)})
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Raises UsageError naming every field of ``identity`` that differs, InputError for a file that is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(
            f"there is no checkpoint at {path}: the run ended before its first, or it is the folder of something else."
        )
    try:
        with safe_open(path, framework="pt") as file:
            document = from_json((file.metadata() or {})["warmstart"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, ValueError, OSError) as reason:
        raise InputError(
            f"{path} is not a readable checkpoint ({type(reason).__name__}: {reason}). Start the run again."
        ) from reason
    if document["format"] != FORMAT:
        raise InputError(f"{path} has format {document['format']}; this version of warmstart reads format {FORMAT}.")
    refuse_changes(document["identity"], _with_version(identity))
    return Checkpoint(
        position=Position.from_dict(document["position"]),
        settings=document["settings"],
        execution=document["execution"],
        tensors=tensors,
    )


def refuse_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises UsageError when two documents differ, with the names of the fields and both values."""
    changes = differences(then, now)
    if changes:
        raise UsageError(
            f"the run cannot be resumed: {'; '.join(changes)}. Resume with what it was started with, or start a new run."
        )


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """'field: value then, value now' for every field that differs; nested fields as 'plan.cut'."""
    before, after = (_flat(json.loads(json.dumps(document))) for document in (then, now))
    return tuple(
        f"{field}: {before.get(field, 'absent')} then, {after.get(field, 'absent')} now"
        for field in sorted({*before, *after})
        if before.get(field, "absent") != after.get(field, "absent")
    )


def _scores(values: Mapping[str, Any]) -> ValScores:
    return ValScores(**{**values, "rank": tuple(values["rank"])})


def _with_version(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {**identity, "warmstart": installed_version("warmstart")}


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in document.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out
