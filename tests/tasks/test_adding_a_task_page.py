"""docs/tasks.md shows what tests/tasks/invented/points.py does."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_excerpt_on_the_page_stands_in_the_example() -> None:
    page = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    example = (ROOT / "tests" / "tasks" / "invented" / "points.py").read_text("utf-8")
    excerpts = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(excerpts) >= 6
    for excerpt in excerpts:
        assert excerpt in example, excerpt


def test_no_invented_task_is_long() -> None:
    for path in (ROOT / "tests" / "tasks" / "invented").glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) < 250, path.name
