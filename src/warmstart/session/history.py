"""history.csv of a run folder: a row an evaluation on val, written while the network trains, read back for the record."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from warmstart.atomic import write_text
from warmstart.csv_cells import cell_of, text_of
from warmstart.report.run_record import HistoryRow

HISTORY = "history.csv"


MEASURED = "{:.6f}"  # how what was measured on val stands in history.csv
FORMATS = {
    "cut": "{}",
    "epoch": "{}",
    "step": "{}",
    "train_loss": MEASURED,
    "val_loss": MEASURED,
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
        writer = csv.DictWriter(table, list(row.to_dict()))
        writer.writeheader()
        for each in self._rows:
            values = each.to_dict()
            cells = {n: "" if value is None else FORMATS.get(n, MEASURED).format(value) for n, value in values.items()}
            writer.writerow(cells | {"cut": cell_of(each.cut)})
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
        val={
            name.removeprefix("val_"): float(value)
            for name, value in values.items()
            if name.startswith("val_") and name not in FORMATS
        },
        best=values["best"] == "1",
        learning_rate=float(values["learning_rate"]),
        seconds=float(values["seconds"]),
        elapsed_seconds=float(values["elapsed_seconds"]),
    )


def earlier_seconds(folder: Path) -> float:
    """What an interrupted run had taken when it, or the last of its candidates, last looked at val."""
    homes = [folder, *folder.glob("candidates/*")]
    rows = [row for home in homes for row in read_history(home)]
    return max((row.elapsed_seconds for row in rows), default=0.0)
