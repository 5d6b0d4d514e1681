"""No answer tells where things lie on the server's disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from drawn_shapes import draw_folder
from warmstart.serve.job_process import _names_only
from warmstart.serve.places import Places
from warmstart.serve.settings import ServeSettings


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    for name in ("srv/home", "srv/photos & more", "desk", "models"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "desk")
    return Places(
        ServeSettings(home=tmp_path / "srv/home", roots=(tmp_path / "srv/photos & more",), models=(f"m={tmp_path}/models/one",))
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}/srv/home/datasets/a/1.jpg is broken", "datasets/a/1.jpg is broken"),
        ("look into {}/srv/home.", "look into home."),
        ("'{}/srv/home/'", "'home'"),
        ("{}/srv/photos & more/cat/1.jpg, {}/srv/photos & more", "cat/1.jpg, photos & more"),
        ("{}/models/one/model.json", "one/model.json"),
        ("{}/desk/x.csv", "x.csv"),
        ("file://{}/desk/x.csv", "file://x.csv"),
        ("x{}/desk/x.csv", "x{}/desk/x.csv"),  # in the middle of another path
        ("80 images/s, 3/4 and /api/models", "80 images/s, 3/4 and /api/models"),
    ],
)
def test_a_text_is_told_without_places(places: Places, tmp_path: Path, text: str, told: str) -> None:
    assert places.hide(text.replace("{}", str(tmp_path))) == told.replace("{}", str(tmp_path))


def test_a_folder_whose_name_only_begins_alike_is_another(places: Places, tmp_path: Path) -> None:
    for other in ("deskshop", "desk-2", "desk.old"):
        assert places.hide(f"{tmp_path}/{other}/x").endswith(f"{tmp_path.name}/{other}/x")


def test_a_document_is_told_whole_with_names_of_its_own(places: Places, tmp_path: Path) -> None:
    document = {f"{tmp_path}/desk/a": [1, None, 2.5, True, (f"{tmp_path}/data/x", {"deep": f"in {tmp_path}/data"})]}
    first = [(tmp_path / "data", "shoes")]
    assert places.hide(document, first=first) == {"a": [1, None, 2.5, True, ["x", {"deep": "in shoes"}]]}


def test_a_page_is_told_without_places_however_they_are_written(places: Places, tmp_path: Path) -> None:
    page = f'<title>{tmp_path}/desk</title>{tmp_path}/srv/photos &amp; more/1.jpg<script>{{"a": "{tmp_path}/srv/home/x"}}</script></p>'
    assert places.hide_in_page(page) == '<title>desk</title>1.jpg<script>{"a": "x"}</script></p>'


def test_a_server_that_runs_in_the_root_folder_leaves_texts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert Places(ServeSettings(home=Path("/"))).hide("80 images/s and /etc/passwd") == "80 images/s and /etc/passwd"


def test_errors_and_pages_name_folders_of_the_machine_by_their_root(serve: Callable[..., TestClient], tmp_path: Path) -> None:
    draw_folder(tmp_path / "pictures" / "shapes", 2)
    (tmp_path / "pictures" / "nothing").mkdir()
    client = serve(roots=(tmp_path / "pictures",))
    answers: list[Any] = [
        client.post("/api/datasets", json={"folder": "/etc"}),
        client.post("/api/datasets", json={"folder": "pictures/../.."}),
        client.post("/api/datasets", json={"folder": "pictures/nothing"}),
        client.get("/"),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 422, 200]
    assert "a folder inside pictures, such as pictures/photos" in answers[0].json()["error"]["message"]
    made = client.post("/api/datasets", json={"folder": "pictures/shapes"})
    assert made.status_code == 201, made.text
    (tmp_path / "pictures" / "shapes").rename(tmp_path / "pictures" / "gone")
    answers += [
        made,
        client.get(f"/api/datasets/{made.json()['id']}"),
        client.get(f"/datasets/{made.json()['id']}"),
        client.get("/"),
    ]
    server = client.app.state.server  # type: ignore[attr-defined]
    server.datasets._listings.clear()
    answers += [client.get(f"/api/datasets/{made.json()['id']}"), client.get(f"/datasets/{made.json()['id']}"), client.get("/")]
    for answer in answers:
        assert str(tmp_path) not in answer.text


def test_what_an_export_hands_out_names_files_alone() -> None:
    home = Path.home().absolute()
    document = {
        "source": str(home / "runs" / "a-1"),
        "worst": [{"path": str(home / "cat" / "1.jpg"), "n": 1}],
        "format": "onnx",
    }
    assert _names_only(document) == {"source": "a-1", "worst": [{"path": "1.jpg", "n": 1}], "format": "onnx"}
