"""A server of the drawn shapes' model, in this process, for all tests that only ask it; and one of one's own."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from starlette.testclient import TestClient

from patience import PATIENCE_S
from warmstart.serve.app import make_app
from warmstart.serve.settings import Limits, ServeSettings

if TYPE_CHECKING:
    from warmstart.session.outcome import Run

ADDRESS = "http://127.0.0.1:8000"
Client = TestClient
# Nothing is refused because the machine is busy; tests of these limits have their own.
PATIENT: dict[str, Any] = {
    "request_s": PATIENCE_S,
    "stuck_s": PATIENCE_S,
    "explain_s": PATIENCE_S,
    "header_s": PATIENCE_S,
    "body_s": PATIENCE_S,
}


@pytest.fixture(scope="session")
def served(trained: "Run", trained_cache: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """With the model 'shapes' and the folder of the drawn pictures as an allowed root; small limits. Nothing of it is to be changed."""
    cache = tmp_path_factory.mktemp("served") / "cache"
    shutil.copytree(trained_cache, cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(cache))
        settings = ServeSettings(
            models=(f"shapes={trained.folder}",),
            home=tmp_path_factory.mktemp("home"),
            roots=(shapes.parent,),
            limits=Limits(
                **PATIENT,
                body_bytes=2_000_000,
                picture_bytes=500_000,
                picture_pixels=1_000_000,
                pictures=20,
                upload_bytes=5_000_000,
                upload_files=1000,
                unpacked_bytes=20_000_000,
            ),
        )
        with TestClient(make_app(settings), base_url=ADDRESS, raise_server_exceptions=False) as client:
            yield client


@pytest.fixture
def serve(warm_cache: Path, tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Start a server in this process with settings of one's own; ended with the test."""
    clients: list[TestClient] = []

    def start(**settings: Any) -> TestClient:
        settings.setdefault("home", tmp_path / "home")
        settings.setdefault("look_every_s", 0.05)
        settings.setdefault("limits", Limits(**PATIENT))
        client = TestClient(make_app(ServeSettings(**settings)), base_url=ADDRESS, raise_server_exceptions=False)
        clients.append(client)
        client.__enter__()
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def wait() -> Callable[[Callable[[], Any]], Any]:
    """Ask until the answer is something, however busy the machine is; the answer. What never comes ends after a quarter of an hour."""

    def until(question: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE_S
        while not (answer := question()):
            assert time.monotonic() < end, "it never came"
            time.sleep(0.05)
        return answer

    return until
