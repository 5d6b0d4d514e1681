"""Requests made up from the API's own description: whatever they hold, none is answered with a fault of ours."""

import threading
from collections.abc import Iterator

import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

from warmstart.serve.server import _listen

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

# An explanation starts a process that imports PyTorch, and only tells a broken picture from a good one, as predict does.
SLOW = "/explain"


@pytest.fixture
def address(served: TestClient) -> Iterator[str]:
    """The same app on a socket. Its life is the client's: schemathesis's own way into an app would end it after the first request."""
    with _listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(served.app, lifespan="off", log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        listener.listen()  # a request before the thread is ready waits
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_no_request_is_answered_with_a_fault(served: TestClient, address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
    tried, statuses = 0, set[int]()
    for operation in schema.get_all_operations():
        endpoint = operation.ok()
        if endpoint.path.endswith(SLOW):
            continue
        tried += 1

        @settings(
            max_examples=8,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=endpoint.as_strategy())
        def ask(case) -> None:
            answer = case.call()
            statuses.add(answer.status_code)
            assert answer.status_code < 500, f"{case.method} {case.formatted_path}: {answer.text}"

        ask()
    assert tried > 20
    assert {200, 404, 422} <= statuses
    assert served.get("/api/health/ready").status_code == 200
