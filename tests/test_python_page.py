"""docs/python.md: each script runs and prints what stands below it, digits apart."""

import re
import warnings
from pathlib import Path

import pytest

from warmstart.training import own_head
from warmstart.workflows import train as train_module

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
SCRIPT = re.compile(
    r"^## (?P<title>[^\n]+)\n(?P<before>(?:(?!^## ).)*?)```python\n(?P<code>.*?)```\n\n```text\n(?P<said>.*?)```", re.M | re.S
)
SCRIPTS = {found["title"]: (found["code"], found["said"]) for found in SCRIPT.finditer(PAGE.read_text("utf-8"))}


def test_there_are_twelve() -> None:
    assert len(SCRIPTS) == PAGE.read_text("utf-8").count("```python") == 12


@pytest.mark.parametrize("title", SCRIPTS)
def test_a_script_says_what_the_page_says(
    title: str,
    fresh_processes: None,
    shapes: Path,
    warm_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = SCRIPTS[title]
    (tmp_path / "photos").symlink_to(shapes, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_module, "reported", lambda run, seen, session: run)  # no script reads the report
    monkeypatch.setattr(own_head, "STEPS", (20, 60))  # of a module as head: how well it learns is told elsewhere
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, title, "exec"), {"__name__": "__main__"})  # our own page
    assert _shape(capsys.readouterr().out) == _shape(said)


def _shape(text: str) -> str:
    """Without the values of digits, and with any space as one: numbers hang on the machine."""
    return re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?(e-?\d+)?", "0", text)).strip()
