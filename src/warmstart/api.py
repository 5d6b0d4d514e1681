"""The verbs as Python calls, with a progress bar on stderr (also in notebooks) unless ``quiet``."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from warmstart.cli.terminal import Terminal
from warmstart.records import Plan
from warmstart.workflows import compare as _compare
from warmstart.workflows import evaluate as _evaluate
from warmstart.workflows import inspect as _inspect
from warmstart.workflows import report as _report
from warmstart.workflows import train as _train
from warmstart.workflows.settings import TrainSettings
from warmstart.workflows.watch import Nobody


def train(
    data: Any,
    plan: Plan | None = None,
    *,
    exclude: tuple[str, ...] = (),
    runs: str | Path = "runs",
    strict: bool = False,
    download: bool = False,
    budget_s: float | None = None,
    quiet: bool = False,
) -> _train.Run:
    """Train on a folder, manifest, list of (path, class name) or DataFrame with path and label; see `workflows.train.train`."""
    settings = TrainSettings(exclude=exclude, runs=Path(runs), strict=strict, download=download, budget_s=budget_s)
    with nullcontext(Nobody()) if quiet else Terminal() as watcher:
        return _train.train(data, plan, settings, watcher=watcher)


def compare(
    data: Any,
    plans: Sequence[str] | Mapping[str, Plan] = (),
    plan: Plan | None = None,
    *,
    budget_s: float = 600.0,
    exclude: tuple[str, ...] = (),
    runs: str | Path = "runs",
    download: bool = False,
    quiet: bool = False,
) -> _compare.Comparison:
    """Several plans by short names ('frozen', 'stage5', 'full@128') or as name → Plan; see `workflows.compare.compare`."""
    settings = TrainSettings(exclude=exclude, runs=Path(runs), download=download, budget_s=budget_s)
    with nullcontext(Nobody()) if quiet else Terminal() as watcher:
        return _compare.compare(data, plans, plan, settings, watcher=watcher)


def evaluate(model: str | Path, data: Any, *, exclude: tuple[str, ...] = (), quiet: bool = False) -> _evaluate.Evaluation:
    """Score a saved model on labelled pictures; see `workflows.evaluate.evaluate`."""
    with nullcontext(Nobody()) if quiet else Terminal() as watcher:
        return _evaluate.evaluate(str(model), data, exclude=exclude, watcher=watcher)


def report(run: str | Path) -> _report.Report:
    """Write a run's or a comparison's report.html again; see `workflows.report.report`."""
    return _report.report(Path(run))


def inspect(data: Any, *, exclude: tuple[str, ...] = (), quiet: bool = False) -> _inspect.Inspection:
    """Look at every picture of a data set; see `workflows.inspect.inspect`."""
    with nullcontext(Nobody()) if quiet else Terminal() as watcher:
        return _inspect.inspect(data, exclude=exclude, watcher=watcher)
