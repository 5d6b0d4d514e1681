"""`python -m warmstart.cli.reference` prints docs/cli.md: the real help of every command, so that the page cannot rot.

`python -m warmstart.cli.reference docs` writes what is made of the source into that folder: cli.md, plan.md and the table in training.md.
"""

import sys
from pathlib import Path
from typing import Any

import typer.main

from warmstart.atomic import write_asked
from warmstart.cli.main import app
from warmstart.options import fields_of, shown, taken
from warmstart.plan import Plan
from warmstart.training_settings import TrainingSettings, cold_settings

WIDTH = 100  # columns; fixed, so that the page is the same whatever terminal it is made in

HEAD = """# Command line

The help of every command, as `warmstart COMMAND --help` prints it. This page is generated: `make docs`.

stdout carries the result, as tables or with `--json` as one JSON document; progress, notes and errors go to stderr. Exit codes:
0 done · 1 the data or a model cannot be used · 2 the command was put together wrongly · 3 a fault of warmstart's own ·
130 stopped with Ctrl-C. No traceback without `warmstart --debug COMMAND …`.
"""

PLAN_HEAD = """# The plan

A plan is the whole recipe of a run as plain data: `warmstart.Plan(…)` in Python, `plan.json` in a run folder (`warmstart train DATA --plan
FILE`), the key `plan` of a request to the server. What it does not name is as by default. It is checked when it is made, by one set
of rules, whoever makes it: an unknown name is refused with the nearest ones, a number outside its range with that range.
This page is generated: `make docs`. `warmstart.Plan.explain("cut")` says the same of one field.
"""

TRAINING_HEAD = "| name | takes | default | from scratch | meaning |"  # the first line of the table in docs/training.md


def reference() -> str:
    """The page of all commands, as Markdown."""
    group: Any = typer.main.get_command(app)
    root = _context(group, "warmstart", None)
    sections = [HEAD, _section("warmstart", group.get_help(root))]
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        sections.append(_section(f"warmstart {name}", command.get_help(_context(command, name, root))))
    return "\n".join(sections)


def plan_page() -> str:
    """The page of the plan's fields, as Markdown."""
    rows = ["| field | takes | default | command line | meaning |", "|---|---|---|---|---|"]
    for field in fields_of(Plan).values():
        rows.append(_row(field.name, taken(field), shown(field.default), f"`{field.flag}`", field.option.text))
    return f"{PLAN_HEAD}\n" + "\n".join(rows) + "\n"


def training_table() -> str:
    """The settings of training, as a table in Markdown."""
    cold = cold_settings()
    rows = [TRAINING_HEAD, "|---|---|---|---|---|"]
    for field in fields_of(TrainingSettings).values():
        other = getattr(cold, field.name)
        flag = f" Also `{field.flag}`." if field.option.flag else ""
        scratch = "" if other == field.default else shown(other)
        rows.append(_row(field.name, taken(field), shown(field.default), scratch, field.option.text + flag))
    return "\n".join(rows) + "\n"


def with_training_table(page: str) -> str:
    """docs/training.md, its table made anew."""
    before, _, rest = page.partition(TRAINING_HEAD)
    return before + training_table() + "\n" + rest.partition("\n\n")[2]


def write(folder: Path) -> None:
    """All that is made of the source, into docs/."""
    training = folder / "training.md"
    for path, text in (
        (folder / "cli.md", reference()),
        (folder / "plan.md", plan_page()),
        (training, with_training_table(training.read_text("utf-8"))),
    ):
        write_asked("the page", path, text.encode("utf-8"))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _context(command: Any, name: str, parent: Any) -> Any:
    return command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)


def _section(title: str, text: str) -> str:
    lines = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
    return f"## {title}\n\n{lines}\n"


if __name__ == "__main__":
    if sys.argv[1:]:
        write(Path(sys.argv[1]))
    else:
        sys.stdout.write(reference())
