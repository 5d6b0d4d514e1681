"""A run folder, read for its report: whatever is there, and in words what is not.

run.json is the one file that must be there. A run from before a file or a key existed has a report without what came from it.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.csv_cells import text_of
from warmstart.data.files import found_again
from warmstart.evaluation.learning_curves import CurvePoint
from warmstart.records import read_json
from warmstart.report.run_record import HistoryRow, RunRecord, read_record, record_path, unreadable
from warmstart.tasks.classify.report.pictures import RunPictures, read_pictures

FINDINGS = "doctor.json"  # what is wrong with the data, as far as the run could tell


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A picture of test and what the model said of it."""

    path: str
    true: str
    predicted: str
    probability: float  # of the predicted class
    novelty: float | None = None  # percentile

    @property
    def right(self) -> bool:
        """Whether the model named its class."""
        return self.true == self.predicted


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """What a report is made of."""

    folder: Path
    record: RunRecord
    judged: tuple[Judged, ...]  # of test, in the order of predictions.csv
    pictures: RunPictures | None
    weights: Mapping[str, Any]  # tag and licence of what the network started from
    findings: tuple[Mapping[str, Any], ...] | None  # None where nothing was looked for
    unlooked: tuple[str, ...]  # what of the data was not looked at, in words
    cold: RunRecord | None  # of the best run from random weights in the same comparison
    compared: bool  # whether the folder lies in that of a comparison
    missing: tuple[str, ...]  # what the report has to do without, and why
    in_memory: Mapping[str, Any]  # name → picture, of those that lie in no file

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of labels."""
        return tuple(self.record.data.of_task["classes"])

    @property
    def source(self) -> str | None:
        """Where the data lies; None where that is no path, or no longer there."""
        source = self.record.data.source
        found = found_again(source, self.record.data.working_folder)
        return found if source and Path(found).exists() else None

    def located(self, path: str) -> Any:
        """Where a file is that the run has named, also when it is read from another working folder; a picture in memory itself."""
        if path in self.in_memory:
            return self.in_memory[path]
        return found_again(path, self.record.data.working_folder)


def read_run(folder: Path, in_memory: Mapping[str, Any] | None = None) -> RunFiles:
    """Raises InputError where there is no run, or its record cannot be read."""
    record = _record(folder)
    missing = []
    pictures = read_pictures(folder)
    if isinstance(pictures, str):
        missing.append(f"the map of the data set, novelty, and calibration before temperature scaling: {pictures}")
    judged = _judged(folder / "predictions.csv", None if isinstance(pictures, str) else pictures)
    if judged is None:
        missing.append("pictures behind the confusion matrix, mistakes and calibration: there is no readable predictions.csv")
    findings, unlooked = _findings(folder / FINDINGS)
    for key, what in (("trust", "sets of classes and calibration"), ("parameters", "how much of the network was trained")):
        if not getattr(record, key):
            missing.append(f"{what}: run.json has no {key!r}, the run is from before warmstart wrote it")
    return RunFiles(
        folder=folder,
        record=record,
        judged=judged or (),
        pictures=None if isinstance(pictures, str) else pictures,
        weights=_weights(folder),
        findings=findings,
        unlooked=unlooked,
        cold=_best_cold(folder),
        compared=_in_comparison(folder),
        missing=tuple(missing),
        in_memory=in_memory or {},
    )


def points_of(rows: Sequence[HistoryRow]) -> tuple[CurvePoint, ...]:
    """Of a learning curve, whose epochs are counted over all cuts."""
    return tuple(
        CurvePoint(
            epoch=number,
            seconds=row.elapsed_seconds,
            train_loss=row.train_loss,
            val_loss=row.val_loss,
            val_accuracy=row.val["accuracy"],
        )
        for number, row in enumerate(rows)
    )


def _record(folder: Path) -> RunRecord:
    record = read_record(folder)
    if "classes" not in record.data.of_task:
        raise unreadable(record_path(folder), KeyError("classes"))
    return record


def _judged(path: Path, pictures: RunPictures | None) -> tuple[Judged, ...] | None:
    novelty = {}
    if pictures is not None:
        novelty = {
            pictures.paths[i]: float(n) for i, n in zip(pictures.held_out, pictures.novelty, strict=True) if np.isfinite(n)
        }
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return tuple(
                Judged(
                    path=text_of(row["path"]),
                    true=text_of(row["true"]),
                    predicted=text_of(row["predicted"]),
                    probability=float(row["probability"]),
                    novelty=novelty.get(text_of(row["path"])),
                )
                for row in csv.DictReader(file)
            )
    except (OSError, KeyError, ValueError, TypeError):
        return None


def _weights(folder: Path) -> dict[str, Any]:
    try:
        return dict(read_json(folder / "model" / "model.json")["about"]["weights"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _findings(path: Path) -> tuple[tuple[Mapping[str, Any], ...] | None, tuple[str, ...]]:
    try:
        document = read_json(path, errors="surrogateescape")
        found = [finding for finding in list(document["findings"]) if isinstance(finding, dict)]
        return tuple(found), tuple(str(note) for note in document.get("notes", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, ()


def _in_comparison(folder: Path) -> bool:
    return any((folder.parent / name).is_file() for name in ("compare.json", "start.json"))


def _best_cold(folder: Path) -> RunRecord | None:
    """Of the runs beside this one in a comparison, that from random weights with the lowest log-loss on val."""
    if not _in_comparison(folder):
        return None
    records = []
    for path in sorted(folder.parent.glob("*/run.json")):
        record = _record(path.parent)
        if record.plan.weights == "random" and {"val", "test"} <= record.scores.keys():
            records.append(record)
    return min(records, key=lambda record: float(record.scores["val"].log_loss), default=None)
