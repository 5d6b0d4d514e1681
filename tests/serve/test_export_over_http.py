"""Asking for an export, before it is there; from the button to the file: test_page_in_browser.py."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from warmstart.session.outcome import Run


def test_a_model_has_one_export_at_a_time_and_none_of_a_model_that_has_changed(
    serve: Callable[..., TestClient], trained: "Run", wait: Callable[[Callable[[], Any]], Any]
) -> None:
    client = serve(models=(f"shapes={trained.folder}",))
    address = "/api/models/shapes/export"
    missing = client.get(address)
    assert (missing.status_code, missing.json()["error"]["kind"]) == (404, "not-asked")
    asked = client.post(address, json={"format": "onnx"})
    assert asked.status_code == 202, asked.text
    again = client.post(address)
    assert (again.status_code, again.json()["error"]["kind"]) == (409, "already-exporting")
    early = client.get(f"{address}/file")
    assert (early.status_code, early.json()["error"]["kind"]) == (404, "no-export")
    for _ in range(2):  # the second time at once
        client.post(f"/api/runs/{asked.json()['id']}/cancel")
    wait(lambda: client.get(address).json()["state"] == "cancelled")

    client.app.state.server.models.entry("shapes").signature = ()  # type: ignore[attr-defined]
    assert client.get(address).json()["error"]["kind"] == "not-asked"


@pytest.mark.parametrize("wanted", [{"format": "pickle"}, {"precision": "fp8"}])
def test_a_format_that_cannot_be_had_is_refused(served: TestClient, wanted: dict[str, str]) -> None:
    assert served.post("/api/models/shapes/export", json=wanted).status_code == 422
