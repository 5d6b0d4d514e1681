"""What training reads: the module that learns, and batches of stored activations or, at `pixels`, of pictures made on the spot.

    probe, cut → activations of train and val in every view, from the store → (module, train batches, val batches)

At `pixels` nothing is frozen: pictures are decoded and augmented when they are wanted, because the network takes far longer than
the decoder. N pictures, B batch, C channels, H, W, D features, P of them from the prefix.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from warmstart import machine
from warmstart.backbones.freezing import FrozenParts, frozen_parts, held
from warmstart.backbones.taps import Normalise
from warmstart.data.augmentation import DRAWN_POLICIES
from warmstart.errors import DataError, UsageError
from warmstart.extraction.prefixes import choose_engine, cut_prefix
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.rendering import Renderer
from warmstart.heads.linear_map import LinearMap
from warmstart.heads.standardising import Array, floored, mean_and_scale
from warmstart.plan import GIVEN, MODULE
from warmstart.session.dataset import stop_if_any_is_gone
from warmstart.session.probe import is_cold
from warmstart.session.run_state import Probe
from warmstart.session.session import Session
from warmstart.task_protocol import Tunable
from warmstart.training.batches import Inputs, Read, TrainBatches, ValBatches
from warmstart.training.objective import Objective
from warmstart.training.own_head import OwnHead
from warmstart.training.tuned import TunedSuffix, cold_start, split_taps
from warmstart.training_settings import TrainingSettings, planned_settings

FRESH_VIEWS = 1_000_000  # at `pixels` a view is made when it is wanted: as many as anybody can draw


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """All that `training.loop.fine_tune` and `training.lr_find` work on."""

    module: TunedSuffix
    frozen: FrozenParts  # of the module, held while this is open
    batches: TrainBatches
    val: ValBatches
    objective: Objective
    settings: TrainingSettings
    hits: int  # activations that were in the store
    misses: int
    seconds: float  # for extracting the others


@dataclass(frozen=True, kw_only=True)
class HeadStart:
    """A head for raw features, and the mean and scale (D,) under which they have deviation 1."""

    head: LinearMap | OwnHead
    mean: Array
    scale: Array


@contextmanager
def training_inputs(
    probe: Probe, session: Session, *, cut: str | None = None, start: HeadStart | None = None
) -> Iterator[TrainingInputs]:
    """Open while something reads from it. ``cut``, ``start``: where to cut and what to start from, if not as the probe says.

    Raises UsageError for settings that do not fit the data, DataError without val, StoreError when activations do not fit.
    """
    plan, dataset, tunable = probe.plan, probe.dataset, _tunable(probe)
    cut = cut or plan.cut
    cold = is_cold(probe.plan)
    settings = planned_settings(plan.training, cold=cold, seed=plan.seed)
    if settings.head_penalty is None:
        settings = replace(settings, head_penalty=0.0 if cold else probe.learnt.penalty)
    train, val = dataset.positions("train"), probe.choosing
    if not len(val):
        raise DataError(
            f"{dataset.source} has no val pictures, by which training chooses its best epoch. Use --split 70/15/15."
        )
    if cold:
        own = probe.fitting.head if plan.head == MODULE else None
        tied = getattr(tunable, "tied", False)  # not asked of tasks in other packages
        module = cold_start(probe.backbone, probe.taps, tunable.n_outputs(dataset.targets), own=own, tied=tied)
    else:
        start = start or _probed(probe, tunable)
        module = TunedSuffix(probe.backbone, cut, probe.taps, start.head, start.mean, start.scale)
    frozen = frozen_parts(probe.backbone, plan.freeze, right_of=cut)
    begin = time.perf_counter()
    with held(frozen):
        _require_learning(module, cut, probe)
        if frozen.names:
            session.watcher.say(f"held as it is right of {cut}, statistics included: {frozen.in_words()}")
        with _reader(probe, cut, session) as (read, n_views, hits, misses):
            yield TrainingInputs(
                module=module,
                frozen=frozen,
                batches=TrainBatches(
                    n=len(train),
                    read=lambda chosen, views: read(train[chosen], views),
                    collate=lambda chosen, views: dataset.targets.collate(train[chosen]),
                    batch_size=plan.batch_size,
                    seed=plan.seed,
                    n_views=n_views,
                    kinds=np.array(dataset.targets.kinds(), np.int64)[train] if plan.class_weight == "balanced" else None,
                ),
                val=ValBatches(
                    n=len(val),
                    read=lambda chosen, views: read(val[chosen], views),
                    collate=lambda chosen, views: dataset.targets.collate(val[chosen]),
                    batch_size=plan.batch_size,
                ),
                objective=tunable.objective(dataset.targets.take(train), settings, probe.fitting.options),
                settings=settings,
                hits=hits,
                misses=misses,
                seconds=time.perf_counter() - begin,
            )


def _require_learning(module: TunedSuffix, cut: str, probe: Probe) -> None:
    if module.trained_stages:
        return
    if module.suffix.stage_names and not probe.plan.freeze:
        raise UsageError(
            f"--cut {cut} leaves nothing to train: what is right of it has no weights. Cut earlier, or train only a "
            "head there with --epochs 0."
        )
    if module.suffix.stage_names:
        raise UsageError(
            f"--freeze {','.join(probe.plan.freeze)} leaves nothing to train right of {cut}: of the stages there the head reads as far "
            f"as {module.suffix.stage_names[-1]} ({', '.join(probe.taps)}), and all are frozen. Freeze less, or read more with --taps all."
        )
    raise UsageError(
        f"--cut {cut} leaves nothing to train: the head reads {', '.join(probe.taps)}, all left of the cut. "
        "Cut earlier, read more with --taps all, or train only a head on that stage with --epochs 0."
    )


def _tunable(probe: Probe) -> Tunable:
    task = probe.dataset.task
    if task.tunable is None:
        raise UsageError(
            f"--cut {probe.plan.cut} trains the network, and the task {task.name} learns on the frozen one only. Leave --cut out."
        )
    return task.tunable


def _probed(probe: Probe, tunable: Tunable) -> HeadStart:
    """The frozen head, and the frozen features of train that it was fitted under."""
    head = tunable.start(probe.learnt)
    if isinstance(head, OwnHead):
        return HeadStart(head=head, mean=head.mean, scale=head.scale)
    X = probe.rows_at(probe.dataset.positions("train")).features(probe.taps)
    mean, scale = mean_and_scale(X, np.ones((1, len(X)), np.float32))
    least = tunable.least_deviation
    return HeadStart(head=head, mean=mean[0], scale=floored(scale[0], least) if least else scale[0])


@contextmanager
def _reader(probe: Probe, cut: str, session: Session) -> Iterator[tuple[Read, int, int, int]]:
    """(what reads inputs of pictures by position and view, number of views, hits, misses)."""
    plan, pictures = probe.plan, probe.dataset.pictures
    if cut == "pixels":
        fresh = plan.augment == GIVEN or plan.augment in DRAWN_POLICIES
        names = session.view_names(plan, 2 if fresh else FRESH_VIEWS)
        with ThreadPoolExecutor(machine.cores()) as threads:
            yield _pixel_reader(probe, names, session.renderer, threads), FRESH_VIEWS if fresh else len(names), 0, 0
        return
    stored, _ = split_taps(probe.backbone, cut, probe.taps)
    preprocessing = probe.recipe.preprocessing
    prefix = cut_prefix(probe.backbone, cut, stored, preprocessing.size_px)
    graphs = session.workspace.graphs
    proven = choose_engine(pictures, prefix, preprocessing, engine=plan.engine, precision=plan.precision, graphs=graphs)
    names = session.view_names(plan, plan.augment_views)
    if session.own.augment is not None and not session.own.augment.lasting:
        session.watcher.say(
            "augment has no id, so its views are of use to this run alone; with an attribute id later runs find them"
        )
    shape = probe.backbone.shapes(preprocessing.size_px)[cut]
    width = sum(width for tap, width in prefix.layout if tap != "activations")
    recipe = replace(Recipe.of(prefix, preprocessing, proven), renderer=session.renderer)
    with session.reader(recipe).opened() as rows:
        learnt = [pictures[i] for i in probe.dataset.positions("train")]
        checked = [pictures[i] for i in probe.choosing]
        filled = [rows.fill(learnt, names), rows.fill(checked, names[:1])]
        for each in filled:
            stop_if_any_is_gone(each.broken)

        def read(positions: np.ndarray, views: np.ndarray) -> Inputs:
            block = torch.from_numpy(rows.read([pictures[i] for i in positions], [names[v] for v in views]))
            return block[:, width:].reshape(-1, *shape), block[:, :width]

        yield read, len(names), sum(f.hits for f in filled), sum(f.misses for f in filled)


def _pixel_reader(probe: Probe, names: tuple[str, ...], renderer: Renderer, threads: ThreadPoolExecutor) -> Read:
    """Decodes, augments and normalises on the spot, in threads. Beyond ``names`` view v is the last of them, numbered v."""
    preprocessing, pictures = probe.recipe.preprocessing, probe.dataset.pictures
    normalise = Normalise(probe.backbone.spec.mean, probe.backbone.spec.std)

    def one(position: int, view: int) -> np.ndarray:
        name = names[view] if view < len(names) else f"{names[-1].rpartition('-')[0]}-{view}"
        return renderer.render(pictures[position], [name], preprocessing)[0][0]

    def read(positions: np.ndarray, views: np.ndarray) -> Inputs:
        pixels = np.stack(list(threads.map(one, positions.tolist(), views.tolist())))
        return normalise(torch.from_numpy(pixels)), torch.zeros(len(pixels), 0)

    return read
