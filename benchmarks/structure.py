"""How open the house is: modules that know a class or a label, parameters, import cycles, lines. Of this tree, or of another beside it.

    .venv/bin/python benchmarks/structure.py [FOLDER …]        a folder that holds src/warmstart; default: this checkout

A module *knows a class* where its code, comments and texts left out, has a name with one of `WORDS` in it. An upper bound: 'label' also
names a widget's text. Parameters are those of functions written by hand, self and cls left out.
"""

import argparse
import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

WORDS = re.compile(r"class_name|class_names|n_classes|\blabels?\b|_labels?\b|labels?_|probabilit|softmax|confusion|majority")


def modules(source: Path) -> dict[str, Path]:
    """Name → file, packages' own files included."""
    return {
        ".".join(p.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): p for p in sorted(source.rglob("*.py"))
    }


def names_in(path: Path) -> Iterator[str]:
    """Every name in the code of a file."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type == tokenize.NAME:
            yield token.string


def knows_a_class(path: Path) -> bool:
    """See the top."""
    return any(WORDS.search(name) for name in names_in(path))


def parameters(path: Path) -> Iterator[tuple[int, str]]:
    """(how many, name) of each function."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield sum(argument.arg not in ("self", "cls") for argument in every), node.name


def imports(name: str, path: Path, known: set[str]) -> set[str]:
    """Modules of ours that a module imports when it is imported itself: not those inside functions or for types alone."""
    found: set[str] = set()
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & known) - {name}


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import one another (Tarjan, Depth-first search and linear graph algorithms, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    out: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                out.append(group)

    for node in graph:
        if node not in index:
            visit(node)
    return out


def measured(folder: Path) -> dict[str, str]:
    """Figure → value."""
    source = folder / "src"
    every = modules(source)
    outside = {name: path for name, path in every.items() if ".tasks." not in f"{name}."}
    knowing = [name for name, path in outside.items() if knows_a_class(path)]
    most, function = max(found for path in every.values() for found in parameters(path))
    lines = [line for path in every.values() for line in path.read_text("utf-8").splitlines()]
    circles = cycles({name: imports(name, path, set(every)) for name, path in every.items()})
    by_folder: dict[str, int] = {}
    for name in knowing:
        by_folder[".".join(name.split(".")[1:2])] = by_folder.get(".".join(name.split(".")[1:2]), 0) + 1
    return {
        "modules": str(len(every)),
        "of them outside tasks/ that know a class": str(len(knowing)),
        "most of these in": ", ".join(f"{k} {v}" for k, v in sorted(by_folder.items(), key=lambda item: -item[1])[:6]),
        "most parameters of a function": f"{most} ({function})",
        "import cycles": str(len(circles)),
        "lines of source": f"{len(lines):,}",
        "lines that are not empty": f"{sum(bool(line.strip()) for line in lines):,}",
    }


def main() -> None:
    """A column for each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path(__file__).resolve().parents[1]])
    folders = parser.parse_args().folders
    table = Table("", *(folder.name for folder in folders))
    columns = [measured(folder) for folder in folders]
    for figure in columns[0]:
        table.add_row(figure, *(column[figure] for column in columns))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
