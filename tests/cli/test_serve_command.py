"""The verb serve: every option arrives, and what is missing is told."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from warmstart.cli.main import run
from warmstart.serve import server
from warmstart.serve.settings import Limits, ServeSettings


def test_every_option_of_serve_becomes_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[ServeSettings] = []
    monkeypatch.setattr(server, "serve", lambda settings, *, say: given.append(settings))
    options = (
        f"serve a b=c --models {tmp_path} --home {tmp_path}/h --host 0.0.0.0 --port 9 --api-key 12345678 --root {tmp_path} "
        "--allowed-host x.example --timeout 3 --queue 4 --batch 5 --max-body-mb 6 --max-megapixels 8 "
        "--max-upload-mb 7 --max-unpacked-mb 9 --max-files 10 --download"
    )
    with pytest.raises(SystemExit) as end:
        run(options.split())
    assert end.value.code == 0
    assert given == [
        ServeSettings(
            models=("a", "b=c"),
            models_folder=tmp_path,
            home=tmp_path / "h",
            host="0.0.0.0",
            port=9,
            api_key="12345678",
            roots=(tmp_path,),
            allowed_hosts=("x.example",),
            download=True,
            limits=Limits(
                request_s=3,
                pictures_waiting=4,
                batch=5,
                body_bytes=6_000_000,
                picture_pixels=8_000_000,
                upload_bytes=7_000_000,
                unpacked_bytes=9_000_000,
                upload_files=10,
            ),
        )
    ]
    monkeypatch.setenv("WARMSTART_API_KEY", "out of the environment")
    with pytest.raises(SystemExit):
        run(["serve"])
    assert given[1] == ServeSettings(api_key="out of the environment")


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr("warmstart.cli.serving.find_spec", lambda name: None if name == "uvicorn" else find(name))
    with pytest.raises(SystemExit) as end:
        run(["serve"])
    assert end.value.code == 2
    assert 'needs uvicorn, which is not installed: pip install "warmstart[serve]"' in " ".join(capsys.readouterr().err.split())
