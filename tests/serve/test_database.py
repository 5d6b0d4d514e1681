"""A database that is damaged, locked, read-only, emptied or replaced: a sentence that names it, no fault of ours, no orphans."""

import io
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from drawn_shapes import draw_folder, draw_shape
from patience import PATIENCE_S
from warmstart.errors import InputError
from warmstart.serve.database import FILE, Database
from warmstart.serve.settings import Limits, ServeSettings
from warmstart.serve.state import State

QUICK = Limits(request_s=0.2, stuck_s=PATIENCE_S)


def spoiled(path: Path) -> None:
    path.write_bytes(b"not a database, but of some length" * 300)


def cut(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.executescript("CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES (zeroblob(100000));")
    path.write_bytes(path.read_bytes()[:9000])


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")


@pytest.mark.parametrize(("spoil", "said"), [(spoiled, "is damaged"), (cut, "is damaged"), (newer, "newer warmstart")])
def test_a_database_that_cannot_be_used_is_named_at_the_start_and_the_home_is_free_again(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    Database(tmp_path).close()
    spoil(tmp_path / FILE)
    before = threading.active_count()
    for _ in range(2):  # the second time would tell of the home, were it still held
        with pytest.raises(InputError, match=said) as refusal:
            State(ServeSettings(home=tmp_path))
        assert str(tmp_path / FILE) in str(refusal.value)
    assert threading.active_count() <= before


def test_a_locked_database_is_named_at_the_start(tmp_path: Path) -> None:
    Database(tmp_path).close()
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("PRAGMA journal_mode=DELETE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(InputError, match="is locked by another program"):
        State(ServeSettings(home=tmp_path, limits=QUICK))
    other.close()
    State(ServeSettings(home=tmp_path, limits=QUICK)).close()


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_an_empty_database_beside_data_sets_is_no_fresh_start(tmp_path: Path, lose: Callable[[Path], Any]) -> None:
    Database(tmp_path).close()
    (tmp_path / "datasets" / "photos-1a2b3c").mkdir(parents=True)
    lose(tmp_path / FILE)
    with pytest.raises(InputError, match="put a copy of it back"):
        Database(tmp_path)
    (tmp_path / "datasets" / "photos-1a2b3c").rmdir()
    Database(tmp_path).close()


# While a server runs


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve(limits=QUICK)


def upload() -> list[tuple[str, tuple[str, bytes, str]]]:
    buffer = io.BytesIO()
    draw_shape("circle", 1).save(buffer, "PNG")
    return [("file", (f"photos/{name}/{i}.png", buffer.getvalue(), "image/png")) for name in "ab" for i in range(2)]


def told(client: TestClient, said: str) -> None:
    """Every kind of request that needs the database says what is wrong with it, without a place on the disk, and leaves nothing."""
    home = Path(client.app.state.server.settings.home)  # type: ignore[attr-defined]
    before = sorted(home.glob("*/*"))
    for answer in (
        client.post("/api/datasets", files=upload()),
        client.post("/api/runs", json={"dataset": "x"}),
        client.get("/api/runs"),
        client.get("/api/piles"),
        client.get("/metrics"),
        client.get("/api/runs/x/events"),
    ):
        assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "database"), answer.text
        assert answer.headers["retry-after"]
        assert f"{FILE} in the server's --home {said}" in answer.json()["error"]["message"]
        assert str(home) not in answer.text
    page = client.get("/")
    assert page.status_code == 503
    assert said in page.text
    assert sorted(home.glob("*/*")) == before
    assert client.get("/api/models").status_code == client.get("/api/health/ready").status_code == 200


@pytest.mark.parametrize("how", ["removed", "emptied", "replaced"])
def test_a_database_that_is_lost_under_a_running_server_is_told(client: TestClient, how: str, tmp_path: Path) -> None:
    path = Path(client.app.state.server.settings.home) / FILE  # type: ignore[attr-defined]
    if how == "removed":
        path.unlink()
    elif how == "emptied":
        path.write_bytes(b"")
    else:
        (tmp_path / "other").mkdir()
        Database(tmp_path / "other").close()
        (tmp_path / "other" / FILE).replace(path)
    told(client, "was removed, emptied or replaced while the server was running")


def test_a_database_without_its_tables_is_told(client: TestClient) -> None:
    server = client.app.state.server  # type: ignore[attr-defined]
    for table in ("datasets", "jobs", "piles"):
        server.database.write(f"DROP TABLE {table}")
    told(client, "is not as a server leaves it")


def test_a_locked_database_is_told_within_the_requests_time_and_works_again_afterwards(client: TestClient) -> None:
    server = client.app.state.server  # type: ignore[attr-defined]
    other = sqlite3.connect(Path(server.settings.home) / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    before = sorted(Path(server.settings.home).glob("*/*"))
    answer = client.post("/api/datasets", files=upload())
    assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "database"), answer.text
    assert "is locked by another program or busy" in answer.text
    assert sorted(Path(server.settings.home).glob("*/*")) == before
    other.execute("ROLLBACK")
    other.close()
    assert client.post("/api/datasets", files=upload()).status_code == 201


def test_what_cannot_be_noted_leaves_no_pictures_behind(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = client.app.state.server  # type: ignore[attr-defined]
    dataset = server.datasets.get(client.post("/api/datasets", files=upload()).json()["id"])
    home = Path(server.settings.home)
    write = server.database.write

    def refuse(sql: str, values: Any = ()) -> int:
        if sql.startswith("INSERT"):
            raise sqlite3.OperationalError("disk I/O error")
        return int(write(sql, values))

    monkeypatch.setattr(server.database, "write", refuse)
    before = sorted(home.rglob("*.png"))
    picture = tmp_path / "new.png"
    draw_shape("circle", 5).save(picture)
    with pytest.raises(sqlite3.OperationalError):
        server.datasets.add(dataset, picture, label="a", origin="x", name="new.png")
    draw_folder(tmp_path / "pile", 2)
    with pytest.raises(sqlite3.OperationalError):
        server.piles.create(dataset, "m", tmp_path / "pile")
    assert client.post("/api/datasets", files=upload()).status_code == 503
    assert sorted(home.rglob("*.png")) == before
    assert list((home / "piles").iterdir()) == []
