"""The run folder `runs/<time>-<name>/`: plan.json, run.json, predictions.csv, and model/ beside them."""

import csv
import io
import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from warmstart.atomic import write_asked, write_bytes, write_json, write_text
from warmstart.csv_cells import cell_of
from warmstart.errors import DataError, InputError, MachineError, UsageError
from warmstart.plan import Plan
from warmstart.records import read_json, to_json
from warmstart.refusals import require_file
from warmstart.report.run_record import RunRecord
from warmstart.session.history import HISTORY
from warmstart.session.settings import TrainSettings
from warmstart.strategy.forecast import Forecast

FORECAST = "forecast"  # the key of plan.json that is no part of the recipe
CANDIDATES = "candidates"  # a folder an advised run has for each plan that it trained
RECORD = "run.json"
MODEL = "model"
START = "start.json"  # there, and checkpoints, while a run that can be resumed is under way


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A CSV file."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


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
    write_json(folder / START, document)


def read_start(folder: Path) -> tuple[str, Plan, TrainSettings]:
    """Data, plan and settings of a run that was interrupted. Raises InputError when there is none."""
    path = folder / START
    if is_finished(folder):
        sweep(folder)  # a kill may have come between the record and this
        raise InputError(f"{folder} cannot be resumed: the run is finished.")
    if not path.is_file():
        raise InputError(f"{folder} cannot be resumed: there is no {START} in it, so no training was begun there.")
    try:
        document = read_json(path, errors="surrogateescape")
        settings = TrainSettings.from_kept(document, runs=folder.parent)
        data, plan = Path(document["data"]), Plan.from_dict(document["plan"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError) as reason:
        raise InputError(f"{path} cannot be read ({type(reason).__name__}: {reason}): start a new run.") from reason
    if not data.exists():
        raise InputError(f"{folder} was trained on {data}, which is gone. Bring it back, or start a new run.")
    return document["data"], plan, settings


@contextmanager
def under_way(folder: Path) -> Iterator[None]:
    """Work that fails or is stopped before there is a model or a checkpoint leaves no folder; what can be gone on with says so."""
    try:
        with resumable(folder):
            yield
    except BaseException:
        if not (folder / MODEL).is_dir() and not any(_checkpoints(folder)):
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Where the machine refuses something in the block, it is said that the run can go on, if it can."""
    try:
        yield
    except MachineError as problem:
        if not (folder / START).is_file() or not ((folder / MODEL).is_dir() or any(_checkpoints(folder))):
            raise
        raise MachineError(
            f"{problem} Then the run goes on from where it was saved last: warmstart train --resume {folder}", problem.errno
        ) from problem


def write_plan(path: Path, plan: Plan, expected: Forecast | None) -> None:
    """A plan.json: the recipe and, beside it, what it is expected to take. Raises what `atomic.write_asked` raises."""
    document = plan.to_dict() | ({FORECAST: expected.to_dict()} if expected else {})
    write_asked("the plan", path, to_json(document).encode("utf-8", "surrogateescape"))


def read_plan(path: Path) -> Plan:
    """A plan.json, also an edited one, or that of a run folder. Raises UsageError naming what is wrong in it."""
    path = path / "plan.json" if path.is_dir() else path
    require_file(path, "--plan")
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


def write_run(folder: Path, record: RunRecord, predictions: Table, expected: Forecast | None = None) -> None:
    """Everything but the model."""
    write_plan(folder / "plan.json", record.plan, expected)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(predictions.columns)
    writer.writerows([_cell(value) for value in row] for row in predictions.rows)
    write_text(folder / "predictions.csv", table.getvalue())
    write_json(folder / RECORD, record.to_dict())  # the last: with it the run is finished
    sweep(folder)


def _cell(value: Any) -> Any:
    return cell_of(value) if isinstance(value, str) else value


def is_finished(folder: Path) -> bool:
    """Whether a run was written to its end. One that an older version was killed in while writing the record is not."""
    try:
        return isinstance(read_json(folder / RECORD, errors="surrogateescape"), dict)
    except (OSError, ValueError):
        return False


def sweep(folder: Path) -> None:
    """Remove what only a run under way needs."""
    for path in (folder / START, *_checkpoints(folder)):
        path.unlink(missing_ok=True)


def _checkpoints(folder: Path) -> Iterator[Path]:
    for home in (folder, *folder.glob(f"{CANDIDATES}/*")):
        yield from home.glob(checkpoint_path(home, "*").name)


def checkpoint_path(folder: Path, cut: str) -> Path:
    """Where training right of this cut leaves what it can be resumed from."""
    return folder / f"checkpoint-{cut}.safetensors"


def candidate_folder(folder: Path, cut: str) -> Path:
    """Where a plan of the advice leaves its history and checkpoint."""
    return folder / CANDIDATES / cut


def keep_candidate(folder: Path, cut: str) -> None:
    """Its history becomes that of the run."""
    write_bytes(folder / HISTORY, (candidate_folder(folder, cut) / HISTORY).read_bytes())
