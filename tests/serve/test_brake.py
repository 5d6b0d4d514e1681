"""Guessing the key: slowed down by address and over all, and nobody is locked out for ever."""

from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from warmstart.serve.brake import GUESSES, GUESSES_OF_ALL, Brake
from warmstart.serve.errors import ApiError
from warmstart.serve.security import cookie_value

KEY = "long enough key"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guess(brake: Brake, address: str, key: str) -> int | None:
    """None where it was looked at, otherwise for how long to wait."""
    try:
        brake.check(address)
    except ApiError as refusal:
        return refusal.retry_after_s if refusal.status == 429 else -1
    brake.wrong(address, key)
    return None


def test_an_address_may_guess_so_often_and_then_once_in_a_while(clock: Clock) -> None:
    brake = Brake(clock)
    assert [guess(brake, "10.0.0.1", f"{i}") for i in range(GUESSES)] == [None] * GUESSES
    assert guess(brake, "10.0.0.1", "another") == 6
    assert guess(brake, "10.0.0.2", "another") is None  # somebody else
    clock.now += 6
    assert guess(brake, "10.0.0.1", "another") is None
    assert guess(brake, "10.0.0.1", "yet another") == 6
    clock.now += 3600  # nobody is locked out for longer than the guessing lasts
    assert [guess(brake, "10.0.0.1", f"later {i}") for i in range(GUESSES)] == [None] * GUESSES


def test_all_together_may_guess_so_often_and_who_had_the_key_before_does_not_wait_for_them(clock: Clock) -> None:
    brake = Brake(clock)
    brake.check("192.168.0.7")
    brake.right("192.168.0.7")
    for i in range(GUESSES_OF_ALL):
        assert guess(brake, f"10.0.{i}.1", f"{i}") is None
    assert guess(brake, "10.1.0.1", "x") == 1
    brake.check("192.168.0.7")
    clock.now += 1
    assert guess(brake, "10.1.0.1", "x") is None
    assert guess(brake, "10.1.0.2", "y") == 1


def test_the_same_wrong_key_again_is_no_new_guess(clock: Clock) -> None:
    brake = Brake(clock)
    assert {guess(brake, "10.0.0.1", "the key of last year") for _ in range(1000)} == {None}


def test_the_addresses_of_one_owner_are_one_and_few_are_remembered(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    brake = Brake(clock)
    for i in range(GUESSES):
        guess(brake, f"2001:db8::{i:x}", f"{i}")
    assert guess(brake, "2001:db8::ffff", "x") == 6
    assert guess(brake, "2001:db8:0:1::1", "x") is None
    monkeypatch.setattr("warmstart.serve.brake.REMEMBERED", 5)
    for i in range(20):
        guess(brake, f"10.0.0.{i}", "x")
        brake.right(f"10.0.0.{i}")
    assert len(brake._addresses) == len(brake._known) == 5


@pytest.mark.parametrize("way", ["page", "header", "bearer"])
def test_guesses_over_http_are_stopped_while_a_browser_with_its_cookie_goes_on(
    serve: Callable[..., TestClient], clock: Clock, way: str
) -> None:
    client = serve(api_key=KEY)
    brake = client.app.state.server.brake  # type: ignore[attr-defined]
    brake._clock = clock

    def ask(key: str) -> int:
        if way == "page":
            return client.post("/login", data={"key": key}, follow_redirects=False).status_code
        headers = {"X-API-Key": key} if way == "header" else {"Authorization": f"Bearer {key}"}
        return client.get("/api/models", headers=headers).status_code

    assert [ask(f"guess {i}") for i in range(GUESSES)] == [401] * GUESSES
    assert ask("another guess") == 429
    assert ask(KEY) == 429  # it is not looked at
    refused = client.post("/login", data={"key": KEY}, follow_redirects=False)
    assert refused.headers["retry-after"] == "6"
    cookie = {"Cookie": f"warmstart_key={cookie_value(KEY)}"}
    assert client.get("/api/models", headers=cookie).status_code == 200
    assert client.get("/api/health").status_code == 200
    assert client.get("/api/models").status_code == 401  # no guess at all
    clock.now += 6
    assert ask(KEY) == (303 if way == "page" else 200)
