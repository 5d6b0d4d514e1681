"""Models over HTTP: the answers of the model itself, whatever way the pictures come."""

import io
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from drawn_shapes import draw_shape
from patience import PATIENCE_S
from warmstart import machine
from warmstart.model.predictor import Model
from warmstart.serve.settings import Limits
from warmstart.session.outcome import Run

PREDICT = "/api/models/shapes/predict"


def png(class_name: str, seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_shape(class_name, seed).save(buffer, "PNG")
    return buffer.getvalue()


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("file", (f"{i}.png", content, "image/png")) for i, content in enumerate(contents)]


def test_the_models_are_listed_with_what_is_known_of_them(served: TestClient, trained: Run) -> None:
    (model,) = served.get("/api/models").json()["models"]
    assert model["name"] == "shapes"
    assert model["classes"] == ["circle", "square", "stripes"]
    assert model["size_px"] == 64
    assert model["accuracy"] == trained.record.scores["test"].accuracy
    assert model["loaded"]
    assert model["problem"] is None
    assert served.get("/api/models/shapes").json() == model


def test_a_raw_picture_and_a_form_of_several_get_the_answers_of_the_model_itself(
    served: TestClient, trained: Run, warm_cache: Path
) -> None:
    pictures = [png("circle", 70), png("square", 71), png("stripes", 72)]
    expected = [trained.model.predict(content).to_dict() for content in pictures]
    together = served.post(PREDICT, files=files(*pictures)).json()
    alone = [served.post(PREDICT, content=content, headers={"Content-Type": "image/png"}).json() for content in pictures]
    assert together["problems"] == []
    assert [answer["path"] for answer in together["predictions"]] == ["0.png", "1.png", "2.png"]
    for one, raw, of_form in zip(expected, alone, together["predictions"], strict=True):
        for answer in (raw["predictions"][0], of_form):
            assert answer["class"] == one["class"]
            assert answer["probabilities"] == pytest.approx(one["probabilities"], rel=1e-5)
            assert answer["novelty"] == pytest.approx(one["novelty"])


def test_top_coverage_and_sure_are_as_in_the_command_line(served: TestClient) -> None:
    answer = served.post(f"{PREDICT}?top=1&coverage=0.8&sure=0.6", files=files(png("circle", 70))).json()
    (prediction,) = answer["predictions"]
    assert list(prediction["probabilities"]) == [prediction["class"]]
    assert prediction["class"] in prediction["classes"]
    assert answer["coverage"]["asked"] == 0.8
    assert prediction["sure"]["class"] == (prediction["class"] if prediction["probability"] >= 0.6 else None)
    for asked in ("coverage=1.5", "sure=0.5", "sure=1"):
        assert served.post(f"{PREDICT}?{asked}", files=files(png("circle", 70))).status_code == 422


def test_one_broken_picture_among_good_ones_is_a_named_problem(served: TestClient) -> None:
    answer = served.post(PREDICT, files=files(png("circle", 1), b"no picture", png("square", 2)))
    assert answer.status_code == 200
    assert [p["path"] for p in answer.json()["predictions"]] == ["0.png", "2.png"]
    (problem,) = answer.json()["problems"]
    assert problem["path"] == "1.png"
    assert problem["kind"] == "not-a-picture"


def test_health_and_metrics_tell_what_was_done(served: TestClient) -> None:
    assert served.get("/api/health").json() == {"status": "live"}
    assert served.get("/api/health/ready").json() == {"status": "ready"}

    def count() -> float:
        lines = served.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('warmstart_pictures_total{model="shapes"}'))

    before = count()
    served.post(PREDICT, files=files(png("circle", 1), png("circle", 2)))
    assert count() == before + 2
    assert 'path="/api/models/{name}/predict"' in served.get("/metrics").text


def test_nothing_that_a_browser_gets_comes_from_elsewhere(served: TestClient) -> None:
    home = served.get("/")
    assert "shapes" in home.text
    assert "http://" not in home.text.replace("http://127.0.0.1", "")
    assert "https://" not in home.text
    assert home.headers["content-security-policy"].startswith("default-src 'self'")
    assert served.get("/docs").status_code == 404
    assert served.get("/api/openapi.json").json()["info"]["title"] == "warmstart"


def with_learnt(trained: Run, **changes: Any) -> Model:
    """Its model, which has learnt something else."""
    return replace(trained.model, fitted=replace(trained.model.fitted, **changes))


def test_a_model_folder_that_changes_is_served_anew_and_a_broken_one_leaves_the_old_in_service(
    serve: Callable[..., TestClient], trained: Run, tmp_path: Path, wait: Callable[[Callable[[], Any]], Any]
) -> None:
    place = tmp_path / "models"
    trained.model.save(place / "mine")
    client = serve(models_folder=place)
    address = "/api/models/mine"
    assert not client.get(address).json()["loaded"]
    before = client.post(f"{address}/predict", files=files(png("circle", 70))).json()["predictions"][0]

    with_learnt(trained, class_names=("a", "b", "c")).save(place / "mine")
    wait(lambda: client.get(address).json()["classes"] == ["a", "b", "c"])
    after = client.post(f"{address}/predict", files=files(png("circle", 70))).json()["predictions"][0]
    assert list(after["probabilities"].values()) == list(before["probabilities"].values())
    assert list(after["probabilities"]) == ["a", "b", "c"]

    (place / "mine" / "model.safetensors").write_bytes(b"broken")
    wait(lambda: client.get(address).json()["problem"])
    assert "digest differs" in client.get(address).json()["problem"]
    assert client.post(f"{address}/predict", files=files(png("circle", 70))).json()["predictions"][0]["class"] == after["class"]

    with_learnt(trained, trust=None).save(place / "second")
    wait(lambda: len(client.get("/api/models").json()["models"]) == 2)
    uncalibrated = client.post("/api/models/second/predict?coverage=0.9", files=files(png("circle", 70)))
    assert (uncalibrated.status_code, uncalibrated.json()["error"]["kind"]) == (422, "usage")
    for path in (place / "second").iterdir():
        path.unlink()
    wait(lambda: len(client.get("/api/models").json()["models"]) == 1)


def test_a_server_that_has_stopped_refuses_instead_of_waiting_for_a_model(
    serve: Callable[..., TestClient], trained: Run
) -> None:
    client = serve(models=(f"shapes={trained.folder}",))
    client.app.state.server.models.close()  # type: ignore[attr-defined]
    answer = client.post(PREDICT, files=files(png("circle", 1)))
    assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "stopping")
    assert answer.headers["retry-after"] == "5"


def test_the_server_is_not_ready_while_every_decoder_is_at_one_picture(serve: Callable[..., TestClient], trained: Run) -> None:
    client = serve(models=(f"shapes={trained.folder}",), limits=Limits(request_s=PATIENCE_S, stuck_s=1e-9))
    models = client.app.state.server.models  # type: ignore[attr-defined]
    go, begun = threading.Event(), threading.Semaphore(0)

    def long() -> None:
        with models._decoders.at_work():
            begun.release()
            assert go.wait(PATIENCE_S)

    under_way = [models._decoders.submit(long) for _ in range(machine.cores())]
    for _ in under_way:
        begun.acquire()
    told = client.get("/api/health/ready")
    assert (told.status_code, told.json()["status"]) == (503, "not ready")
    assert "do not move" in told.json()["why"]
    refused = client.post(PREDICT, files=files(png("circle", 1)))
    assert (refused.status_code, refused.json()["error"]["kind"]) == (503, "stuck")
    assert refused.headers["retry-after"]
    assert client.get("/api/health/live").status_code == 200
    go.set()
    for one in under_way:
        one.result()
    assert client.get("/api/health/ready").json() == {"status": "ready"}


def test_a_model_that_opens_slowly_is_waited_for_within_the_requests_time_and_in_one_thread(
    serve: Callable[..., TestClient], trained: Run, tmp_path: Path, wait: Callable[[Callable[[], Any]], Any]
) -> None:
    trained.model.save(tmp_path / "models" / "mine")
    client = serve(models_folder=tmp_path / "models", limits=Limits(request_s=0.05, stuck_s=PATIENCE_S))
    state = client.app.state.server  # type: ignore[attr-defined]
    go, asked, real = threading.Event(), list[str](), state.models.open

    def slow(name: str) -> Any:
        asked.append(name)
        assert go.wait(PATIENCE_S)
        return real(name)

    state.models.open = slow
    for _ in range(3):
        refused = client.post("/api/models/mine/predict", files=files(png("circle", 1)))
        assert (refused.status_code, refused.json()["error"]["kind"]) == (503, "opening"), refused.text
        assert refused.headers["retry-after"]
    assert asked == ["mine"]
    go.set()
    wait(lambda: client.get("/api/models/mine").json()["loaded"])
