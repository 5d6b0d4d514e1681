"""`python -m warmstart.serve.job_process FOLDER`: one job of a server, in a process of its own.

FOLDER/spec.json says what to do; events.jsonl and outcome.json are written there. The server holds the other end of stdin: a line
'cancel' is a Ctrl-C, and the end of it means that the server is gone, however it went, so this process goes as well. Whatever was
under way is found and gone on with by the next server.
"""

import _thread
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import zipfile
from pathlib import Path
from typing import Any

from warmstart import machine
from warmstart.atomic import replaced, write_json
from warmstart.data.listing import read_listing
from warmstart.errors import InputError, UsageError, WarmstartError
from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.serve.datasets import with_additions
from warmstart.serve.fixes import applied
from warmstart.serve.job_events import EventWriter
from warmstart.session.settings import TrainSettings
from warmstart.store.locks import lock_alone

ORPHANED = 4  # exit code
EXPORT = "export.zip"


def main(folder: Path) -> int:
    """Do what spec.json says; 0 done, 1 the data, 3 a fault, 130 cancelled. outcome.json says it as well."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a server in the background was told to ignore
    threading.Thread(target=_obey, daemon=True).start()
    lock = _alone(folder / "lock")
    spec = json.loads((folder / "spec.json").read_text("utf-8"))
    events = EventWriter(folder)
    state, message, code = "done", "", 0
    try:
        WORK[spec["kind"]](spec, folder, events)
    except KeyboardInterrupt:
        state, message, code = "cancelled", "stopped on request; what was stored is kept", 130
    except (InputError, UsageError) as reason:
        state, message, code = "failed", str(reason), 1
    except Exception as reason:
        traceback.print_exc()
        kind = "" if isinstance(reason, WarmstartError) else f" ({type(reason).__name__}: {reason})"
        state, message, code = "failed", f"a fault of warmstart's own{kind}; output.txt in the job's folder shows where", 3
    write_json(folder / "outcome.json", {"state": state, "message": message})
    lock.close()
    return code


def train(spec: dict[str, Any], folder: Path, events: EventWriter) -> None:
    """Train into the run folder that spec names, or go on with what is in it."""
    from warmstart.session.run_folder import START, is_finished
    from warmstart.workflows.report import report
    from warmstart.workflows.train import resume
    from warmstart.workflows.train import train as workflow

    run = Path(spec["run"])
    if is_finished(run):  # it died between its last file and its last word
        report(run)
        return
    run.mkdir(parents=True, exist_ok=True)
    listing = _listing(spec)
    if (run / START).is_file():
        events.say("going on with what was interrupted")
        resume(run, data=listing, watcher=events, download=spec["download"])
        return
    workflow(listing, Plan.from_dict(spec["plan"]), _settings(spec, runs=run.parent), watcher=events, folder=run)


def doctor(spec: dict[str, Any], folder: Path, events: EventWriter) -> None:
    """result.json and page.html."""
    from warmstart.tasks.classify.doctor.examination import doctor as workflow
    from warmstart.tasks.classify.doctor.examination import write

    diagnosis = workflow(_listing(spec | {"fixes": None}), Plan.from_dict(spec["plan"]), _settings(spec), watcher=events)
    write(diagnosis, fix_list=None, page=folder / "page.html", watcher=events)
    write_json(folder / "result.json", diagnosis.to_dict())


def advise(spec: dict[str, Any], folder: Path, events: EventWriter) -> None:
    """result.json, and the depth profile as a picture."""
    from warmstart.tasks.classify.advice.advise import advise as workflow

    result = workflow(
        _listing(spec),
        Plan.from_dict(spec["plan"]),
        _settings(spec),
        plot=folder,
        watcher=events,
        seconds_before=machine.process_seconds(),
    )
    write_json(folder / "result.json", result.to_dict())


def export(spec: dict[str, Any], folder: Path, events: EventWriter) -> None:
    """result.json, and export.zip with the model and its proof."""
    from warmstart.workflows.export import PARITY, ExportSettings
    from warmstart.workflows.export import export as workflow

    out = folder / "export"
    shutil.rmtree(out, ignore_errors=True)  # of one that was interrupted
    settings = ExportSettings(format=spec["format"], precision=spec["precision"], out=out)
    found = workflow(spec["model"], settings, watcher=events)
    proof = out / PARITY
    if proof.is_file():  # it is handed out, and where the server's pictures lie is nobody's business
        write_json(proof, _names_only(json.loads(proof.read_text("utf-8", errors="surrogateescape"))))
    with replaced(folder / EXPORT) as fresh, zipfile.ZipFile(fresh, "w") as archive:  # weights hardly shrink
        for path in sorted(out.iterdir()):
            archive.write(path, path.name)
    shutil.rmtree(out)
    document = found.to_dict()
    write_json(
        folder / "result.json", {key: document[key] for key in ("format", "precision", "proven", "parity", "notes", "seconds")}
    )


WORK = {"train": train, "doctor": doctor, "advise": advise, "export": export}


def _listing(spec: dict[str, Any]) -> Listing:
    """As it was when the job was asked for: what has been added since is for the next one."""
    listing = with_additions(read_listing(spec["source"], exclude=spec["exclude"]), spec["additions"])
    return applied(Path(spec["fixes"]), listing) if spec["fixes"] else listing


def _settings(spec: dict[str, Any], runs: Path | None = None) -> TrainSettings:
    return TrainSettings(
        exclude=tuple(spec["exclude"]),
        runs=runs or Path(),
        strict=spec["strict"],
        download=spec["download"],
        group_duplicates=spec["group_duplicates"],
        budget_s=spec["budget_s"],
    )


def _names_only(value: Any) -> Any:
    """A document in which every absolute path is the name of its file."""
    if isinstance(value, dict):
        return {key: _names_only(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_names_only(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _obey() -> None:
    """What comes through stdin; its end is the server's."""
    for line in sys.stdin:
        if line.strip() == "cancel":
            _thread.interrupt_main()
    os._exit(ORPHANED)


def _alone(path: Path) -> Any:
    """Only one process works on a job: one whose server was killed may need a moment to notice."""
    while (lock := lock_alone(path)) is None:
        time.sleep(0.1)
    return lock


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
