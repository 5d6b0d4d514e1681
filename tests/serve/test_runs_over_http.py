"""Training over HTTP in real processes: from a zip to a served model; cancelled; and through a kill -9 of the server."""

import io
import json
import re
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from drawn_shapes import draw_folder, draw_shape
from patience import PATIENCE_S
from warmstart.serve import jobs
from warmstart.serve.job_events import read_events

if sys.platform == "win32":
    pytest.skip("signals work differently there", allow_module_level=True)

# As small as training gets: the last stage for some epochs, at 64 px.
PLAN = {"image_size_px": 64, "cut": "stage7", "taps": "last", "batch_size": 4, "training": {"epochs": 40}}
FROZEN = {"image_size_px": 64, "cut": "pooled", "taps": "pooled"}


def zip_of_shapes(folder: Path, per_class: int = 8) -> bytes:
    draw_folder(folder / "shapes", per_class)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted((folder / "shapes").rglob("*.*")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


class Servers:
    """Real ones, each in a process of its own, one after the other on one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process: subprocess.Popen[str] | None = None
        self._client: httpx.Client | None = None

    def start(self) -> httpx.Client:
        code = "from warmstart.cli.main import run; run()"
        command = [sys.executable, "-c", code, "serve", "--home", str(self._home), "--port", "0", "--timeout", str(PATIENCE_S)]
        self._process = process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stderr.read()
        self._client = httpx.Client(base_url=found[0], timeout=PATIENCE_S)
        return self._client

    def kill(self, how: int = signal.SIGKILL) -> int:
        assert self._process is not None
        assert self._client is not None
        self._client.close()
        self._process.send_signal(how)
        code = self._process.wait(PATIENCE_S)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._process = None
        return code


@pytest.fixture
def servers(warm_cache: Path, tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path / "home")
    yield found
    if found._process:
        found.kill()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(text) for text in found.stdout.split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_server_that_is_killed_in_mid_training_finds_the_run_again_resumes_and_finishes_it(
    servers: Servers, tmp_path: Path, wait: Callable[[Callable[[], Any]], Any]
) -> None:
    client = servers.start()
    content = zip_of_shapes(tmp_path)
    dataset = client.post("/api/datasets", content=content, headers={"Content-Type": "application/zip"}).json()["id"]
    started = client.post("/api/runs", json={"dataset": dataset, "plan": PLAN, "name": "tuned"})
    assert started.status_code == 202, started.text
    run = started.json()["id"]
    again = client.post("/api/runs", json={"dataset": dataset, "plan": PLAN})
    assert (again.status_code, again.json()["error"]["kind"]) == (409, "already-training")
    assert client.delete(f"/api/datasets/{dataset}").status_code == 409

    wait(lambda: len((seen := client.get(f"/api/runs/{run}").json())["epochs"]) >= 3 or seen["state"] == "failed")
    assert client.get(f"/api/runs/{run}").json()["state"] == "running"
    assert servers._process is not None
    (trainer,) = children(servers._process.pid)
    servers.kill()
    wait(lambda: not alive(trainer))  # nobody would hear it any more

    client = servers.start()
    assert [r["id"] for r in client.get("/api/runs").json()["runs"]] == [run]
    wait(lambda: client.get(f"/api/runs/{run}").json()["state"] not in jobs.ACTIVE)
    done = client.get(f"/api/runs/{run}").json()
    assert done["state"] == "done", done["message"]
    assert done["attempts"] == 2
    assert any("resumed at step" in sentence for sentence in done["said"])
    assert done["scores"]["test"]["n"] > 0
    epochs = client.get(f"/api/runs/{run}/record").json()["training"]["epochs"]
    assert [row["epoch"] for row in epochs] == list(range(41))  # each once, those from before the kill among them

    report = client.get(done["report"])
    assert "sandbox" in report.headers["content-security-policy"]
    wait(lambda: client.get("/api/models").json()["models"])
    picture = io.BytesIO()
    draw_shape("square", 99).save(picture, "PNG")
    answer = client.post(f"/api/models/{run}/predict", files={"file": ("x.png", picture.getvalue(), "image/png")}).json()
    assert answer["predictions"][0]["class"] in ("circle", "square", "stripes")

    told = client.get(f"/api/runs/{run}/events").text
    numbers = [int(n) for n in re.findall(r"^id: (\d+)$", told, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert told.rstrip().endswith('data: {"type": "end"}')
    last = client.get(f"/api/runs/{run}/events", headers={"Last-Event-ID": str(numbers[-2])}).text
    assert [int(n) for n in re.findall(r"^id: (\d+)$", last, re.MULTILINE)] == numbers[-1:]
    assert servers.kill(signal.SIGTERM) in (0, -signal.SIGTERM)


def test_a_cancelled_run_is_a_clean_stop_and_the_next_in_line_begins(
    serve: Callable[..., TestClient], tmp_path: Path, wait: Callable[[Callable[[], Any]], Any]
) -> None:
    client = serve()
    ids = []
    for name in ("a", "b", "c"):
        content = zip_of_shapes(tmp_path / name)
        answer = client.post(f"/api/datasets?name={name}", content=content, headers={"Content-Type": "application/zip"})
        ids.append(answer.json()["id"])
    long = {**PLAN, "training": {"epochs": 5000}}
    first, second, third = (
        client.post("/api/runs", json={"dataset": dataset, "plan": plan}).json()["id"]
        for dataset, plan in zip(ids, (long, FROZEN, FROZEN), strict=True)
    )
    assert (first, second, third) == ("a-1", "b-1", "c-1")
    assert client.delete(f"/api/runs/{second}").json()["state"] == "cancelled"  # while it waits
    wait(lambda: client.get(f"/api/runs/{first}").json()["epochs"] or client.get(f"/api/runs/{first}").json()["message"])
    assert client.get(f"/api/runs/{third}").json()["state"] == "queued"
    assert client.post(f"/api/runs/{first}/cancel").json()["state"] == "cancelling"
    wait(lambda: client.get(f"/api/runs/{first}").json()["state"] == "cancelled")
    wait(lambda: client.get(f"/api/runs/{third}").json()["state"] == "done")
    assert client.get(f"/api/runs/{first}").json()["message"] == "stopped on request; what was stored is kept"

    # What people add is learnt from: a correction, and confirmed pre-labels.
    corrected = io.BytesIO()
    draw_shape("stripes", 200).save(corrected, "PNG")
    fields = {"class": "stripes", "predicted": "circle"}
    wait(lambda: any(m["name"] == third for m in client.get("/api/models").json()["models"]))
    kept = client.post(
        f"/api/models/{third}/corrections", data=fields, files={"file": ("x.png", corrected.getvalue(), "image/png")}
    )
    assert kept.status_code == 201, kept.text
    wrong = client.post(
        f"/api/models/{third}/corrections",
        data={"class": "strips"},
        files={"file": ("x.png", corrected.getvalue(), "image/png")},
    )
    assert wrong.json()["error"]["nearest"] == ["stripes"]
    draws = [io.BytesIO() for _ in range(3)]
    for seed, buffer in enumerate(draws):
        draw_shape("circle", 300 + seed).save(buffer, "PNG")
    files = [("file", (f"{i}.png", buffer.getvalue(), "image/png")) for i, buffer in enumerate(draws)]
    pile = client.post(f"/api/datasets/{ids[2]}/prelabel?model={third}", files=files).json()["id"]
    wait(lambda: client.get(f"/api/piles/{pile}").json()["state"] == "ready")
    page = client.get(f"/api/piles/{pile}").json()["page"]
    assert [p["uncertainty"] for p in page] == sorted((p["uncertainty"] for p in page), reverse=True)
    assert client.get(f"/api/piles/{pile}/pictures/{page[0]['n']}").headers["content-type"] == "image/jpeg"
    for row in page[:2]:
        assert client.put(f"/api/piles/{pile}/pictures/{row['n']}", json={"label": "circle"}).json()["label"] == "circle"
    assert client.put(f"/api/piles/{pile}/pictures/0", json={"label": "oval"}).status_code == 422
    joined = client.post(f"/api/piles/{pile}/confirm").json()
    assert (joined["joined"], joined["pictures"]) == (2, 1)
    assert client.get(f"/api/datasets/{ids[2]}").json()["images"] == 27
    assert [c["class"] for c in client.get(f"/api/datasets/{ids[2]}/corrections").json()["corrections"]] == [
        "stripes",
        "circle",
        "circle",
    ]
    client.put(f"/api/datasets/{ids[2]}/fixes", json={"fixes": [{"n": 0, "action": "drop"}]})
    retrained = client.post("/api/runs", json={"dataset": ids[2], "plan": FROZEN}).json()["id"]
    assert retrained == "c-2"
    wait(lambda: client.get(f"/api/runs/{retrained}").json()["state"] == "done")
    assert client.get(f"/api/runs/{retrained}/record").json()["data"]["images"] == 26

    asked = client.post(f"/api/datasets/{ids[2]}/doctor", json={"plan": {"image_size_px": 64}})
    assert asked.status_code == 202
    wait(lambda: client.get(f"/api/datasets/{ids[2]}/doctor").json()["result"])
    twice = client.post(f"/api/datasets/{ids[2]}/doctor", json={"plan": {"image_size_px": 64}}).json()
    assert twice["id"] == asked.json()["id"]
    assert twice["result"]["images"] == 27
    assert client.get(f"/api/datasets/{ids[2]}/doctor/page").status_code == 200

    exported = client.post(f"/api/models/{third}/export", json={"format": "onnx"})
    assert exported.status_code == 202
    addresses = (
        *(f"/api/runs/{third}{more}" for more in ("", "/record", "/events")),
        *(f"/api/runs/{first}{more}" for more in ("", "/events")),
        *(f"/api/datasets/{ids[2]}{more}" for more in ("", "/doctor", "/doctor/page", "/pictures", "/fixes", "/corrections")),
        *("/api/runs", "/api/datasets", "/api/models", f"/api/models/{third}", "/api/piles", f"/api/piles/{pile}"),
        *("/", f"/runs/{third}", f"/runs/{first}", f"/runs/{third}/report", f"/datasets/{ids[2]}", f"/models/{third}"),
        *("/metrics", "/api/openapi.json", f"/api/models/{third}/export", f"/api/runs/{third}/export-nothing"),
    )
    wait(lambda: client.get(f"/api/models/{third}/export").json()["state"] in ("done", "failed"))
    told = {address: client.get(address).text for address in addresses}
    for place in (str(tmp_path), str(Path.home()), sys.prefix, str(Path.cwd())):
        assert [address for address, text in told.items() if place in text] == [], place
    with zipfile.ZipFile(io.BytesIO(client.get(f"/api/models/{third}/export/file").content)) as archive:
        assert [name for name in archive.namelist() if str(tmp_path).encode() in archive.read(name)] == []

    assert client.delete(f"/api/runs/{third}").json()["state"] == "removed"
    assert client.get(f"/api/runs/{third}").status_code == 404


def test_a_half_written_line_of_events_is_none(tmp_path: Path) -> None:
    whole = json.dumps({"type": "say", "text": "x"})
    (tmp_path / "events.jsonl").write_text(f"{whole}\nnonsense\n{whole}\n" + whole[:10], "utf-8")
    assert [event["text"] for event in read_events(tmp_path)] == ["x", "x"]
    assert read_events(tmp_path / "nowhere") == []
