"""`python -m warmstart.cli.reference` prints docs/cli.md: the real help of every command, so that the page cannot rot."""

import sys
from typing import Any

import typer.main

from warmstart.cli.main import app

WIDTH = 100  # columns; fixed, so that the page is the same whatever terminal it is made in

HEAD = """# Command line

The help of every command, as `warmstart COMMAND --help` prints it. This page is generated: `make docs`.

stdout carries the result, as tables or with `--json` as one JSON document; progress, notes and errors go to stderr. Exit codes:
0 done · 1 the data or a model cannot be used · 2 the command was put together wrongly · 3 a fault of warmstart's own ·
130 stopped with Ctrl-C. No traceback without `warmstart --debug COMMAND …`.
"""


def reference() -> str:
    """The page, as Markdown."""
    group: Any = typer.main.get_command(app)
    root = _context(group, "warmstart", None)
    sections = [HEAD, _section("warmstart", group.get_help(root))]
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        sections.append(_section(f"warmstart {name}", command.get_help(_context(command, name, root))))
    return "\n".join(sections)


def _context(command: Any, name: str, parent: Any) -> Any:
    return command.context_class(command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)


def _section(title: str, text: str) -> str:
    lines = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
    return f"## {title}\n\n{lines}\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
