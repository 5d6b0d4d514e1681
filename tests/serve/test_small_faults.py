"""What once ended a thread, hid a fault, or was answered with 500: each by the thing that brought it about."""

import asyncio
import errno
import io
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from drawn_shapes import draw_folder, draw_shape
from warmstart.errors import UsageError
from warmstart.serve import jobs as jobs_module
from warmstart.serve import run_routes, server, uploads
from warmstart.serve.body import read_bytes
from warmstart.serve.database import Database
from warmstart.serve.datasets import Datasets
from warmstart.serve.errors import ApiError
from warmstart.serve.explainer import Explainer
from warmstart.serve.jobs import Jobs
from warmstart.serve.labelling import Piles
from warmstart.serve.registry import Models
from warmstart.serve.security import cookie_value
from warmstart.serve.settings import Limits, ServeSettings

Wait = Callable[[Callable[[], Any]], Any]
FULL = OSError(errno.ENOSPC, "No space left on device")


def full_database(*_: Any, **__: Any) -> None:
    """As SQLite says it itself: a table that may not grow."""
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("PRAGMA max_page_count=2")
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path)
    yield found
    found.close()


@pytest.fixture
def lanes(database: Database, tmp_path: Path) -> Iterator[Jobs]:
    found = Jobs(tmp_path, database, Limits())
    yield found
    found.close()


def export(lanes: Jobs, model: str) -> str:
    return str(lanes.start_export(model, "nowhere", format="onnx", precision="fp32", signature=[])["id"])


# Lanes of jobs


def test_a_job_that_cannot_be_begun_fails_and_the_next_has_its_turn(
    lanes: Jobs, wait: Wait, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, asked = subprocess.Popen, []

    def popen(command: list[str], **settings: Any) -> Any:
        asked.append(command)
        if len(asked) == 1:
            raise FULL
        return real([sys.executable, "-c", ""], **settings)

    monkeypatch.setattr(jobs_module.subprocess, "Popen", popen)
    first, second = export(lanes, "a"), export(lanes, "b")
    wait(lambda: lanes.is_over(second))
    assert (lanes.get(first)["state"], lanes.get(second)["state"]) == ("failed", "failed")
    assert "No space left on device" in lanes.get(first)["message"]
    assert "ended with code 0" in lanes.get(second)["message"]
    assert f"the turn of {first} failed" in caplog.text


def test_a_job_ends_as_soon_as_the_database_can_be_written_to_again(
    lanes: Jobs, database: Database, wait: Wait, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, rows, left = database.write, database.rows, {"write": 3, "rows": 1}

    def full(sql: str, values: Any = ()) -> int:
        if sql.startswith("UPDATE jobs") and left["write"]:
            left["write"] -= 1
            full_database()
        return write(sql, values)

    def unreadable(sql: str, values: Any = ()) -> list[dict[str, Any]]:
        if "ORDER BY number LIMIT 1" in sql and left["rows"]:
            left["rows"] -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return rows(sql, values)

    monkeypatch.setattr(jobs_module, "RETRY_S", 0.02)
    monkeypatch.setattr(database, "write", full)
    monkeypatch.setattr(database, "rows", unreadable)
    job = export(lanes, "a")
    wait(lambda: lanes.is_over(job))
    assert lanes.get(job)["state"] == "failed"
    assert "database or disk is full" in lanes.get(job)["message"]
    assert left == {"write": 0, "rows": 0}
    assert "the turn of the next job failed" in caplog.text
    assert "could not be ended" in caplog.text


def test_a_job_that_cannot_be_filed_leaves_no_folder(lanes: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise FULL

    monkeypatch.setattr(jobs_module, "tell", full)
    with pytest.raises(OSError, match="No space"):
        export(lanes, "a")
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.mark.parametrize("outcome", ["{", "[]", '{"state": "done"}', "[" * 100_000])
def test_an_outcome_that_cannot_be_read_is_none(
    lanes: Jobs, wait: Wait, monkeypatch: pytest.MonkeyPatch, outcome: str, tmp_path: Path
) -> None:
    (tmp_path / "outcome").write_text(outcome, "utf-8")
    copy = (
        "import shutil, sys; [shutil.copy(sys.argv[1], sys.argv[2] + '/' + name) for name in ('outcome.json', 'result.json')]"
    )
    given = [sys.executable, "-c", copy, str(tmp_path / "outcome")]
    real = subprocess.Popen
    monkeypatch.setattr(jobs_module.subprocess, "Popen", lambda c, **how: real([*given, c[-1]], **how))
    job = export(lanes, "a")
    wait(lambda: lanes.is_over(job))
    assert lanes.get(job)["state"] == "failed"
    assert "ended with code 0" in lanes.get(job)["message"]
    assert lanes.result(job) in (None, {"state": "done"})


def test_explanations_wait_for_their_turn_only_so_long() -> None:
    pytest.importorskip("torch")
    explainer = Explainer(limit_s=900.0, turn_s=0.05)
    with explainer._turn, pytest.raises(ApiError, match=r"longer than 0\.05 s") as refusal:
        explainer.explain("m", Path("x"), class_name=None, method="occlusion", neighbours=0)
    assert (refusal.value.status, refusal.value.retry_after_s) == (503, 10)


# The home and the models' folder


def test_a_server_started_later_from_another_folder_finds_what_the_first_was_sent(
    serve: Callable[..., TestClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    client = serve(home=Path("home"))
    state = client.app.state.server  # type: ignore[attr-defined]
    draw_folder(tmp_path / "shapes", 1)
    picture = next((tmp_path / "shapes").rglob("*.png"))
    content = [("file", (f"{name}/{i}.png", picture.read_bytes(), "image/png")) for name in "ab" for i in range(2)]
    stored = state.datasets.get(client.post("/api/datasets", files=content).json()["id"])
    state.datasets.add(stored, picture, label="a", origin="test", name="x.png")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert all(Path(addition["file"]).is_file() for addition in state.datasets.additions(stored))
    assert client.get(f"/api/datasets/{stored.id}/pictures/4").status_code == 200


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with one in it that nobody may look into. (Tests may run as root, whom no mode keeps out.)"""
    folder = tmp_path / "models"
    (folder / "lost+found").mkdir(parents=True)
    real = Path.is_file

    def is_file(path: Path) -> bool:
        if "lost+found" in path.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    return folder


def test_a_folder_that_may_not_be_read_is_no_model_and_the_looks_go_on(
    locked: Path, wait: Wait, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    models = Models(ServeSettings(models_folder=locked, look_every_s=0.01))
    try:
        assert models.names() == []
        real, failed = models.look, []

        def look(**how: Any) -> None:
            if len(failed) < 3:
                failed.append(1)
                raise OSError(errno.EIO, "Input/output error")
            real(**how)

        monkeypatch.setattr(models, "look", look)
        wait(lambda: len(failed) == 3)
        (locked / "fresh").mkdir()
        (locked / "fresh" / "model.onnx").touch()
        assert wait(models.names) == ["fresh"]
        assert caplog.text.count("models were not looked at") == 1  # not every second
    finally:
        models.close()


def test_a_models_folder_that_may_not_be_read_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(UsageError, match="cannot be read"):
        Models(ServeSettings(models_folder=tmp_path))


# Requests that are not as they should be


@pytest.mark.parametrize("body", ["{}", "{", '{"folder": 1}', "", "[]"])
def test_a_json_body_that_does_not_fit_is_told(served: TestClient, body: str) -> None:
    answer = served.post("/api/datasets", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (422, "request")
    assert "does not fit: folder: " in answer.text or "does not fit: body: " in answer.text


def test_an_origin_that_is_no_address_is_another_site(served: TestClient) -> None:
    for origin in ("http://[", "http://[::1", "http://[x]"):
        answer = served.post("/api/runs", json={}, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "wrong-origin"), origin


def test_numbers_that_no_database_counts_to_are_refused(served: TestClient) -> None:
    much = 10**20
    for path in (f"/api/piles/x?start={much}", f"/api/piles/x/pictures/{much}", f"/api/piles/x/pictures/{-much}"):
        assert served.get(path).status_code == 422, path
    assert served.put(f"/api/piles/x/pictures/{much}", json={"label": None}).status_code == 422
    assert served.get("/api/piles/x/pictures/1").status_code == 404


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ('"training": {"learning_rate": NaN}', "learning rate nan is not above 0"),
        ('"training": {"class_weights": [-Infinity]}', "are not all 0 or more"),
        ('"threshold": NaN', "threshold nan is outside 0"),
        ('"positive": "\\ud800"', "cannot be written down"),
    ],
)
def test_a_plan_that_cannot_be_written_down_is_refused_and_leaves_nothing(
    serve: Callable[..., TestClient], shapes: Path, values: str, words: str
) -> None:
    client = serve(roots=(shapes.parent,))
    state = client.app.state.server  # type: ignore[attr-defined]
    body = f'{{"folder": "{shapes}", "plan": {{{values}}}}}'
    answer = client.post("/api/runs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (422, "usage")
    assert words in answer.json()["error"]["message"]
    assert list((Path(state.settings.home) / "jobs").iterdir()) == []


def test_a_digit_that_is_no_number_is_none(lanes: Jobs, tmp_path: Path) -> None:
    """Asked without a client: theirs send headers as UTF-8."""
    datasets = Datasets(tmp_path, lanes._database, ())
    server: Any = SimpleNamespace(jobs=lanes, datasets=datasets, streams=0, stopping=False, limits=Limits())
    assert asyncio.run(run_routes.events(server, export(lanes, "m"), last_event_id="²")).status_code == 200

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x"}

    request = Request({"type": "http", "headers": [(b"content-length", b"\xb2")]}, receive)
    assert asyncio.run(read_bytes(request, 10)) == b"x"


# Two at once, and a full disk


@pytest.fixture
def labelled(database: Database, tmp_path: Path) -> tuple[Datasets, Piles, Any, str]:
    """A data set, and a pile of six pictures that all have their label."""
    datasets, piles = Datasets(tmp_path, database, ()), Piles(tmp_path, database)
    uploaded = tmp_path / "uploaded"
    uploaded.mkdir()
    for n in range(6):
        draw_shape("circle", n).save(uploaded / f"{n}.png")
    draw_folder(tmp_path / "shapes", 2)
    dataset = datasets._insert("d", "d", tmp_path / "shapes", owned=False)
    pile = piles.create(dataset, "model", uploaded)
    for n in range(6):
        piles.label(pile, n, "circle")
    return datasets, piles, dataset, pile


def test_a_pile_confirmed_twice_at_once_joins_once(labelled: tuple[Datasets, Piles, Any, str]) -> None:
    datasets, piles, dataset, pile = labelled
    together = threading.Barrier(4)

    def join(_: int) -> int:
        together.wait()
        return piles.join(pile, datasets, dataset)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(join, range(4))) == [0, 0, 0, 6]
    files = [Path(addition["file"]) for addition in datasets.additions(dataset)]
    assert len({file.read_bytes() for file in files}) == 6
    assert piles.get(pile)["pictures"] == 0
    assert not list((piles._home / pile).rglob("*.png"))


@pytest.mark.parametrize("failing", ["INSERT INTO additions", "DELETE FROM pile_pictures"])
@pytest.mark.parametrize("links", [True, False])
def test_a_pile_whose_confirming_failed_can_be_confirmed_again(
    labelled: tuple[Datasets, Piles, Any, str], database: Database, monkeypatch: pytest.MonkeyPatch, failing: str, links: bool
) -> None:
    datasets, piles, dataset, pile = labelled
    write, left = database.write, [2]

    def full(sql: str, values: Any = ()) -> int:
        if sql.startswith(failing):
            left[0] -= 1
            if left[0] == 0:
                full_database()
        return write(sql, values)

    def no_link(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(database, "write", full)
    if not links:
        monkeypatch.setattr("os.link", no_link)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        piles.join(pile, datasets, dataset)
    assert (piles.get(pile)["pictures"], len(datasets.additions(dataset))) == (5, 1)
    assert piles.join(pile, datasets, dataset) == 5
    assert len({Path(a["file"]).read_bytes() for a in datasets.additions(dataset)}) == 6


@pytest.mark.parametrize("reason", [FULL, OSError(errno.EDQUOT, "Disk quota exceeded"), None])
def test_a_full_disk_is_507_wherever_it_is_noticed(
    served: TestClient, monkeypatch: pytest.MonkeyPatch, reason: OSError | None
) -> None:
    def full(*_: Any, **__: Any) -> None:
        if reason is None:
            full_database()
        else:
            raise reason

    monkeypatch.setattr(served.app.state.server.piles, "all", full)  # type: ignore[attr-defined]
    answer = served.get("/api/piles")
    assert (answer.status_code, answer.json()["error"]["kind"]) == (507, "disk-full")
    assert "make room" in answer.json()["error"]["fix"]


@pytest.mark.parametrize(
    ("reason", "status", "said"),
    [
        (OSError(errno.EIO, "Input/output error", "/secret/place/x.png"), 503, "a file 'x.png' of the server cannot be used"),
        (PermissionError(errno.EACCES, "Permission denied"), 503, "Permission denied"),
        (OSError(errno.EMFILE, "Too many open files"), 503, "Too many open files"),
        (sqlite3.OperationalError("no such table: jobs"), 503, "warmstart.db in the server's --home cannot be used"),
        (MemoryError(), 503, "too little memory"),
        (OSError(errno.EBADF, "Bad file descriptor"), 500, "a fault of warmstart's own (OSError)"),
        (ValueError("x"), 500, "a fault of warmstart's own (ValueError)"),
    ],
)
def test_what_the_machine_refuses_is_told_and_only_faults_of_ours_are_called_so(
    served: TestClient, monkeypatch: pytest.MonkeyPatch, reason: Exception, status: int, said: str
) -> None:
    def fail(*_: Any) -> None:
        raise reason

    monkeypatch.setattr(served.app.state.server.piles, "all", fail)  # type: ignore[attr-defined]
    answer = served.get("/api/piles")
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert "/secret" not in answer.text


def test_a_job_whose_end_could_not_be_noted_at_once_keeps_what_it_did(
    lanes: Jobs, database: Database, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = database.write, [2]

    def locked(sql: str, values: Any = ()) -> int:
        if "message = ?" in sql and left[0]:
            left[0] -= 1
            raise sqlite3.OperationalError("database is locked")
        return write(sql, values)

    real = subprocess.Popen
    done = 'import json, pathlib, sys; pathlib.Path(sys.argv[1], \'outcome.json\').write_text(\'{"state": "done", "message": ""}\')'
    monkeypatch.setattr(jobs_module.subprocess, "Popen", lambda c, **how: real([sys.executable, "-c", done, c[-1]], **how))
    monkeypatch.setattr(jobs_module, "RETRY_S", 0.02)
    monkeypatch.setattr(database, "write", locked)
    job = export(lanes, "a")
    wait(lambda: lanes.is_over(job))
    assert (lanes.get(job)["state"], left) == ("done", [0])


def test_a_zip_that_fills_the_disk_is_not_called_damaged(served: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise FULL

    monkeypatch.setattr(uploads, "_write_all", full)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("cat/1.png", b"anything")
    answer = served.post("/api/datasets", content=packed.getvalue(), headers={"Content-Type": "application/zip"})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (507, "disk-full")


# What is counted, and who is known


def test_invented_methods_are_counted_as_one_and_states_that_are_over_not_at_all(
    served: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in ("BREW", "WHEN", "get"):
        served.request(method, "/api/models")
    metrics = served.app.state.server.metrics  # type: ignore[attr-defined]
    monkeypatch.setattr(metrics, "_job_counts", lambda: {"running": 1, "failed": 2})
    text = served.get("/metrics").text
    assert 'method="other",path="/api/models"' in text
    assert "BREW" not in text
    assert 'warmstart_jobs{state="failed"} 2.0' in text
    monkeypatch.setattr(metrics, "_job_counts", lambda: {"done": 3})
    text = served.get("/metrics").text
    assert "failed" not in text
    assert 'warmstart_jobs{state="running"} 0.0' in text


def test_another_local_servers_cookie_does_not_hide_ours(serve: Callable[..., TestClient]) -> None:
    key = "long enough key"
    client = serve(api_key=key)
    ours = f"warmstart_key={cookie_value(key)}"
    for cookie in (f'prefs={{"a":1}}; {ours}', f"{ours}; x=[1,2]", f"bare; {ours};", f'q="a;b"; {ours}'):
        assert client.get("/api/models", headers={"Cookie": cookie}).status_code == 200, cookie
    assert client.get("/api/models", headers={"Cookie": f"x{ours}"}).status_code == 401


def test_a_transaction_that_a_full_disk_has_ended_tells_of_the_disk(tmp_path: Path) -> None:
    database = Database(tmp_path)
    (pages,) = database._connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages + 1}")

    def fill() -> None:
        with database.together():
            for number in range(100):
                database.write("INSERT INTO datasets VALUES (?, ?, ?, ?, ?)", (str(number), "x" * 4000, "", 0, 0.0))

    with pytest.raises(sqlite3.OperationalError, match="full"):
        fill()
    assert database.rows("SELECT * FROM datasets") == []
    with database.together():  # and the next one begins
        pass
    database.close()


def test_the_address_is_said_when_it_can_be_reached(tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        def __init__(self, config: Any, stop: Callable[[], None]) -> None:
            self.app = config.app

        def run(self, sockets: list[socket.socket]) -> None:
            sockets[0].close()
            self.app.state.server.close()

    def come(sentence: str) -> None:
        if found := re.search(r"http://([\d.]+):(\d+)/", sentence):
            socket.create_connection((found[1], int(found[2])), timeout=5).close()
            came.append(sentence)

    came: list[str] = []
    monkeypatch.setattr(server, "_Server", Ended)
    server.serve(ServeSettings(home=tmp_path, port=0), say=come)
    assert len(came) == 1
