"""The verbs as Python calls, with a progress bar on stderr (also in notebooks) unless ``quiet``."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from warmstart.cli.terminal import Terminal
from warmstart.plan import ADVISED, Plan
from warmstart.session import outcome as _outcome
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify import compare as _compare
from warmstart.tasks.classify.doctor import examination as _doctor
from warmstart.tasks.classify.explain import explanation as _explain
from warmstart.workflows import evaluate as _evaluate
from warmstart.workflows import export as _export
from warmstart.workflows import filters as _filters
from warmstart.workflows import inspect as _inspect
from warmstart.workflows import report as _report
from warmstart.workflows import train as _train


def train(
    data: Any,
    plan: Plan | None = None,
    *,
    exclude: tuple[str, ...] = (),
    runs: str | Path = "runs",
    strict: bool = False,
    download: bool = False,
    budget_s: float | None = None,
    fixes: str | Path | None = None,
    group_duplicates: bool | None = None,
    heat_maps: bool = True,
    findings: bool = True,
    quiet: bool = False,
) -> _outcome.Run:
    """Train on a folder, manifest, list of (path, class name) or DataFrame with path and label; see `workflows.train.train`.

    Without a plan: a head on the frozen network, then what the advice has that fits ``budget_s`` (120 if not given).
    heat_maps, findings: whether the report shows where the model looked and what is wrong with the data; both take seconds.
    """
    settings = TrainSettings(
        exclude=exclude,
        runs=Path(runs),
        strict=strict,
        download=download,
        budget_s=budget_s,
        fixes=None if fixes is None else Path(fixes),
        group_duplicates=group_duplicates,
        heat_maps=heat_maps,
        findings=findings,
    )
    with nullcontext(NullProgress()) if quiet else Terminal() as watcher:
        return _train.train(data, plan or Plan(cut=ADVISED), settings, watcher=watcher)


def compare(
    data: Any,
    plans: Sequence[str] | Mapping[str, Plan] = (),
    plan: Plan | None = None,
    *,
    budget_s: float = 600.0,
    exclude: tuple[str, ...] = (),
    runs: str | Path = "runs",
    download: bool = False,
    fixes: str | Path | None = None,
    group_duplicates: bool | None = None,
    heat_maps: bool = True,
    findings: bool = True,
    quiet: bool = False,
) -> _compare.Comparison:
    """Several plans by short names ('frozen', 'stage5', 'full@128') or as name → Plan; see `workflows.compare.compare`."""
    settings = TrainSettings(
        exclude=exclude,
        runs=Path(runs),
        download=download,
        budget_s=budget_s,
        fixes=None if fixes is None else Path(fixes),
        group_duplicates=group_duplicates,
        heat_maps=heat_maps,
        findings=findings,
    )
    with nullcontext(NullProgress()) if quiet else Terminal() as watcher:
        return _compare.compare(data, plans, plan, settings, watcher=watcher)


def evaluate(
    model: str | Path, data: Any, *, exclude: tuple[str, ...] = (), keep_damaged: bool | None = None, quiet: bool = False
) -> _evaluate.Evaluation:
    """Score a saved model on labelled pictures; see `workflows.evaluate.evaluate`."""
    with nullcontext(NullProgress()) if quiet else Terminal() as watcher:
        return _evaluate.evaluate(str(model), data, exclude=exclude, keep_damaged=keep_damaged, watcher=watcher)


def explain(
    model: str | Path,
    picture: Any,
    *,
    class_name: str | None = None,
    method: str = "occlusion",
    layer: str | None = None,
    neighbours: int = 5,
    data: str | None = None,
    out: str | Path | None = None,
    download: bool = False,
    quiet: bool = False,
) -> _explain.Explanation:
    """Why a model says what it says of one picture, as arrays; drawn into the folder ``out`` too. See `workflows.explain`."""
    settings = _explain.ExplainSettings(class_name=class_name, method=method, layer=layer, neighbours=neighbours, data=data)
    with nullcontext(NullProgress()) if quiet else Terminal() as watcher:
        result = _explain.explain(str(model), picture, settings, download=download, watcher=watcher)
    return result if out is None else _explain.draw(result, Path(out))


def filters(
    name: str | Path, *, weights: str = "default", out: str | Path | None = None, download: bool = False, quiet: bool = False
) -> _filters.FilterPicture:
    """The first convolution's filters of a backbone or a model, as an array; drawn into the folder ``out`` too."""
    with nullcontext(NullProgress()) if quiet else Terminal() as watcher:
        result = _filters.filters(str(name), weights=weights, download=download, watcher=watcher)
    return result if out is None else _filters.draw(result, Path(out))


def doctor(
    data: Any,
    plan: Plan | None = None,
    *,
    exclude: tuple[str, ...] = (),
    fix_list: str | Path | None = None,
    page: str | Path | None = None,
    force: bool = False,
    download: bool = False,
    quiet: bool = False,
) -> _doctor.Diagnosis:
    """What is wrong with a data set; see `workflows.doctor.doctor`. Writes a list of fixes and a page where their names are given.

    force: also over a list of fixes that was edited since it was written.
    """
    settings = TrainSettings(exclude=exclude, download=download)
    with nullcontext(NullProgress()) if quiet else Terminal() as watcher:
        diagnosis = _doctor.doctor(data, plan, settings, watcher=watcher)
        _doctor.write(
            diagnosis,
            fix_list=Path(fix_list) if fix_list else None,
            page=Path(page) if page else None,
            watcher=watcher,
            force=force,
        )
    return diagnosis


def export(
    model: str | Path,
    to: str = "onnx",
    precision: str = "fp32",
    *,
    resize_inside: bool = False,
    out: str | Path | None = None,
    pictures: str | Path | None = None,
    data: str | Path | None = None,
    proof_pictures: int = 1000,
    force: bool = False,
    download: bool = False,
    quiet: bool = False,
) -> _export.Export:
    """Write a model as one file for other programs, proved on held-out pictures; see `workflows.export.export`."""
    settings = _export.ExportSettings(
        format=to,
        precision=precision,
        resize_inside=resize_inside,
        out=None if out is None else Path(out),
        pictures=None if pictures is None else str(pictures),
        data=None if data is None else str(data),
        proof_pictures=proof_pictures,
        force=force,
    )
    with nullcontext(NullProgress()) if quiet else Terminal() as watcher:
        return _export.export(str(model), settings, download=download, watcher=watcher)


def report(run: str | Path, *, heat_maps: bool = True) -> _report.Report:
    """Write a run's or a comparison's report.html again; see `workflows.report.report`."""
    return _report.report(Path(run), heat_maps=heat_maps)


def inspect(data: Any, *, exclude: tuple[str, ...] = (), quiet: bool = False) -> _inspect.Inspection:
    """Look at every picture of a data set; see `workflows.inspect.inspect`."""
    with nullcontext(NullProgress()) if quiet else Terminal() as watcher:
        return _inspect.inspect(data, exclude=exclude, watcher=watcher)
