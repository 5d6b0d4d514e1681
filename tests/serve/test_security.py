"""Who may ask: the key, the name the server is asked under, and pages of other sites in this machine's browser."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from warmstart.errors import UsageError
from warmstart.serve.security import cookie_value
from warmstart.serve.settings import Limits, ServeSettings

CHANGE = ("POST", "/api/runs")


def test_a_name_that_was_made_to_mean_this_machine_is_refused(served: TestClient) -> None:
    for host in ("evil.example", "evil.example:8000", "", "127.0.0.1.evil.example", "[::1].evil"):
        answer = served.get("/api/models", headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "wrong-host"), host
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert served.get("/api/models", headers={"Host": host}).status_code == 200, host


def test_pages_of_other_sites_may_not_change_anything(served: TestClient) -> None:
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        answer = served.request(*CHANGE, json={}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "wrong-origin"), headers
    for headers in ({}, {"Origin": "http://127.0.0.1:8000"}, {"Sec-Fetch-Site": "same-origin"}):
        assert served.request(*CHANGE, json={}, headers=headers).status_code == 422, headers
    assert "access-control-allow-origin" not in served.get("/api/models", headers={"Origin": "http://evil.example"}).headers


def test_with_a_key_nothing_but_health_is_open(serve: Callable[..., TestClient]) -> None:
    key = "long enough key"
    client = serve(api_key=key)
    for path in ("/", "/api/models", "/metrics", "/api/openapi.json", "/api/datasets", "/runs/x/report"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (401, "api-key"), path
    assert client.get("/api/health").status_code == client.get("/api/health/ready").status_code == 200
    for headers in ({"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Cookie": "warmstart_key=wrong"}):
        assert client.get("/api/models", headers=headers).status_code == 401
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"Bearer {key}"},
        {"Cookie": f"a=b; warmstart_key={cookie_value(key)}"},
    ):
        assert client.get("/api/models", headers=headers).status_code == 200


def test_a_browser_gives_the_key_once_and_keeps_something_else(serve: Callable[..., TestClient]) -> None:
    client = serve(api_key="long enough key")
    people = {"Accept": "text/html,*/*"}
    assert client.get("/", headers=people, follow_redirects=False).headers["location"] == "/login"
    assert "password" in client.get("/", headers=people).text
    wrong = client.post("/login", data={"key": "wrong"})
    assert wrong.status_code == 401
    assert "not the key" in wrong.text
    assert client.get("/", headers=people, follow_redirects=False).status_code == 303
    right = client.post("/login", data={"key": "long enough key"}, follow_redirects=False)
    assert "HttpOnly" in right.headers["set-cookie"]
    assert "long enough key" not in right.headers["set-cookie"]
    assert client.get("/api/models").status_code == 200


def test_another_name_must_be_allowed_and_two_servers_do_not_share_a_home(serve: Callable[..., TestClient]) -> None:
    client = serve(allowed_hosts=("models.example",))
    assert client.get("/api/models", headers={"Host": "models.example"}).status_code == 200
    assert client.get("/api/models", headers={"Host": "other.example"}).status_code == 403
    with pytest.raises(UsageError, match="used by another server"):
        serve()


def test_a_server_on_every_address_is_not_asked_under_a_name_that_a_page_made_up(serve: Callable[..., TestClient]) -> None:
    client = serve(host="0.0.0.0", allowed_hosts=("models.example",))
    for host in ("192.168.1.5:8000", "[fe80::1]:8000", "localhost", socket.gethostname(), "models.example"):
        assert client.get("/api/models", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "192.168.1.5.evil.example", "", "[::1].evil"):
        answer = client.get("/api/models", headers={"Host": host})
        assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "wrong-host"), host


def test_a_server_with_a_key_answers_under_any_name(serve: Callable[..., TestClient]) -> None:
    client = serve(host="0.0.0.0", api_key="long enough key")
    headers = {"Host": "whatever.example", "X-API-Key": "long enough key"}
    assert client.get("/api/models", headers=headers).status_code == 200


def test_settings_that_make_no_sense_are_told() -> None:
    with pytest.raises(UsageError, match="fewer than 8 characters"):
        ServeSettings(api_key="short")
    with pytest.raises(UsageError, match="port 99999"):
        ServeSettings(port=99999)
    with pytest.raises(UsageError, match="--root /nowhere is no folder"):
        ServeSettings(roots=(Path("/nowhere"),))
    with pytest.raises(UsageError, match="above 0, found batch 0"):
        Limits(batch=0)
    assert [ServeSettings(host=host).loopback for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org")] == [
        True,
        True,
        True,
        False,
        False,
    ]
