"""The page of a model of numbers, as people use it: a real server, a real browser."""

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


def test_a_picture_that_is_dropped_is_told_its_numbers_with_their_intervals(
    counts: Path, tmp_path: Path, browser: Browser
) -> None:
    plan = Plan(cut="pooled", target=("dots", "size"), image_size_px=64)
    run = train(str(counts), plan, TrainSettings(runs=tmp_path / "runs"))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from warmstart.cli.main import run; run()", "serve", f"cells={run.folder}"),
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
        assert "estimates dots, size" in browser.run("document.body.innerText")
        browser.open(f"{found[0]}/models/cells", width=1280)
        assert "It estimates dots, size." in browser.run("document.body.innerText")
        browser.choose("input[type=file]", counts.parent / "3.png")
        shown = browser.wait_for("document.querySelector('#answers dl')?.innerText")
        assert re.search(r"dots\s+\S+ \(\S+ to \S+ in 90 of 100 pictures\)\s+size", shown), shown
        assert browser.complaints() == []
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        process.stderr.close()
