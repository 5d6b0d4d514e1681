"""Jobs: training, and looking at data, one after the other, each in a process of its own; remembered across restarts.

    asked for → queued → running → done │ failed │ cancelled
                  ↑          └── the server died: queued again, and gone on with ──┐
                  └────────────────────────────────────────────────────────────────┘

There are two lanes, so that a look at new pictures need not wait for a training: in each, one job runs and the others wait in order.
"""

import json
import logging
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from warmstart.atomic import write_bytes, write_json
from warmstart.plan import Plan
from warmstart.serve.database import Database
from warmstart.serve.datasets import StoredDataset
from warmstart.serve.errors import ApiError, not_found
from warmstart.serve.job_events import read_events, tell
from warmstart.serve.registry import slug
from warmstart.serve.settings import Limits

LOG = logging.getLogger(__name__)
LANES: dict[str, tuple[str, ...]] = {"train": ("train",), "look": ("doctor", "advise", "export")}
ACTIVE = ("queued", "running", "cancelling")
MOST_ATTEMPTS = 5
RETRY_S = 5.0  # while the database cannot be used
_IS_ACTIVE = f"state IN ({', '.join(repr(state) for state in ACTIVE)})"


class Jobs:
    """All jobs of a server. Use from any thread; `close` interrupts what runs, to be gone on with by the next server."""

    def __init__(self, home: Path, database: Database, limits: Limits, *, download: bool = False) -> None:
        self._database, self._limits, self._download = database, limits, download
        self._home, self.runs = home / "jobs", home / "runs"
        self._home.mkdir(parents=True, exist_ok=True)
        self.runs.mkdir(parents=True, exist_ok=True)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._take_up()
        self._threads = [threading.Thread(target=self._work, args=(kinds,), daemon=True) for kinds in LANES.values()]
        for thread in self._threads:
            thread.start()

    def start(
        self,
        kind: str,
        dataset: StoredDataset,
        additions: list[dict[str, Any]],
        *,
        plan: Plan,
        budget_s: float | None = None,
        exclude: tuple[str, ...] = (),
        strict: bool = False,
        group_duplicates: bool | None = None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Ask for a job. Raises ApiError 409 for a second training on one data set, 429 where too many wait."""
        with self._changed:
            if kind == "train" and (other := self._active(kind, dataset.id)):
                raise ApiError(
                    409,
                    "already-training",
                    found=f"run {other['id']!r} is {other['state']} on this data set",
                    expected="one training at a time on one data set",
                    fix=f"wait for it, or cancel it: DELETE /api/runs/{other['id']}",
                )
            with self._begun(name or (dataset.name if kind == "train" else f"{kind}-{dataset.name}")) as (identifier, folder):
                fixes = None
                if dataset.fixes.is_file() and kind != "doctor":  # which looks at everything, also at what is to be dropped
                    fixes = str(folder / "fixes.csv")
                    write_bytes(Path(fixes), dataset.fixes.read_bytes())
                spec = {
                    "kind": kind,
                    "source": str(dataset.source),
                    "additions": [{"file": a["file"], "label": a["label"]} for a in additions],
                    "fixes": fixes,
                    "plan": plan.to_dict(),
                    "budget_s": budget_s,
                    "exclude": list(exclude),
                    "strict": strict,
                    "group_duplicates": group_duplicates,
                    "download": self._download,
                    "run": str(self.runs / identifier) if kind == "train" else None,
                }
                self._file(identifier, kind, dataset.id, spec)
        return self.get(identifier)

    def start_export(self, model: str, source: str, *, format: str, precision: str, signature: list[Any]) -> dict[str, Any]:
        """Ask for a model as one file; it takes the place of the export before. Raises ApiError 409, 429."""
        with self._changed:
            if other := self._active("export", of_model(model)):
                raise ApiError(
                    409,
                    "already-exporting",
                    found=f"{other['id']!r} is {other['state']}",
                    expected="one export of a model at a time",
                    fix="wait for it",
                )
            with self._begun(f"export-{model}") as (identifier, _):
                self.remove_exports(model)
                spec = {"kind": "export", "model": source, "format": format, "precision": precision, "signature": signature}
                self._file(identifier, "export", of_model(model), spec)
        return self.get(identifier)

    def remove_exports(self, model: str) -> None:
        """Those that are over, with their files."""
        for row in self._database.rows("SELECT id FROM jobs WHERE kind = 'export' AND dataset = ?", (of_model(model),)):
            if self.is_over(row["id"]):
                self.remove(row["id"])

    def all(self, *kinds: str) -> list[dict[str, Any]]:
        """Of these kinds, the newest first."""
        marks = ", ".join("?" * len(kinds))
        rows = self._database.rows(f"SELECT * FROM jobs WHERE kind IN ({marks}) ORDER BY number DESC", kinds)
        return [self._described(row) for row in rows]

    def get(self, identifier: str, *kinds: str) -> dict[str, Any]:
        """Raises ApiError 404."""
        row = self._database.row("SELECT * FROM jobs WHERE id = ?", (identifier,))
        if row is None or (kinds and row["kind"] not in kinds):
            raise not_found("run", identifier, [job["id"] for job in self.all(*(kinds or WORK_KINDS))])
        return self._described(row)

    def latest(self, kind: str, dataset: str) -> dict[str, Any] | None:
        """The last one that was asked for."""
        row = self._database.row(
            "SELECT * FROM jobs WHERE kind = ? AND dataset = ? ORDER BY number DESC LIMIT 1", (kind, dataset)
        )
        return row and self._described(row)

    def spec(self, identifier: str) -> dict[str, Any]:
        """What was asked for."""
        row = self._database.row("SELECT spec FROM jobs WHERE id = ?", (identifier,))
        return json.loads(row["spec"]) if row else {}

    def is_over(self, identifier: str) -> bool:
        """Whether nothing more will come of it."""
        row = self._database.row("SELECT state FROM jobs WHERE id = ?", (identifier,))
        return row is None or row["state"] not in ACTIVE

    def folder(self, identifier: str) -> Path:
        """Where its process writes."""
        return self._home / identifier

    def result(self, identifier: str) -> dict[str, Any] | None:
        """Of a look at data, once it is done; None also where its file is damaged."""
        return _document(self.folder(identifier) / "result.json")

    def cancel(self, identifier: str) -> dict[str, Any]:
        """As Ctrl-C: what is the best so far is kept. Asked a second time, the process is ended at once."""
        with self._changed:
            job = self.get(identifier)
            if job["state"] == "queued":
                self._end(identifier, "cancelled", "cancelled before it began")
            elif job["state"] == "running":
                self._database.write("UPDATE jobs SET state = 'cancelling' WHERE id = ?", (identifier,))
                tell(self.folder(identifier), "state", state="cancelling")
                self._send(identifier, b"cancel\n")
            elif job["state"] == "cancelling" and identifier in self._processes:
                self._processes[identifier].kill()
        return self.get(identifier)

    def remove(self, identifier: str) -> None:
        """A job that is over, with everything it made. Raises ApiError 409."""
        if not self.is_over(identifier):
            raise ApiError(409, "still-running", found=f"run {identifier!r} is not over", fix="cancel it first")
        self._database.write("DELETE FROM jobs WHERE id = ?", (identifier,))
        for folder in (self.folder(identifier), self.runs / identifier):
            shutil.rmtree(folder, ignore_errors=True)

    def active_on(self, dataset: str) -> list[str]:
        """Jobs on a data set that are not over."""
        rows = self._database.rows(f"SELECT id FROM jobs WHERE dataset = ? AND {_IS_ACTIVE}", (dataset,))
        return [row["id"] for row in rows]

    def counts(self) -> Mapping[str, int]:
        """Jobs by state."""
        return {row["state"]: row["n"] for row in self._database.rows("SELECT state, COUNT(*) AS n FROM jobs GROUP BY state")}

    def close(self) -> None:
        """End the processes; their jobs stay as they are, and are gone on with at the next start."""
        with self._changed:
            self._stopping = True
            for process in self._processes.values():
                _close(process.stdin)  # see job_process: its server is gone
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(10)

    def _active(self, kind: str, dataset: str) -> dict[str, Any] | None:
        return self._database.row(f"SELECT * FROM jobs WHERE kind = ? AND dataset = ? AND {_IS_ACTIVE}", (kind, dataset))

    @contextmanager
    def _begun(self, name: str) -> Iterator[tuple[str, Path]]:
        """An id and its folder, which is gone again if what is done with it fails. Raises ApiError 429."""
        waiting = self._database.row("SELECT COUNT(*) AS n FROM jobs WHERE state = 'queued'")
        if waiting and waiting["n"] >= self._limits.jobs_waiting:
            raise ApiError(
                429,
                "too-many-jobs",
                found=f"{waiting['n']} jobs are waiting",
                expected=f"at most {self._limits.jobs_waiting}",
                fix="wait until some are done, or cancel some",
                retry_after_s=60,
            )
        identifier = self._new_id(name)
        folder = self.folder(identifier)
        folder.mkdir()
        try:
            yield identifier, folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _file(self, identifier: str, kind: str, subject: str, spec: Mapping[str, Any]) -> None:
        """Into the list, for a lane to find. ``subject``: the data set's id, or `of_model`."""
        folder = self.folder(identifier)
        write_json(folder / "spec.json", spec)
        tell(folder, "state", state="queued")
        self._database.write(
            "INSERT INTO jobs (id, kind, dataset, state, spec, created) VALUES (?, ?, ?, 'queued', ?, ?)",
            (identifier, kind, subject, json.dumps(spec), time.time()),
        )
        self._changed.notify_all()

    def _new_id(self, name: str) -> str:
        base = slug(name)[:40]
        taken = {row["id"] for row in self._database.rows("SELECT id FROM jobs WHERE id LIKE ?", (f"{base}-%",))}
        number = 1
        while (
            f"{base}-{number}" in taken or self.folder(f"{base}-{number}").exists() or (self.runs / f"{base}-{number}").exists()
        ):
            number += 1
        return f"{base}-{number}"

    def _take_up(self) -> None:
        """What a server before this one left under way."""
        for row in self._database.rows(f"SELECT * FROM jobs WHERE state != 'queued' AND {_IS_ACTIVE}"):
            if row["state"] == "cancelling":
                self._end(row["id"], "cancelled", "the server stopped while it was being cancelled")
            elif row["attempts"] >= MOST_ATTEMPTS:
                self._end(row["id"], "failed", f"the server stopped {row['attempts']} times while this ran; not tried again")
            else:
                self._database.write("UPDATE jobs SET state = 'queued' WHERE id = ?", (row["id"],))
                with suppress(OSError):  # no folder, or no room: the lane will say so
                    tell(self.folder(row["id"]), "state", state="queued", resumed=True)

    def _work(self, kinds: tuple[str, ...]) -> None:
        """A lane. Whatever goes wrong in one turn, a full disk say, ends that job and not the lane."""
        while True:
            identifier = code = None
            try:
                with self._changed:
                    row = self._await_next(kinds)
                    if row is None:
                        return
                    identifier = row["id"]
                    process = self._spawn(identifier)
                code = process.wait()
                with self._changed:
                    del self._processes[identifier]
                    _close(process.stdin)
                    if self._stopping:
                        return
                    self._conclude(identifier, code)
            except (OSError, sqlite3.Error) as reason:
                why = self._database.what_is_wrong(reason) if isinstance(reason, sqlite3.Error) else reason
                LOG.error("the turn of %s failed: %s", identifier or "the next job", why)
                self._give_up(identifier, reason, code)
            except Exception as reason:
                LOG.exception("the turn of %s failed", identifier or "the next job")
                self._give_up(identifier, reason, code)

    def _give_up(self, identifier: str | None, reason: Exception, code: int | None) -> None:
        """Said as soon as the database can be written to again; until then no other job could begin either.

        ``code``: of its process, where that has ended: what it has done is not lost because it could not be noted at once.
        """
        message = f"the server could not run it ({type(reason).__name__}: {reason}); put that right and ask for it again"
        with self._changed:
            if identifier is None:
                if not self._stopping:
                    self._changed.wait(RETRY_S)
                return
            if process := self._processes.pop(identifier, None):
                process.kill()
                process.wait()
                _close(process.stdin)
            while not self._stopping:
                try:
                    if code is None:
                        self._end(identifier, "failed", message)
                    else:
                        self._conclude(identifier, code)
                    return
                except ApiError:  # it was removed meanwhile
                    return
                except sqlite3.Error as again:
                    why = self._database.what_is_wrong(again)
                    LOG.error("job %s could not be ended (%s); tried again in %g s", identifier, why, RETRY_S)
                    self._changed.wait(RETRY_S)

    def _await_next(self, kinds: tuple[str, ...]) -> dict[str, Any] | None:
        """The job whose turn it is; None when the server stops. Holds the lock, as whoever calls it does."""
        marks = ", ".join("?" * len(kinds))
        sql = f"SELECT * FROM jobs WHERE state = 'queued' AND kind IN ({marks}) ORDER BY number LIMIT 1"
        while not self._stopping:
            if row := self._database.row(sql, kinds):
                return row
            self._changed.wait()
        return None

    def _spawn(self, identifier: str) -> "subprocess.Popen[bytes]":
        folder = self.folder(identifier)
        (folder / "outcome.json").unlink(missing_ok=True)
        self._database.write(
            "UPDATE jobs SET state = 'running', started = COALESCE(started, ?), attempts = attempts + 1 WHERE id = ?",
            (time.time(), identifier),
        )
        tell(folder, "state", state="running")
        with (folder / "output.txt").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "warmstart.serve.job_process", str(folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the server's terminal is the server's
            )
        self._processes[identifier] = process
        return process

    def _conclude(self, identifier: str, code: int) -> None:
        outcome = _document(self.folder(identifier) / "outcome.json")
        job = self.get(identifier)
        if outcome is not None and {"state", "message"} <= outcome.keys():
            self._end(identifier, str(outcome["state"]), str(outcome["message"]))
        elif job["state"] == "cancelling":
            self._end(identifier, "cancelled", "ended at once, as asked for")
        else:
            how = f"by signal {-code}; there may have been too little memory" if code < 0 else f"with code {code}"
            self._end(identifier, "failed", f"its process ended {how}; see output.txt in the job's folder")

    def _end(self, identifier: str, state: str, message: str) -> None:
        self._database.write(
            "UPDATE jobs SET state = ?, message = ?, ended = ? WHERE id = ?", (state, message, time.time(), identifier)
        )
        with suppress(OSError):  # no folder, or no room: the database has it
            tell(self.folder(identifier), "state", state=state, message=message)

    def _send(self, identifier: str, line: bytes) -> None:
        process = self._processes.get(identifier)
        if process is None or process.stdin is None:
            return
        with suppress(OSError):  # it has just ended
            process.stdin.write(line)
            process.stdin.flush()

    def _described(self, row: Mapping[str, Any]) -> dict[str, Any]:
        keys = ("id", "kind", "dataset", "state", "message", "created", "started", "ended", "attempts")
        return {key: row[key] for key in keys}


def of_model(name: str) -> str:
    """What stands for the data set in a job about a model; no data set's id has a colon."""
    return f"model:{name}"


def _document(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8", errors="surrogateescape"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _close(pipe: IO[bytes] | None) -> None:
    """Whoever reads it has perhaps gone already."""
    with suppress(OSError):
        if pipe is not None:
            pipe.close()


WORK_KINDS = tuple(kind for kinds in LANES.values() for kind in kinds)


def progress_of(folder: Path) -> dict[str, Any]:
    """The last progress and sentence, and every epoch so far: what a page shows before it listens."""
    events = read_events(folder)
    last: dict[str, dict[str, Any]] = {event["type"]: event for event in events}
    return {
        "progress": last.get("progress"),
        "said": [event["text"] for event in events if event["type"] == "say"],
        "epochs": [event for event in events if event["type"] == "epoch"],
        "events": len(events),
    }
