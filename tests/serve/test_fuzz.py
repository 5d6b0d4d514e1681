"""Requests made up from the API's own description: whatever they hold, none is answered with a fault of ours."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from starlette.testclient import TestClient

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

HEADERS = {"Host": "127.0.0.1:8000"}
# An explanation starts a process that imports PyTorch, and only tells a broken picture from a good one, as predict does.
SLOW = "/explain"


def test_no_request_is_answered_with_a_fault(served: TestClient) -> None:
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", served.app, headers=HEADERS)
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
            answer = case.call(headers=HEADERS)
            statuses.add(answer.status_code)
            assert answer.status_code < 500, f"{case.method} {case.formatted_path}: {answer.text}"

        ask()
    assert tried > 20
    assert {200, 404, 422} <= statuses
    assert served.get("/api/health").status_code == 200
