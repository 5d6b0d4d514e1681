"""The run folder `runs/<time>-<name>/`: plan.json, run.json, predictions.csv, and model/ beside them."""

import csv
import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from warmstart.csv_cells import cell_of
from warmstart.errors import DataError, InputError, UsageError
from warmstart.records import Plan, RunRecord, read_json, to_json
from warmstart.strategy.forecast import Forecast
from warmstart.workflows.history import HISTORY
from warmstart.workflows.settings import TrainSettings

FORECAST = "forecast"  # the key of plan.json that is no part of the recipe
CANDIDATES = "candidates"  # a folder an advised run has for each plan that it trained
START = "start.json"  # there, and checkpoints, while a run that can be resumed is under way

PredictionRow = tuple[str, str, str, float]  # path, true class, predicted class, its probability


def new_run_folder(runs: Path, source: str) -> Path:
    """runs/<time>-<name>, not there before."""
    # Absolute, because '.' and '..' have no name; cut, because a name has 255 bytes at most and a letter up to four.
    name = re.sub(r"[^\w.-]+", "-", Path(source).resolve().name)[:40].strip("-.") or "run"
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


def make_folder(folder: Path) -> None:
    """A folder that the user named with --out, unless it is there. Raises DataError when it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise DataError(f"the folder {folder} cannot be made ({reason.strerror}); choose another with --out") from reason


def write_start(folder: Path, source: str, plan: Plan, settings: TrainSettings) -> None:
    """What `read_start` needs to go on after a kill; removed by `write_run`."""
    document = {
        "data": str(Path(source).resolve()),
        "plan": plan.to_dict(),
        **settings.kept(),
    }
    (folder / START).write_text(to_json(document), "utf-8", errors="surrogateescape")


def read_start(folder: Path) -> tuple[str, Plan, TrainSettings]:
    """Data, plan and settings of a run that was interrupted. Raises InputError when there is none."""
    path = folder / START
    if not path.is_file():
        finished = (folder / "run.json").is_file()
        reason = "the run is finished" if finished else f"there is no {START} in it, so no training was begun there"
        raise InputError(f"{folder} cannot be resumed: {reason}.")
    try:
        document = read_json(path, errors="surrogateescape")
        settings = TrainSettings.from_kept(document, runs=folder.parent)
        data, plan = Path(document["data"]), Plan.from_dict(document["plan"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise InputError(f"{path} cannot be read ({type(reason).__name__}: {reason}): start a new run.") from reason
    if not data.exists():
        raise InputError(f"{folder} was trained on {data}, which is gone. Bring it back, or start a new run.")
    return document["data"], plan, settings


@contextmanager
def planned(folder: Path, plan: Plan, expected: Forecast | None) -> Iterator[None]:
    """plan.json is there before the work begins; work that fails or is stopped before it left anything leaves no folder either."""
    path = folder / "plan.json"
    try:
        write_plan(path, plan, expected)
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise


def write_plan(path: Path, plan: Plan, expected: Forecast | None) -> None:
    """A plan.json: the recipe and, beside it, what it is expected to take. Raises UsageError when the file cannot be written."""
    document = plan.to_dict() | ({FORECAST: expected.to_dict()} if expected else {})
    try:
        path.write_text(to_json(document), "utf-8")
    except OSError as reason:
        raise UsageError(
            f"the plan {str(path)!r} cannot be written ({reason.strerror}); name a file in a folder that can be written to"
        ) from reason


def read_plan(path: Path) -> Plan:
    """A plan.json, also an edited one, or that of a run folder. Raises UsageError naming what is wrong in it."""
    path = path / "plan.json" if path.is_dir() else path
    try:
        values = read_json(path)
    except OSError as reason:
        raise UsageError(
            f"--plan {path} cannot be read ({reason.strerror}); `warmstart advise DATA --plan-out FILE` makes one"
        ) from reason
    except ValueError as reason:
        raise UsageError(
            f"--plan {path} is no JSON document: {reason}. `warmstart advise DATA --plan-out FILE` makes one"
        ) from reason
    if not isinstance(values, dict):
        raise UsageError(f'--plan {path} holds {type(values).__name__}, expected an object such as {{"cut": "stage5"}}')
    return Plan.from_dict({key: value for key, value in values.items() if key != FORECAST})


def write_run(folder: Path, record: RunRecord, predictions: list[PredictionRow], expected: Forecast | None = None) -> None:
    """Everything but the model."""
    write_plan(folder / "plan.json", record.plan, expected)
    with (folder / "predictions.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "true", "predicted", "probability"])
        writer.writerows((*map(cell_of, (path, true, predicted)), f"{p:.6f}") for path, true, predicted, p in predictions)
    (folder / "run.json").write_text(to_json(record.to_dict()), "utf-8", errors="surrogateescape")
    for home in (folder, *folder.glob(f"{CANDIDATES}/*")):
        for path in (home / START, *home.glob(checkpoint_path(home, "*").name)):
            path.unlink(missing_ok=True)


def checkpoint_path(folder: Path, cut: str) -> Path:
    """Where training right of this cut leaves what it can be resumed from."""
    return folder / f"checkpoint-{cut}.safetensors"


def candidate_folder(folder: Path, cut: str) -> Path:
    """Where a plan of the advice leaves its history and checkpoint."""
    return folder / CANDIDATES / cut


def keep_candidate(folder: Path, cut: str) -> None:
    """Its history becomes that of the run."""
    shutil.copy(candidate_folder(folder, cut) / HISTORY, folder / HISTORY)
