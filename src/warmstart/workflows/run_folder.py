"""The run folder `runs/<time>-<name>/`: plan.json, run.json, predictions.csv, and model/ beside them."""

import csv
import itertools
import re
from datetime import datetime
from pathlib import Path

from warmstart.errors import DataError
from warmstart.records import RunRecord, to_json

PredictionRow = tuple[str, str, str, float]  # path, true class, predicted class, its probability


def new_run_folder(runs: Path, source: str) -> Path:
    """runs/<time>-<name>, not there before."""
    name = re.sub(r"[^\w.-]+", "-", Path(source).name or "run").strip("-.") or "run"
    base = f"{datetime.now().strftime('%Y%m%d-%H%M%S')}-{name}"
    for attempt in itertools.count(1):
        folder = runs / (base if attempt == 1 else f"{base}-{attempt}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as reason:
            raise DataError(
                f"the run folder {folder} cannot be made ({reason.strerror}); choose another with --runs"
            ) from reason
        break
    return folder


def write_run(folder: Path, record: RunRecord, predictions: list[PredictionRow]) -> None:
    """Everything but the model."""
    (folder / "plan.json").write_text(to_json(record.plan.to_dict()), "utf-8")
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "true", "predicted", "probability"])
        writer.writerows((path, true, predicted, f"{p:.6f}") for path, true, predicted, p in predictions)
    (folder / "run.json").write_text(to_json(record.to_dict()), "utf-8", errors="surrogateescape")
