"""run.json: the record of a finished run, written and read. What everybody holds who asks about a run.

A run from before a key existed has it empty, and is written again without it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_type_hints

from warmstart.errors import InputError, UnknownNameError, UsageError
from warmstart.plan import Plan
from warmstart.records import Cache, Notice, Problem, Split, expected, fits, read_json
from warmstart.strategy.resize import Mode, ResizeChoice
from warmstart.task_registry import USUAL, find_task

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from warmstart.training.events import Epoch

Part = TypeVar("Part", bound="DataclassInstance")
RECORD_FORMAT = 1  # raise it when what stands there already changes its meaning
# What reading a document raises that is none.
NO_RECORD = (UsageError, UnknownNameError, OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """What was learnt from."""

    source: str  # as it was named
    working_folder: str | None = None  # that source and pictures are named from, where their paths are not absolute
    images: int
    of_task: Mapping[str, Any] = field(default_factory=dict)  # what the task says of its targets, such as `classes`
    splits: Mapping[str, int] = field(default_factory=dict)
    fingerprint: str = ""
    licence: str | None = None  # of the pictures, where it is known
    problems: tuple[Problem, ...] = ()
    fixes: Mapping[str, Any] | None = None  # what a list of fixes has changed before
    kept_together: int = 0  # pictures that are near copies of another and share its split for that
    seen: Mapping[str, Any] = field(default_factory=dict)  # which share of the pictures the network sees
    notices: tuple[Notice, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; what the task says stands among the rest."""
        out: dict[str, Any] = {}
        for name, value in _values(self).items():
            if name == "of_task":
                out |= value
            else:
                out[name] = [one.to_dict() for one in value] if name in ("problems", "notices") else value
        return out

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or AttributeError for what is none."""
        own = {f.name for f in dataclasses.fields(cls)} - {"of_task"}
        read = {
            "of_task": {name: value for name, value in document.items() if name not in own},
            "problems": tuple(_made(Problem, one) for one in document.get("problems", ())),
            "notices": tuple(_made(Notice, {**one, "paths": tuple(one["paths"])}) for one in document.get("notices", ())),
        }
        return _made(cls, {**document, **read})


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRow:
    """One evaluation on val while a network is trained."""

    cut: str  # what was frozen up to: with gradual unfreezing it moves left
    epoch: int  # at this cut; 0: before its first step
    step: int
    train_loss: float | None  # without the penalty on the head; None for epoch 0
    val_loss: float
    val: Mapping[str, float]  # what the task measures on val beside, by its names; the last one is what is watched
    best: bool  # so far, at this cut
    learning_rate: float
    seconds: float  # of this epoch
    elapsed_seconds: float  # since the run began, everything included; a pause between a kill and --resume is not

    @classmethod
    def of(cls, event: "Epoch", *, cut: str, step: int, learning_rate: float, elapsed_seconds: float) -> Self:
        """The row of an event of the training loop."""
        return cls(
            cut=cut,
            epoch=event.epoch,
            step=step,
            train_loss=event.train_loss,
            val_loss=event.val.loss,
            val=dict(event.val.named),
            best=event.best,
            learning_rate=learning_rate,
            seconds=event.seconds,
            elapsed_seconds=elapsed_seconds,
        )

    @property
    def watched(self) -> tuple[str, float]:
        """(name, value) of what is watched."""
        return [("loss", self.val_loss), *self.val.items()][-1]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, and a line of history.csv: `val_accuracy`, and so on, beside `val_loss`."""
        out: dict[str, Any] = {}
        for name, value in _values(self).items():
            out |= {f"val_{one}": number for one, number in value.items()} if name == "val" else {name: value}
        return out

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError or TypeError for what is none."""
        own = {f.name for f in dataclasses.fields(cls)}
        measured = {name: value for name, value in document.items() if name.startswith("val_") and name not in own}
        return _made(cls, {**document, "val": {name.removeprefix("val_"): value for name, value in measured.items()}})


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """How the network, or a module of the task's own, was trained. What is None is not written."""

    end: str  # why it ended, in words
    best_epoch: int
    epochs: tuple[HistoryRow, ...]
    prefix_digest: str | None = None  # of what was frozen; as all that may be None, of a network alone
    trained_stages: tuple[str, ...] | None = None
    frozen: Mapping[str, Any] | None = None  # by name right of the cut: names and digest
    settings: Mapping[str, Any]
    phases: tuple[Mapping[str, Any], ...] | None = None
    execution: Mapping[str, Any]
    images_per_second: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        values = {name: value for name, value in _values(self).items() if value is not None}
        lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        return values | lists | {"epochs": [row.to_dict() for row in self.epochs]}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises KeyError, TypeError or AttributeError for what is none."""
        lists = {name: tuple(value) for name, value in document.items() if isinstance(value, list)}
        epochs = tuple(HistoryRow.from_dict(row) for row in document["epochs"])
        return _made(cls, {**document, **lists, "epochs": epochs})


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What was done, with what, on what, how long it took and how well it went."""

    data: DataRecord
    plan: Plan
    scores: Mapping[Split, Any]  # by split, the task's; a split without pictures has none
    seconds: Mapping[str, float]
    images_per_second: float | None  # None when every picture came from the store
    cache: Cache
    run_dir: str
    engine: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingRecord | None = None  # None where nothing but a head was trained
    choice: Mapping[str, Any] = field(default_factory=dict)  # the table that taps and penalty were chosen from
    resize: ResizeChoice | None = None  # why pictures are shown as they are, where that was left open and the crop shows little
    forecast: Mapping[str, Any] = field(default_factory=dict)  # made before the run; its seconds are to be held against these
    advice: Mapping[str, Any] = field(default_factory=dict)  # evidence, reasons, plans; empty for a plan that was given
    trust: Mapping[str, Any] = field(
        default_factory=dict
    )  # what calibrated the model, and what its sets and novelty did on test
    parity: Mapping[str, Any] = field(default_factory=dict)  # what the engine says of held-out files against float32 PyTorch
    parameters: Mapping[str, Any] = field(default_factory=dict)  # how many the network has, and how many of them were trained
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    lacking: frozenset[tuple[str, ...]] = frozenset()  # keys that its document, from before they existed, has not

    @property
    def task(self) -> str:
        """What was learnt."""
        return self.plan.task or USUAL

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        out = {"format": RECORD_FORMAT, **_values(self)}
        del out["lacking"]
        out["data"], out["plan"] = self.data.to_dict(), self.plan.to_dict()
        held_out: tuple[Split, ...] = ("val", "test")
        out["scores"] = {split: self.scores[split].to_dict() if split in self.scores else None for split in held_out}
        out["cache"] = dataclasses.asdict(self.cache)
        out["training"] = self.training.to_dict() if self.training else {}
        out["resize"] = self.resize.to_dict() if self.resize else {}
        for *part, key in self.lacking:
            (out[part[0]] if part else out).pop(key, None)
        return out

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises one of `NO_RECORD` for what is none, or of a task that is not installed."""
        plan = Plan.from_dict(document["plan"])
        task = find_task(plan.task or USUAL)
        read = {
            "data": DataRecord.from_dict(document["data"]),
            "plan": plan,
            "scores": {split: task.read_scores(one) for split, one in document["scores"].items() if one},
            "training": TrainingRecord.from_dict(document["training"]) if document.get("training") else None,
            "resize": read_choice(document["resize"]) if document.get("resize") else None,
            "cache": _made(Cache, document.get("cache", {"hits": 0, "misses": 0})),
        }
        record = _made(cls, {"seconds": {}, "images_per_second": None, "run_dir": "RUN", **document, **read})
        return dataclasses.replace(record, lacking=frozenset(_lacking(record.to_dict(), document)))


def read_choice(document: Mapping[str, Any]) -> ResizeChoice:
    """The inverse of `ResizeChoice.to_dict`. Raises KeyError or TypeError for what is none."""
    modes = tuple(_made(Mode, {**one, "gain_interval": tuple(one["gain_interval"])}) for one in document["modes"])
    return _made(ResizeChoice, {**document, "modes": modes})


def read_record(folder: Path) -> RunRecord:
    """Of a run folder. Raises InputError where there is no run, its record cannot be read, or its task is not installed."""
    path = record_path(folder)
    try:
        document = dict(read_json(path, errors="surrogateescape"))
        if (found := document.get("format", 1)) > RECORD_FORMAT:
            raise InputError(f"{path} has format {found}, this warmstart reads up to {RECORD_FORMAT}: update warmstart")
        record = RunRecord.from_dict(document)
        return record if "run_dir" in document else dataclasses.replace(record, run_dir=str(folder))
    except NO_RECORD as reason:
        raise unreadable(path, reason) from reason


def read_data(path: Path) -> DataRecord:
    """What a run.json says of the data, whatever stands beside that. Raises OSError, ValueError, KeyError, TypeError, AttributeError."""
    return DataRecord.from_dict(read_json(path, errors="surrogateescape")["data"])


def record_path(folder: Path) -> Path:
    """The record of a finished run. Raises InputError where there is none."""
    path = folder / "run.json"
    if not path.is_file():
        there = "it does not exist" if not folder.exists() else "there is no run.json in it"
        raise InputError(
            f"{folder} is not a finished run: {there}. Expected a folder that train or compare wrote, such as runs/<time>-<name>."
        )
    return path


def unreadable(path: Path, reason: Exception) -> InputError:
    """What is said of a record that is none."""
    return InputError(f"{path} is not the record of a run ({type(reason).__name__}: {reason}). Copy it again, or train again.")


def _values(part: Any) -> dict[str, Any]:
    return {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}


def _made(kind: type[Part], document: Mapping[str, Any]) -> Part:
    """Of the fields that the document has; what a newer version has added is no concern of ours. Raises KeyError, TypeError."""
    hints, values = get_type_hints(kind), {}
    for f in dataclasses.fields(kind):
        if f.name in document:
            if not fits(document[f.name], hints[f.name]):
                raise TypeError(f"{f.name!r} is {document[f.name]!r:.40}, expected {expected(hints[f.name])}")
            values[f.name] = document[f.name]
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise KeyError(f.name)
    return kind(**values)


def _lacking(whole: Mapping[str, Any], document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Keys of ``whole`` that ``document`` has not, and of its parts that it has."""
    found: list[tuple[str, ...]] = [(key,) for key in whole if key not in document]
    for part in ("data", "plan", "scores"):
        found += [(part, key) for key in whole[part] if key not in document[part]]
    return found
