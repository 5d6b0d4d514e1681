"""The trained part of a run: the network right of the cut learns, starting as the probe, from what the cut stores.

    probe → activations at the cut, in every view, from the store → training loop → best weights on val → head folded back

At `pixels` nothing is frozen: pictures are decoded and augmented on the spot, because the network takes far longer than the decoder.
N pictures, B batch, C channels, H, W, D features, P of them from the prefix.
"""

import csv
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from warmstart import machine
from warmstart.backbones.chain import Backbone
from warmstart.backbones.taps import Normalise
from warmstart.data.augmentation import view_names
from warmstart.errors import DataError, UsageError
from warmstart.extraction import StoredRows, choose_engine, cut_prefix, render_views
from warmstart.heads.linear import LinearHead
from warmstart.heads.standardising import mean_and_scale
from warmstart.store.cache import Store
from warmstart.training.batches import Inputs, Read, TrainBatches, ValBatches
from warmstart.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from warmstart.training.events import Epoch, Event, Resumed, Step
from warmstart.training.execution import Execution, default_execution
from warmstart.training.frozen import prefix_digest
from warmstart.training.loop import fine_tune
from warmstart.training.settings import TrainingSettings, cold_settings
from warmstart.training.tuned import TunedSuffix, cold_start, split_taps
from warmstart.workflows.probe import Probe
from warmstart.workflows.run_folder import CHECKPOINT
from warmstart.workflows.watch import Watcher

FRESH_VIEWS = 1_000_000  # at `pixels` a view is made when it is wanted: as many as anybody can draw


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What training made of a probe. The backbone is the probe's, changed right of the cut."""

    backbone: Backbone
    head: LinearHead
    epochs: tuple[Epoch, ...]  # the first is the start
    end: str  # why it ended, in words
    prefix_digest: str  # of everything left of the cut, the same before and after
    trained_stages: tuple[str, ...]
    execution: dict[str, Any]
    hits: int
    misses: int
    extract_seconds: float
    train_seconds: float
    images_per_second: float  # of training, over all steps

    def to_dict(self) -> dict[str, Any]:
        """The `training` part of a run record."""
        return {
            "end": self.end,
            "best_epoch": max(epoch.epoch for epoch in self.epochs if epoch.best),
            "epochs": [asdict(epoch) for epoch in self.epochs],
            "prefix_digest": self.prefix_digest,
            "trained_stages": list(self.trained_stages),
            "execution": self.execution,
            "images_per_second": self.images_per_second,
        }


def tune(probe: Probe, store: Store, watcher: Watcher, folder: Path, *, resume: bool = False) -> Tuned:
    """Train the network right of ``probe.plan.cut``; history.csv and checkpoints go to ``folder``.

    Raises UsageError for settings that do not fit the data, DataError without val, StoreError when activations do not fit.
    """
    plan, dataset, backbone = probe.plan, probe.dataset, probe.backbone
    cold = plan.weights == "random" and plan.cut == "pixels"
    settings = training_settings(plan.training, cold=cold, seed=plan.seed)
    train, val = dataset.positions("train"), dataset.positions("val")
    if not len(val):
        raise DataError(
            f"{dataset.source} has no val pictures, by which training chooses its best epoch. Use --split 70/15/15."
        )
    before = prefix_digest(backbone, plan.cut)
    module = _start(probe, cold=cold)
    if not module.trained_stages:
        raise UsageError(
            f"--cut {plan.cut} leaves nothing to train: the head reads {', '.join(probe.taps)}, all left of the cut. "
            "Cut earlier, read more with --taps all, or train only a head on that stage with --epochs 0."
        )

    begin = time.perf_counter()
    with _reader(probe, module, store, watcher) as (read, n_views, hits, misses):
        extract_seconds = time.perf_counter() - begin
        batches = TrainBatches(
            labels=dataset.labels[train],
            read=lambda chosen, views: read(train[chosen], views),
            batch_size=plan.batch_size,
            seed=plan.seed,
            n_views=n_views,
            balanced=plan.class_weight == "balanced",
        )
        vals = ValBatches(
            labels=dataset.labels[val], read=lambda chosen, views: read(val[chosen], views), batch_size=plan.batch_size
        )
        identity = {"plan": plan.to_dict(), "data": dataset.fingerprint()}
        checkpoint = read_checkpoint(folder / CHECKPOINT, identity) if resume else None
        # Fixed for a kind of device, not measured in each run: a measurement that once turns out otherwise would change the numbers.
        execution = _same_execution(checkpoint) if checkpoint else default_execution()

        def save(state: Checkpoint) -> None:
            write_checkpoint(folder / CHECKPOINT, state, identity)

        begin = time.perf_counter()
        events = fine_tune(module, batches, vals, settings, execution=execution, resume=checkpoint, save=save)
        epochs, end, pictures = _follow(
            events, watcher, folder / "history.csv", len(batches) * settings.epochs, settings, plan.batch_size
        )
        train_seconds = time.perf_counter() - begin
    after = prefix_digest(backbone, plan.cut)
    if after != before:  # a promise to the user, so it is looked at in every run
        raise AssertionError(f"the frozen part changed during training: {before} before, {after} after")
    return Tuned(
        backbone=backbone,
        head=module.to_head(),
        epochs=tuple(epochs),
        end=end,
        prefix_digest=after,
        trained_stages=module.trained_stages,
        execution=execution.describe(),
        hits=hits,
        misses=misses,
        extract_seconds=extract_seconds,
        train_seconds=train_seconds,
        images_per_second=pictures / train_seconds,
    )


def training_settings(given: Any, *, cold: bool, seed: int) -> TrainingSettings:
    """The plan's settings over the defaults for pretrained or random weights. Raises UsageError."""
    try:
        return cold_settings(**{"seed": seed, **given}) if cold else TrainingSettings(**{"seed": seed, **given})
    except TypeError as reason:
        raise UsageError(f"plan key 'training': {reason}") from reason


def _start(probe: Probe, *, cold: bool) -> TunedSuffix:
    """The module before its first step: the frozen head on the frozen features, or zero on random ones."""
    if cold:
        return cold_start(probe.backbone, probe.taps, len(probe.dataset.class_names))
    X = probe.features(probe.dataset.positions("train"))
    mean, scale = mean_and_scale(X, np.ones((1, len(X)), np.float32))
    head = probe.choice.head
    assert isinstance(head, LinearHead)
    return TunedSuffix(probe.backbone, probe.plan.cut, probe.taps, head, mean[0], scale[0])


@contextmanager
def _reader(probe: Probe, module: TunedSuffix, store: Store, watcher: Watcher) -> Iterator[tuple[Read, int, int, int]]:
    """(what reads inputs of pictures by position and view, number of views, hits, misses)."""
    plan, pictures = probe.plan, probe.dataset.pictures
    if plan.cut == "pixels":
        names = view_names(plan.augment, FRESH_VIEWS) if plan.augment in ("none", "flip", "dihedral") else ()
        yield _pixel_reader(probe, names), len(names) or FRESH_VIEWS, 0, 0
        return
    stored, _ = split_taps(probe.backbone, plan.cut, probe.taps)
    prefix = cut_prefix(probe.backbone, plan.cut, stored, probe.preprocessing.size_px)
    graphs = machine.graphs_folder()
    proven = choose_engine(pictures, prefix, probe.preprocessing, engine=plan.engine, precision=plan.precision, graphs=graphs)
    names = view_names(plan.augment, plan.augment_views)
    shape = probe.backbone.shapes(probe.preprocessing.size_px)[plan.cut]
    width = sum(width for tap, width in prefix.layout if tap != "activations")
    with StoredRows(
        store,
        prefix,
        engine=proven.engine,
        precision=proven.precision,
        preprocessing=probe.preprocessing,
        graphs=graphs,
        on_progress=watcher.progress,
    ) as rows:
        learnt = [pictures[i] for i in probe.dataset.positions("train")]
        checked = [pictures[i] for i in probe.dataset.positions("val")]
        filled = [rows.fill(learnt, names), rows.fill(checked, names[:1])]

        def read(positions: np.ndarray, views: np.ndarray) -> Inputs:
            block = torch.from_numpy(rows.read([pictures[i] for i in positions], [names[v] for v in views]))
            return block[:, width:].reshape(-1, *shape), block[:, :width]

        yield read, len(names), sum(f.hits for f in filled), sum(f.misses for f in filled)


def _pixel_reader(probe: Probe, names: tuple[str, ...]) -> Read:
    """Decodes, augments and normalises on the spot, in threads. Without ``names`` view v > 0 is rendition v of the policy."""
    preprocessing, pictures, policy = probe.preprocessing, probe.dataset.pictures, probe.plan.augment
    normalise = Normalise(probe.backbone.spec.mean, probe.backbone.spec.std)
    threads = ThreadPoolExecutor(machine.cores())

    def one(position: int, view: int) -> np.ndarray:
        name = names[view] if names else ("plain" if view == 0 else f"{policy}-{view}")
        return render_views(pictures[position], [name], preprocessing)[0]

    def read(positions: np.ndarray, views: np.ndarray) -> Inputs:
        pixels = np.stack(list(threads.map(one, positions.tolist(), views.tolist())))
        return normalise(torch.from_numpy(pixels)), torch.zeros(len(pixels), 0)

    return read


def _same_execution(checkpoint: Checkpoint) -> Execution:
    """As the run was started: other kernels round otherwise."""
    then = checkpoint.execution
    return Execution(device=default_execution().device, precision=then["precision"], channels_last=then["channels last"])


def _follow(
    events: Iterator[Event], watcher: Watcher, history: Path, steps: int, settings: TrainingSettings, batch_size: int
) -> tuple[list[Epoch], str, int]:
    """Write history.csv and tell the watcher. Returns the epochs, why training ended, and how many pictures went through."""
    epochs: list[Epoch] = []
    end, pictures = "every epoch was run", 0
    fields = ("epoch", "step", "train_loss", "val_loss", "val_accuracy", "best", "learning_rate", "seconds")
    step, rate = 0, 0.0
    with history.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if file.tell() == 0:
            writer.writerow(fields)
        for event in events:
            match event:
                case Step():
                    step, rate = event.step, event.learning_rate
                    pictures += batch_size * settings.accumulate
                    watcher.progress("training", step, -(-steps // settings.accumulate))
                case Epoch():
                    epochs.append(event)
                    loss = "" if event.train_loss is None else f"{event.train_loss:.6f}"
                    writer.writerow(
                        [
                            event.epoch,
                            step,
                            loss,
                            f"{event.val_loss:.6f}",
                            f"{event.val_accuracy:.6f}",
                            int(event.best),
                            f"{rate:.3g}",
                            f"{event.seconds:.2f}",
                        ]
                    )
                    file.flush()
                    watcher.say(_line(event))
                case Resumed():
                    how = "exactly" if event.exact else f"not exactly ({'; '.join(event.differences)})"
                    watcher.say(f"resumed at step {event.step}, {how}")
                case _:
                    end = getattr(event, "reason", end)
    watcher.say(end)
    return epochs, end, pictures


def _line(epoch: Epoch) -> str:
    loss = "start, as the frozen head" if epoch.train_loss is None else f"train loss {epoch.train_loss:.3f}"
    return (
        f"epoch {epoch.epoch:>3}: {loss} · val loss {epoch.val_loss:.3f}, accuracy {epoch.val_accuracy:.3f}"
        f"{' ← best' if epoch.best else ''} · {epoch.seconds:.1f} s"
    )
