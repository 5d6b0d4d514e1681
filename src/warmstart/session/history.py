"""history.csv of a run folder: a row an evaluation on val, written while the network trains, read back for the record."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from warmstart.atomic import write_text
from warmstart.csv_cells import cell_of, text_of
from warmstart.evaluation.learning_curves import CurvePoint
from warmstart.training.events import Epoch

HISTORY = "history.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryRow:
    """One evaluation on val."""

    cut: str  # what was frozen up to: with gradual unfreezing it moves left
    epoch: int  # at this cut; 0: before its first step
    step: int
    train_loss: float | None  # without the penalty on the head; None for epoch 0
    val_loss: float
    val_calibrated_loss: float  # at the temperature that fits val best: what epochs are chosen by
    val_accuracy: float
    best: bool  # so far, at this cut
    learning_rate: float
    seconds: float  # of this epoch
    elapsed_seconds: float  # since the run began, everything included; a pause between a kill and --resume is not

    @classmethod
    def of(cls, event: Epoch, *, cut: str, step: int, learning_rate: float, elapsed_seconds: float) -> Self:
        """The row of an event of the training loop."""
        return cls(
            cut=cut,
            epoch=event.epoch,
            step=step,
            train_loss=event.train_loss,
            val_loss=event.val_loss,
            val_calibrated_loss=event.val_calibrated_loss,
            val_accuracy=event.val_accuracy,
            best=event.best,
            learning_rate=learning_rate,
            seconds=event.seconds,
            elapsed_seconds=elapsed_seconds,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def point(self, epoch: int) -> CurvePoint:
        """As a point of a learning curve, whose epochs are counted over all cuts."""
        return CurvePoint(
            epoch=epoch,
            seconds=self.elapsed_seconds,
            train_loss=self.train_loss,
            val_loss=self.val_loss,
            val_accuracy=self.val_accuracy,
        )


FORMATS = {
    "cut": "{}",
    "epoch": "{}",
    "step": "{}",
    "train_loss": "{:.6f}",
    "val_loss": "{:.6f}",
    "val_calibrated_loss": "{:.6f}",
    "val_accuracy": "{:.6f}",
    "best": "{:d}",
    "learning_rate": "{:.3g}",
    "seconds": "{:.2f}",
    "elapsed_seconds": "{:.2f}",
}


class History:
    """All rows so far, and the file that always holds them. Some hundred lines at most, so it is written whole each time."""

    def __init__(self, folder: Path, rows: Iterable[HistoryRow] = ()) -> None:
        self._path, self._rows = folder / HISTORY, list(rows)

    def write(self, row: HistoryRow) -> None:
        """One more. Raises MachineError."""
        self._rows.append(row)
        table = io.StringIO()
        writer = csv.writer(table)
        writer.writerow(FORMATS)
        for each in self._rows:
            values = {name: getattr(each, name) for name in FORMATS}
            cells = {name: "" if value is None else FORMATS[name].format(value) for name, value in values.items()}
            writer.writerow((cells | {"cut": cell_of(each.cut)}).values())
        write_text(self._path, table.getvalue())


def read_history(folder: Path) -> tuple[HistoryRow, ...]:
    """All rows so far; empty where nothing was trained."""
    path = folder / HISTORY
    if not path.is_file():
        return ()
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        for values in csv.DictReader(file):
            try:
                rows.append(_row(values))
            except (KeyError, TypeError, ValueError):  # cut off by a kill, in a version that appended
                break
    return tuple(rows)


def _row(values: dict[str, str]) -> HistoryRow:
    return HistoryRow(
        cut=text_of(values["cut"]),
        epoch=int(values["epoch"]),
        step=int(values["step"]),
        train_loss=float(values["train_loss"]) if values["train_loss"] else None,
        val_loss=float(values["val_loss"]),
        val_calibrated_loss=float(values["val_calibrated_loss"]),
        val_accuracy=float(values["val_accuracy"]),
        best=values["best"] == "1",
        learning_rate=float(values["learning_rate"]),
        seconds=float(values["seconds"]),
        elapsed_seconds=float(values["elapsed_seconds"]),
    )
