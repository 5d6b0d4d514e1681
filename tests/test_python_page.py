"""docs/python.md: each script runs and prints what stands below it, digits apart."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from drawn_shapes import draw_folder

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
SCRIPT = re.compile(
    r"^## (?P<title>[^\n]+)\n(?P<before>(?:(?!^## ).)*?)```python\n(?P<code>.*?)```\n\n```text\n(?P<said>.*?)```", re.M | re.S
)
SCRIPTS = {found["title"]: (found["code"], found["said"]) for found in SCRIPT.finditer(PAGE.read_text("utf-8"))}


def test_there_are_twelve() -> None:
    assert len(SCRIPTS) == PAGE.read_text("utf-8").count("```python") == 12


@pytest.mark.parametrize("title", SCRIPTS)
def test_a_script_says_what_the_page_says(title: str, warm_cache: Path, tmp_path: Path) -> None:
    code, said = SCRIPTS[title]
    draw_folder(tmp_path / "photos")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert _shape(done.stdout) == _shape(said)


def _shape(text: str) -> str:
    """Without the values of digits, and with any space as one: numbers hang on the machine."""
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?(e-?\d+)?", "0", text)).strip()
