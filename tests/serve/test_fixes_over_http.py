"""What people decide about pictures of a data set: kept, changed, taken back, refused, and forgotten with the picture."""

import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from drawn_shapes import draw_folder, draw_shape
from warmstart.data.listing import read_listing
from warmstart.errors import DataError
from warmstart.serve import fixes
from warmstart.serve.pages import _spare


@pytest.fixture
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve()


@pytest.fixture
def address(client: TestClient, tmp_path: Path) -> str:
    """Of an uploaded data set of six pictures, two of each class."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(draw_folder(tmp_path / "shapes", 2).rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path))
    made = client.post("/api/datasets", content=buffer.getvalue(), headers={"Content-Type": "application/zip"})
    return f"/api/datasets/{made.json()['id']}"


def decided(client: TestClient, address: str) -> list[tuple[int, str, str | None]]:
    return [(fix["n"], fix["action"], fix["new_label"]) for fix in client.get(f"{address}/fixes").json()["fixes"]]


def test_decisions_add_up_and_can_be_taken_back_or_replaced(client: TestClient, address: str) -> None:
    def ask(method: str, *wanted: dict[str, Any]) -> int:
        answer = client.request(method, f"{address}/fixes", json={"fixes": list(wanted)})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["fixes"])

    assert decided(client, address) == []
    assert ask("PATCH", {"n": 3, "action": "drop"}) == 1
    assert ask("PATCH", {"n": 0, "action": "relabel", "new_label": "square"}) == 2
    assert decided(client, address) == [(0, "relabel", "square"), (3, "drop", None)]
    about = client.get(address).json()
    assert (about["left_out"], about["relabelled"], about["images"]) == (1, 1, 6)
    assert ask("PATCH", {"n": 0, "action": "drop"}, {"n": 3, "action": "keep"}) == 1
    assert decided(client, address) == [(0, "drop", None)]
    assert ask("PUT", {"n": 5, "action": "drop"}) == 1
    assert decided(client, address) == [(5, "drop", None)]
    assert ask("PATCH", {"n": 5, "action": "keep"}) == 0
    assert decided(client, address) == []


@pytest.mark.parametrize(
    ("fix", "status", "said"),
    [
        ({"n": 99, "action": "drop"}, 404, "picture 99"),
        ({"n": 0, "action": "burn"}, 422, "'burn'"),
        ({"n": 0, "action": "relabel", "new_label": "sqare"}, 422, "'square'"),
        ({"n": 0, "action": "relabel"}, 422, "new_label"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_is_refused_and_nothing_changes(
    client: TestClient, address: str, fix: dict[str, Any], status: int, said: str
) -> None:
    client.patch(f"{address}/fixes", json={"fixes": [{"n": 1, "action": "drop"}]})
    answer = client.patch(f"{address}/fixes", json={"fixes": [{"n": 2, "action": "drop"}, fix]})
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert "warmstart-home" not in answer.text
    assert "/fixes-" not in answer.text
    assert decided(client, address) == [(1, "drop", None)]


def test_too_little_may_not_be_left(client: TestClient, address: str) -> None:
    answer = client.put(f"{address}/fixes", json={"fixes": [{"n": n, "action": "drop"} for n in range(4)]})
    assert answer.status_code == 422
    assert "at least two" in answer.json()["error"]["message"]


def test_a_decision_goes_with_its_picture(client: TestClient, address: str, tmp_path: Path) -> None:
    picture = io.BytesIO()
    draw_shape("circle", 77).save(picture, "PNG")
    # A correction needs a model only to be asked through; the data set's own way of taking pictures is the same.
    server = client.app.state.server  # type: ignore[attr-defined]
    path = tmp_path / "new.png"
    path.write_bytes(picture.getvalue())
    added = server.datasets.add(
        server.datasets.get(address.rpartition("/")[2]), path, label="circle", origin="x", name="new.png"
    )
    assert (
        client.patch(f"{address}/fixes", json={"fixes": [{"n": 6, "action": "drop"}, {"n": 0, "action": "drop"}]}).status_code
        == 200
    )
    assert client.delete(f"{address}/corrections/{added['id']}").status_code == 204
    assert decided(client, address) == [(0, "drop", None)]


def test_what_a_job_excludes_is_no_hindrance(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "shapes", 2)
    file = tmp_path / "fixes.csv"
    fixes.change(file, read_listing(folder), [{"n": 0, "action": "drop"}, {"n": 2, "action": "drop"}], whole=True)
    without_one = read_listing(folder, exclude=("circle/0*",))
    assert len(without_one.examples) == 5
    assert len(fixes.applied(file, without_one).examples) == 4
    (folder / "square" / "0.png").unlink()
    again = read_listing(folder, exclude=("circle/0*",))
    assert fixes.applied(file, again) is again


def test_a_list_that_is_no_longer_possible_says_so(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "shapes", 2, classes=("circle", "square"))
    (folder / "stripes").mkdir()
    draw_shape("stripes", 0).save(folder / "stripes" / "0.png")
    file = tmp_path / "fixes.csv"
    fixes.change(file, read_listing(folder), [{"n": n, "action": "drop"} for n in (0, 1)], whole=True)
    (folder / "stripes" / "0.png").unlink()
    with pytest.raises(DataError, match="at least two"):
        fixes.applied(file, read_listing(folder))


def test_a_picture_that_has_moved_is_not_decided_about(client: TestClient, address: str) -> None:
    shown = client.get(f"{address}/pictures").json()["pictures"][3]
    fix = {"n": 3, "action": "drop", "path": shown["path"]}
    assert client.patch(f"{address}/fixes", json={"fixes": [fix]}).status_code == 200
    answer = client.patch(f"{address}/fixes", json={"fixes": [fix | {"n": 2}]})
    assert (answer.status_code, answer.json()["error"]["kind"]) == (409, "moved")
    assert decided(client, address) == [(3, "drop", None)]


def test_a_class_that_is_gone_takes_its_decisions_along(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "shapes", 2)
    file = tmp_path / "fixes.csv"
    wanted = [{"n": 0, "action": "relabel", "new_label": "stripes"}, {"n": 1, "action": "drop"}]
    fixes.change(file, read_listing(folder), wanted, whole=True)
    for path in (folder / "stripes").iterdir():
        path.unlink()
    (folder / "stripes").rmdir()
    listing = read_listing(folder)
    assert [action for action, _ in fixes.read(file, listing).values()] == ["drop"]
    assert fixes.change(file, listing, [{"n": 3, "action": "drop"}], whole=False) == 2
    assert len(fixes.applied(file, listing).examples) == 2


def test_a_browser_is_told_when_the_nth_picture_has_become_another(client: TestClient, address: str, tmp_path: Path) -> None:
    server = client.app.state.server  # type: ignore[attr-defined]
    added = []
    for seed in (70, 71):
        path = tmp_path / f"{seed}.png"
        draw_shape("circle", seed).save(path)
        added.append(
            server.datasets.add(server.datasets.get(address.rpartition("/")[2]), path, label="circle", origin="x", name="n")
        )
    first = client.get(f"{address}/pictures/6?size=64")
    tag = {"If-None-Match": first.headers["etag"]}
    assert client.get(f"{address}/pictures/6?size=64", headers=tag).status_code == 304
    assert client.get(f"{address}/pictures/6?size=32", headers=tag).status_code == 200
    client.delete(f"{address}/corrections/{added[0]['id']}")
    after = client.get(f"{address}/pictures/6?size=64", headers=tag)
    assert after.status_code == 200
    assert after.content != first.content


def test_a_folder_that_has_changed_is_looked_at_anew(serve: Callable[..., TestClient], tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "roots" / "shapes", 2)
    client = serve(roots=(tmp_path / "roots",))
    server = client.app.state.server  # type: ignore[attr-defined]
    stored = server.datasets.get(client.post("/api/datasets", json={"folder": str(folder)}).json()["id"])
    before = time.time()
    os.utime(folder, (before - 100, before - 100))
    for path in folder.rglob("*"):
        os.utime(path, (before - 100, before - 100))
    assert not server.datasets.changed_since(stored, before - 50)
    draw_shape("circle", 50).save(folder / "circle" / "50.png")
    assert server.datasets.changed_since(stored, before - 50)


def test_one_of_each_copy_stays() -> None:
    copies = {"kind": "copy", "pictures": [{"n": 1}, {"n": 2}], "drop": [2]}
    broken = {"kind": "broken", "pictures": [{"n": 5}], "drop": [5]}
    assert _spare([copies, broken], {}) == [{"n": 2}]
    assert _spare([copies], {1: {"action": "drop"}}) == []
    assert _spare([copies], {1: {"action": "relabel"}}) == [{"n": 2}]
    assert _spare([copies], {2: {"action": "relabel"}}) == []
