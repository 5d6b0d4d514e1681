"""The page of a run of classification, and of a comparison of several."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warmstart.model.predictor import Model
from warmstart.report.page import Page
from warmstart.tasks.classify.report.page import run_page
from warmstart.tasks.classify.report.run_files import read_run
from warmstart.tasks.classify.report.saliency_examples import Looks


def report(
    folder: Path,
    created: str,
    *,
    model: Model | None,
    in_memory: Mapping[str, Any],
    heat_maps: bool,
    limit_s: float | None,
) -> tuple[Page, tuple[str, ...]]:
    """The page, and what it has to do without. See `workflows.report.report`."""
    run = read_run(folder, in_memory)
    looks = Looks(notes=("heat-maps were not wanted (--no-heat-maps)",))
    if heat_maps:
        from warmstart.tasks.classify.explain.saliency_examples import LIMIT_AGAIN_S, LIMIT_S, look_again

        looks = look_again(run, model, limit_s=limit_s or (LIMIT_AGAIN_S if model is None else LIMIT_S))
    return run_page(run, created, looks), run.missing


def comparison(document: Mapping[str, Any], created: str) -> Page:
    """The page of a comparison."""
    from warmstart.tasks.classify.report.page import comparison_page

    return comparison_page(document, created)
