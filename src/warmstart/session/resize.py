"""Ways to make a square of elongated pictures, held against each other on train: what `--resize auto` asks.

    sizes of train → [a draw of it → rows in every mode → Task.fit by folds → what each picture lost → `strategy.resize`]

Only where the centre crop shows little of every tenth picture of train; otherwise nothing is computed. Of val and test, nothing is looked
at. The rows are in the store afterwards, those of the mode that is taken among them.

N pictures that are drawn.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from warmstart import machine
from warmstart.data.decoding import DECODER_ID
from warmstart.data.drawing import drawn
from warmstart.data.views import RESIZE_MODES, VIEW_POLICIES
from warmstart.engines.build import LIBRARIES
from warmstart.extraction.features import Extraction, Rows
from warmstart.records import Picture
from warmstart.session.listed import options_of
from warmstart.session.run_state import Ready
from warmstart.session.session import Session
from warmstart.session.what_is_lost import seen_of
from warmstart.store.memo import remembered
from warmstart.strategy.resize import FEWEST_UNITS, MOST_PICTURES, Judged, ResizeChoice, choose
from warmstart.task_protocol import Fitting, Part
from warmstart.task_registry import part


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """What is kept of one mode: what each of the N pictures lost."""

    losses: tuple[float, ...]
    words: str
    right: tuple[bool, ...] | None


def compared(ready: Ready, session: Session) -> ResizeChoice | None:
    """The mode that the pictures of ``ready`` should be seen in, and why; None where the centre crop shows enough of them.

    Raises what reading rows raises.
    """
    dataset, plan = ready.dataset, ready.plan
    train = dataset.positions("train")
    seen = seen_of([dataset.pictures[i] for i in train], RESIZE_MODES[0])
    if seen.median is None or not (seen.little or dataset.choice):  # once asked, it is asked again of another split
        return None
    at = train[drawn([dataset.pictures[i] for i in train], _kinds(ready, train), MOST_PICTURES, plan.seed)]
    if why_not := _why_not(ready, at):
        return ResizeChoice(mode=RESIZE_MODES[0], seen_median=seen.median, why_not=why_not)
    session.watcher.say(
        f"the centre crop shows {100 * seen.median:.0f} % of the median picture: {', '.join(RESIZE_MODES)} are compared on "
        f"{len(at):,} train pictures (--resize names one)"
    )
    rows = {mode: _rows([dataset.pictures[i] for i in at], mode, ready, session) for mode in RESIZE_MODES}
    there = np.array([i for i in range(len(at)) if not any(i in one.broken for one in rows.values())], np.int64)
    if why_not := _why_not(ready, at[there]):
        return ResizeChoice(mode=RESIZE_MODES[0], seen_median=seen.median, why_not=why_not)
    judged = {mode: _judged(one, at[there], there, ready, session) for mode, one in rows.items()}
    return choose(
        judged,
        dataset.units[at[there]],
        seen_median=seen.median,
        computed=sum(one.misses for one in rows.values()),
        seed=plan.seed,
    )


def _kinds(ready: Ready, at: np.ndarray) -> np.ndarray:
    kinds: np.ndarray = np.array(ready.dataset.targets.kinds(), np.int64)[at]
    return kinds


def _why_not(ready: Ready, at: np.ndarray) -> str:
    """Why the modes are not compared on these pictures, as the end of a sentence; '' where they can be."""
    task, plan = ready.dataset.task, ready.plan
    if ready.inputs.maps or ready.inputs.places or part(task, "judged") is None:
        return f"the task {task.name} does not say what a single picture loses"
    if plan.weights == "random" and plan.cut == "pixels":
        return "a network with random weights knows nothing of them before it is trained"
    units = len(np.unique(ready.dataset.units[at]))
    if units < FEWEST_UNITS:
        return f"{units} different train pictures are too few, {FEWEST_UNITS} would do"
    return ""


def _rows(pictures: Sequence[Picture], mode: str, ready: Ready, session: Session) -> Extraction:
    """Of the plain view, by the engine that has proved itself in the mode of ``ready``; the mode that is taken has its own proof."""
    preprocessing = replace(ready.recipe.preprocessing, resize=mode, views=VIEW_POLICIES["none"])
    return session.reader(replace(ready.recipe, preprocessing=preprocessing)).rows(pictures)


def _judged(extraction: Extraction, at: np.ndarray, there: np.ndarray, ready: Ready, session: Session) -> Judged:
    """What the pictures at ``at`` lost while folds of them held them out. ``there``: where their rows are."""
    dataset, plan, task = ready.dataset, ready.plan, ready.dataset.task
    rows = Rows(values=extraction.rows[there], layout=extraction.layout)
    fitting = Fitting(
        plan=replace(plan, head="linear"), tap_sets=ready.tap_sets, seed=plan.seed, options=options_of(task, plan)
    )

    def measure() -> _Measured:
        learnt = task.fit(_part(ready, at, rows), _part(ready, at[:0], rows.at(at[:0])), fitting)
        found: Judged = part(task, "judged")(learnt, dataset.targets.take(at))
        right = None if found.right is None else tuple(bool(one) for one in found.right)
        return _Measured(losses=tuple(float(loss) for loss in found.losses), words=found.words, right=right)

    units = np.unique(dataset.units[at], return_inverse=True)[1]
    pictures = "".join(
        f"{dataset.pictures[i].digest.hex()} {unit} {dataset.targets.stamp(int(i))}\n"
        for i, unit in zip(at, units, strict=True)
    )
    question: dict[str, Any] = {
        "task": task.name,
        "targets": dataset.targets.identity(),
        "options": dict(plan.options),
        "class_weight": plan.class_weight,
        "pictures": hashlib.sha256(pictures.encode("utf-8", "surrogateescape")).hexdigest(),
        "rows": hashlib.sha256(np.ascontiguousarray(rows.values).data).hexdigest(),
        "row_type": [rows.values.dtype.str, list(rows.values.shape)],
        "layout": [list(tap) for tap in rows.layout],
        "tap_sets": {name: list(taps) for name, taps in ready.tap_sets.items()},
        "seed": plan.seed,
        "decoder": DECODER_ID,
        "versions": machine.versions("warmstart", *LIBRARIES, "numpy", "scipy", "scikit-learn"),
    }
    with machine.calm_blas():
        kept = remembered(session.workspace.evidence, question, _Measured, measure)
    return Judged(
        losses=np.array(kept.losses), words=kept.words, right=None if kept.right is None else np.array(kept.right, np.bool_)
    )


def _part(ready: Ready, at: np.ndarray, rows: Rows) -> Part[Any]:
    return Part(targets=ready.dataset.targets.take(at), units=ready.dataset.units[at], read=rows.at, positions=at)
