"""Whether a document and tensors out of a folder that anybody may have written make a model, before any of it is used.

Raises ValueError (KeyError for what is missing) with a clause that names the key or tensor, what is wrong with it, what was expected.
What an exported file has too is read by `extraction.described`, what was fitted by the task's `restore`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.engines.build import ENGINES, PRECISIONS
from warmstart.errors import ModelFileError, UsageError
from warmstart.evaluation.novelty import Novelty
from warmstart.extraction.described import required
from warmstart.heads.linear_map import LinearMap
from warmstart.model.files import AGAIN
from warmstart.task_protocol import Task
from warmstart.task_registry import USUAL, find_task

MOST_FEATURES = 1_000_000  # of all taps together; the widest network of the catalogue has 12,000


def task_of(description: Mapping[str, Any], place: Path) -> Task:
    """The task that the model of this `model.json` is of. Raises ModelFileError for one that cannot be used here."""
    name = description.get("task", USUAL)
    try:
        return find_task(required(name, "task", str))
    except ValueError as reason:
        raise ModelFileError(f"{place} lacks or misuses {reason}; was it written by another program? {AGAIN}") from reason
    except UsageError as reason:
        of = f" of {description['task_from']}" if isinstance(description.get("task_from"), str) else ""
        raise ModelFileError(
            f"{place} is a model of the task {name!r:.80}{of}, which cannot be used here: {reason}"
        ) from reason


def check_description(description: Mapping[str, Any]) -> None:
    """`model.json`, but for what is read by functions of their own."""
    required(description["backbone"], "backbone", Mapping)
    required(description["backbone"]["name"], "backbone.name", str)
    required(description["backbone"]["weights_digest"], "weights_digest", str)
    required(description["engine"], "engine", Mapping)
    for name, known in (("name", ENGINES), ("precision", PRECISIONS)):
        if description["engine"][name] not in known[1:]:  # not 'auto': a model has been through that choice
            raise ValueError(f"'engine.{name}' = {description['engine'][name]!r:.80}, expected one of {', '.join(known[1:])}")
    _widths(description["layout"])
    _check_about(required(description["about"], "about", Mapping))


def read_shapes(values: Any) -> dict[str, tuple[int, ...]]:
    """Stage → (C, H, W), of maps that a task reads."""
    required(values, "shapes", Mapping)
    for stage, shape in values.items():
        required(shape, f"shapes.{stage}", tuple[int, ...])
        if len(shape) != 3 or min(shape) < 1 or math.prod(shape) > MOST_FEATURES:
            raise ValueError(f"'shapes.{stage}' = {shape!r:.80}, expected channels, height and width")
    return {stage: tuple(shape) for stage, shape in values.items()}


def check_tensors(tensors: Mapping[str, np.ndarray]) -> None:
    """Those of the network: every number finite. Names, shapes and types are compared with the network's when it is built."""
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise ValueError(f"'backbone.{name}', in which not every number is finite")


def _widths(layout: Any) -> dict[str, int]:
    """Tap → width."""
    if not isinstance(layout, list) or not layout:
        raise ValueError("'layout', expected a list of taps and widths")
    widths: dict[str, int] = {}
    for entry in layout:
        if not isinstance(entry, list) or len(entry) != 2:
            raise ValueError(f"'layout', in which {entry!r:.80} is no pair of tap and width")
        tap, width = required(entry[0], "layout", str), required(entry[1], "layout", int)
        if tap in widths or not 0 <= width <= MOST_FEATURES:
            raise ValueError(f"'layout', in which {entry!r:.80} stands twice, or has a width outside 0 … {MOST_FEATURES:,}")
        widths[tap] = width
    if sum(widths.values()) > MOST_FEATURES:
        raise ValueError(f"'layout' of {sum(widths.values()):,} features, expected at most {MOST_FEATURES:,}")
    return widths


def check_taps(name: str, taps: Any, widths: Mapping[str, int]) -> None:
    """That these are names of what a row holds, each once."""
    required(taps, name, tuple[str, ...])
    if not taps or len(set(taps)) < len(taps) or not set(taps) <= widths.keys():
        raise ValueError(f"{name!r} = {taps!r:.80}, expected some of {', '.join(widths)}")


def read_map(arrays: Mapping[str, Any], width: int, n_outputs: int, *, rows: int | None = None) -> LinearMap:
    """'map.coef' (``width``, O) and 'map.intercept' (O,); ``rows``: of weights, where all outputs share one."""
    coef, intercept = arrays["map.coef"], arrays["map.intercept"]
    for name, array, shape in (
        ("map.coef", coef, (width, n_outputs if rows is None else rows)),
        ("map.intercept", intercept, (n_outputs,)),
    ):
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"{name!r} of shape {array.shape} and type {array.dtype}, expected finite float32 {shape}")
    return LinearMap(coef=coef, intercept=intercept)


def read_novelty(settings: Any, arrays: Mapping[str, Any], widths: Mapping[str, int]) -> Novelty | None:
    """What tells how unlike training a picture is, out of the entry 'novelty' and its tensors; None where there is none."""
    if not required(settings, "novelty", Mapping | None):
        return None
    check_taps("novelty.taps", settings["taps"], widths)
    own = {name.removeprefix("novelty."): array for name, array in arrays.items() if name.startswith("novelty.")}
    if own["bank"].shape[1:] != (expected := (sum(widths[tap] for tap in settings["taps"]),)):
        raise ValueError(f"'novelty.bank' of shape {own['bank'].shape}, expected {expected[0]} columns")
    return Novelty.from_arrays(settings, own)


def read_share(value: Any, name: str) -> float:
    """A share between 0 and 1, neither of them."""
    share = float(required(value, name, float))
    if not 0 < share < 1:
        raise ValueError(f"{name!r} = {share!r}, expected a share between 0 and 1")
    return share


def _check_about(about: Mapping[str, Any]) -> None:
    """What others than people read of it."""
    required(about.get("trained_on", ()), "about.trained_on", tuple[str, ...])
    for name in ("scores", "weights", "plan"):
        required(about.get(name), f"about.{name}", Mapping | None)
    for split, scores in (about.get("scores") or {}).items():
        required(scores, f"about.scores.{split}", Mapping | None)
