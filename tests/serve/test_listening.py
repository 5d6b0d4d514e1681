"""The address that a server listens on."""

import socket
from pathlib import Path

import pytest

from warmstart.errors import UsageError
from warmstart.serve.server import _listen, serve
from warmstart.serve.settings import ServeSettings


def test_answers_are_not_held_back_by_nagles_algorithm() -> None:
    with _listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at before it sets TCP_NODELAY


def test_an_address_that_is_taken_is_told_and_the_home_is_free_again(tmp_path: Path) -> None:
    with _listen("127.0.0.1", 0) as taken:
        taken.listen()
        settings = ServeSettings(home=tmp_path / "home", port=taken.getsockname()[1])
        for _ in range(2):  # the second time would tell of the home, were it still held
            with pytest.raises(UsageError, match=r"cannot be listened on .*choose another --port"):
                serve(settings, say=print)
