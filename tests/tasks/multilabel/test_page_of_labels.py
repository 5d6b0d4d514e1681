"""The page of a model of labels, as people use it: a real server, a real browser."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from browser import Browser
from patience import PATIENCE_S
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.train import train

if sys.platform == "win32":
    pytest.skip("signals work differently there", allow_module_level=True)


def test_a_picture_that_is_dropped_is_told_its_labels(shapes: Path, tmp_path: Path, browser: Browser) -> None:
    run = train(str(shapes), Plan(cut="pooled", image_size_px=64), TrainSettings(runs=tmp_path / "runs"))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from warmstart.cli.main import run; run()", "serve", f"parts={run.folder}"),
            *("--home", str(tmp_path / "home"), "--port", "0", "--timeout", str(PATIENCE_S)),
        ],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert process.stderr is not None
    try:
        found = re.search(r"http://[^/\s]+", line := process.stderr.readline())
        assert found, line + process.stderr.read()
        browser.open(f"{found[0]}/", width=1280)
        assert "tells 3 labels" in browser.run("document.body.innerText")
        browser.open(f"{found[0]}/models/parts", width=1280)
        assert "says which of 3 labels a picture has: circle, square, stripes." in browser.run("document.body.innerText")
        browser.choose("input[type=file]", shapes.parent / "1.png", shapes.parent / "2.png")
        shown = browser.wait_for(
            "document.querySelectorAll('#answers li').length == 2 && document.querySelector('#answers').innerText"
        )
        assert "circle, square" in shown, shown
        assert "none of its labels" in shown, shown
        assert re.search(r"stripes\s+\d+\.\d %", shown), shown
        assert browser.complaints() == []
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stderr.close()
