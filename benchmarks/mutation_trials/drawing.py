"""Mutants: one module with one fault each, made by mutmut, drawn by a seed."""

import ast
import difflib
import functools
import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutmut.mutation.file_mutation import create_mutations

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"

# What chooses, calibrates, scores, splits and forecasts.
MODULES = (
    "warmstart.data.splitting",
    "warmstart.tasks.classify.temperature",
    "warmstart.tasks.classify.answers",
    "warmstart.tasks.classify.conformal",
    "warmstart.tasks.classify.fit",
    "warmstart.tasks.classify.loss",
    "warmstart.evaluation.intervals",
    "warmstart.tasks.classify.metrics",
    "warmstart.evaluation.novelty",
    "warmstart.tasks.classify.trust",
    "warmstart.tasks.classify.trusted",
    "warmstart.heads.folds",
    "warmstart.tasks.classify.selection",
    "warmstart.tasks.classify.evidence.backbone_ranking",
    "warmstart.tasks.classify.evidence.gathering",
    "warmstart.tasks.classify.evidence.learning_curve",
    "warmstart.tasks.classify.evidence.probing",
    "warmstart.tasks.classify.advice.rules",
    "warmstart.strategy.forecast",
    "warmstart.strategy.taps",
    "warmstart.tasks.classify.targets",
    "warmstart.training.objective",
    "warmstart.training.pace",
    "warmstart.training.validation",
    "warmstart.tasks.classify.advice.auto_train",
    "warmstart.tasks.classify.advice.plan_search",
    "warmstart.session.dataset",
    "warmstart.workflows.evaluate",
    "warmstart.session.forecasting",
    "warmstart.workflows.export_pictures",
    "warmstart.session.near_copies",
    "warmstart.session.outcome",
    "warmstart.session.probe",
    "warmstart.session.calibration",
)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One module with one fault."""

    module: str
    line: int  # of the module as it is
    diff: str
    source: str

    @property
    def name(self) -> str:
        """The same as long as the module is."""
        return hashlib.sha256(f"{self.module}\n{self.source}".encode()).hexdigest()[:16]


def draw(n: int, seed: int) -> list[Mutant]:
    """``n`` of all mutants of `MODULES`, each as likely as any other, in an order that hangs on the seed alone."""
    places = [(module, i) for module in MODULES for i in range(len(_mutations(module)[1]))]
    chosen = random.Random(seed).sample(places, min(n, len(places)))
    return [_mutant(module, i) for module, i in chosen]


@functools.cache
def _mutations(module: str) -> tuple[Any, list[Any]]:
    path = path_of(module)
    tree, mutations, _, _ = create_mutations(str(path), path.read_text("utf-8"))
    return tree, [m for m in mutations if m.contained_by_top_level_function and not _is_prose(m.original_node)]


def _mutant(module: str, i: int) -> Mutant:
    tree, mutations = _mutations(module)
    before = path_of(module).read_text("utf-8")
    after: str = tree.deep_replace(mutations[i].original_node, mutations[i].mutated_node).code
    changed = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    line = int(changed[0].split()[1].lstrip("-").split(",")[0])
    return Mutant(module=module, line=line, diff="\n".join(changed[1:]), source=after)


def _is_prose(node: Any) -> bool:
    return type(node).__name__ == "SimpleString" and " " in node.value.strip("\"'f ")


def path_of(module: str) -> Path:
    """Where its source lies."""
    return SOURCE / Path(*module.split(".")).with_suffix(".py")


def statement(source: str, line: int) -> set[int]:
    """The lines of the innermost statement that the line belongs to; of a compound one its head, of a function's head all of it."""
    innermost: ast.stmt | None = None
    for node in ast.walk(ast.parse(source)):
        inside = isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
        if inside and (innermost is None or node.lineno >= innermost.lineno):
            innermost = node
    if innermost is None:
        return {line}
    body = getattr(innermost, "body", None)
    whole = not body or isinstance(innermost, ast.FunctionDef)
    return set(range(innermost.lineno, (innermost.end_lineno or line) + 1 if whole else body[0].lineno))
