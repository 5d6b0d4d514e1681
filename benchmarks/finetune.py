"""Training right of a cut: the usual loop, the same tuned, and ours. One run, interleaved, same pictures, same backbone.

    python benchmarks/finetune.py DATA [--rounds 3] [--images 640] [--cuts stage4 stage5]

EfficientNet-Lite0 at 224 px on the CPU, batch 32, AdamW, float32, at each cut:

(a) usual   the whole network in train mode and NCHW, what is left of the cut without gradient; two loader workers decode in every
            epoch (PIL, random resized crop, flip, normalise)
(b) tuned   the same with model and batches channels-last, and what is left of the cut in eval mode under no_grad
(c) ours    what `warmstart train --cut` does: head and activations from an empty store, then its training loop, which reads them;
            with 1 view of each picture (plain), with 4 (`--augment standard`), and with batch norm updating right of the cut, as it
            does in (a) and (b), where our default leaves its statistics as they came

A speed is pictures that went through forward, backward and update, by wall-clock seconds, reading or decoding them included. The
first steps of a process, validation and checkpoints count for nobody. Each measurement is a process of its own. (a) and (b)
train on the first ``--images`` pictures of a shuffled epoch; (c) goes through at least as many and at least one epoch.

The second table adds what (c) takes before its first step: loading, digests, proof of the engine, features of all pictures, the
choice of the head, activations of train in every view and of val. (a) and (b) start at once, and are not charged for loading.
"""

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from warmstart.session.training_inputs import TrainingInputs

BACKBONE, SIZE_PX, BATCH_SIZE = "efficientnet_lite0", 224, 32
LEARNING_RATE = 3e-4  # it has no influence on speed
WORKERS = 2
WARM_UP = 4  # steps in which kernels are chosen, memory is fetched and queues fill
EPOCHS = 10  # of the second table
EXECUTION_STEPS = 12
ONCE = ("ours, 4 views", "ours, norm updates")  # measured in the first round only: beside the claim, and long


def peer(data: str, cut: str, images: int, *, tuned: bool) -> dict[str, Any]:
    """Training as most people write it, with a new classifier on the pooled features."""
    import torch
    from PIL import Image
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from warmstart.backbones.chain import split
    from warmstart.backbones.freezing import replace_classifier
    from warmstart.backbones.weights import load_backbone
    from warmstart.data.listing import read_listing
    from warmstart.plan import Plan
    from warmstart.session.dataset import prepare
    from warmstart.session.progress import NullProgress
    from warmstart.session.session import Session
    from warmstart.session.settings import TrainSettings
    from warmstart.tasks.classify.task import TASK

    with Session.opened(TrainSettings(), TASK, NullProgress()) as session:
        dataset = prepare(read_listing(data), Plan(), session)
    train = dataset.positions("train")
    backbone = replace_classifier(load_backbone(BACKBONE), len(dataset.targets.class_names))
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE_PX),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(backbone.spec.mean, backbone.spec.std),
        ]
    )

    class Pictures(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(train)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            picture = Image.open(dataset.pictures[train[i]].path).convert("RGB")
            return transform(picture), int(dataset.targets.labels[train[i]])

    layout = torch.channels_last if tuned else torch.contiguous_format
    network = backbone.network.to(memory_format=layout).train()  # type: ignore[call-overload]
    prefix, suffix = split(backbone, cut)
    prefix.requires_grad_(False).train(not tuned)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=LEARNING_RATE)

    def step(pixels: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad()
        if tuned:
            with torch.no_grad():
                activations = prefix(pixels.to(memory_format=layout))
            logits = suffix(activations)
        else:
            logits = network(pixels)
        cross_entropy(logits, labels).backward()
        optimizer.step()

    loader = DataLoader(Pictures(), batch_size=BATCH_SIZE, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    done, begin = 0, 0.0
    for number, (pixels, labels) in enumerate(_endless(loader)):
        step(pixels, labels)
        done += len(labels) if number >= WARM_UP else 0
        if number == WARM_UP - 1:
            begin = time.perf_counter()
        if done >= images:
            break
    return {"images": done, "seconds": time.perf_counter() - begin, "train_images": len(train), "before": 0.0}


def ours(data: str, cut: str, images: int, *, augment: str = "none", batch_norm: str = "stored") -> dict[str, Any]:
    """`warmstart train --cut` up to its last step."""
    from warmstart.training.events import Step
    from warmstart.training.execution import default_execution
    from warmstart.training.loop import fine_tune

    with _prepared(data, cut, augment, batch_norm) as (inputs, before):
        train_images, execution = inputs.batches.n, default_execution()
        done, seconds = 0, 0.0
        events_of_training = fine_tune(
            inputs.module, inputs.batches, inputs.val, inputs.objective, inputs.settings, execution=execution
        )
        with closing(events_of_training) as events:
            last = time.perf_counter()
            for event in events:
                now = time.perf_counter()
                if isinstance(event, Step) and event.step > WARM_UP:
                    done, seconds = done + event.pictures, seconds + now - last
                if done >= max(images, train_images):
                    break
                last = time.perf_counter()
    return {
        "images": done,
        "seconds": seconds,
        "train_images": train_images,
        "before": before,
        "execution": execution.describe(),
    }


def executions(data: str, cut: str, images: int) -> dict[str, Any]:
    """images/s of our step, on one batch that is in memory, in each memory format and precision. In turn, on copies."""
    from warmstart.training.execution import Execution
    from warmstart.training.optimisation import make_optimizer
    from warmstart.training.tuned import set_training
    from warmstart.training.update import update

    candidates = {
        "channels-last float32": Execution(),
        "contiguous float32": Execution(channels_last=False),
        "channels-last bf16 autocast": Execution(precision="bf16"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    with _prepared(data, cut, "none", "stored") as (inputs, _):
        batch = next(inputs.batches.epoch(0, 0))
        trials = {name: copy.deepcopy(inputs.module) for name in candidates}
        for name, trial in trials.items():
            candidates[name].adopt(trial)
            set_training(trial, inputs.settings.batch_norm)
        optimizers = {name: make_optimizer(trial, inputs.settings) for name, trial in trials.items()}
        for number in range(WARM_UP + EXECUTION_STEPS):
            for name, execution in candidates.items():
                begin = time.perf_counter()
                update(trials[name], optimizers[name], [batch], inputs.objective, inputs.settings, execution, step=number)
                if number >= WARM_UP:
                    seconds[name].append(time.perf_counter() - begin)
    return {name: len(batch[1]) / statistics.median(taken) for name, taken in seconds.items()}


METHODS: dict[str, Callable[[str, str, int], dict[str, Any]]] = {
    "usual": partial(peer, tuned=False),
    "tuned": partial(peer, tuned=True),
    "ours, 1 view": ours,
    "ours, 4 views": partial(ours, augment="standard"),
    "ours, norm updates": partial(ours, batch_norm="update"),
}


@contextmanager
def _prepared(data: str, cut: str, augment: str, batch_norm: str) -> "Iterator[tuple[TrainingInputs, float]]":
    """(what training works on, seconds that it took to get there): the stations of `warmstart train` before its first step."""
    begin = time.perf_counter()
    from warmstart.data.listing import read_listing
    from warmstart.plan import Plan
    from warmstart.session.probe import probe
    from warmstart.session.progress import NullProgress
    from warmstart.session.session import Session
    from warmstart.session.settings import TrainSettings
    from warmstart.session.training_inputs import training_inputs
    from warmstart.tasks.classify.task import TASK

    plan = Plan(
        backbone=BACKBONE,
        cut=cut,
        image_size_px=SIZE_PX,
        batch_size=BATCH_SIZE,
        augment=augment,
        training={"epochs": EPOCHS, "batch_norm": batch_norm, "learning_rate": LEARNING_RATE},
    )
    with Session.opened(TrainSettings(), TASK, NullProgress()) as session:
        seen = probe(read_listing(data), plan, session)
        with training_inputs(seen, session) as inputs:
            yield inputs, time.perf_counter() - begin


def in_process(what: str, data: str, cut: str, images: int) -> dict[str, Any]:
    """Run one measurement of this file in a process of its own, with an empty store, on the CPU even where there is a GPU."""
    command = [sys.executable, "-W", "ignore", __file__, data, "--only", what, "--cuts", cut, "--images", str(images)]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"WARMSTART_CACHE": cache, "CUDA_VISIBLE_DEVICES": ""}
        result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=640, help="pictures that (a) and (b) are timed over in each round")
    parser.add_argument("--cuts", nargs="+", default=["stage4", "stage5"])
    parser.add_argument("--only", choices=(*METHODS, "executions"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        measure = METHODS.get(options.only, executions)
        print(json.dumps(measure(options.data, options.cuts[0], options.images)))
        return

    measured: dict[tuple[str, str], list[dict[str, Any]]] = {(cut, name): [] for cut in options.cuts for name in METHODS}
    for round_number in range(options.rounds):
        for (cut, name), rounds in measured.items():
            if round_number == 0 or name not in ONCE:
                rounds.append(in_process(name, options.data, cut, options.images))
        print(f"round {round_number + 1} of {options.rounds} done, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    by_execution = {cut: in_process("executions", options.data, cut, options.images) for cut in options.cuts}

    where = f"{Path(options.data).resolve().name}: Lite0, {SIZE_PX} px, batch {BATCH_SIZE}, AdamW, {os.cpu_count()} cores"
    console = Console(width=130)
    rounds = f"median (min-max) of {options.rounds} rounds, of one round for {' and '.join(ONCE)}"
    console.print(_speeds(measured, f"{where}, {rounds}"))
    console.print(_totals(measured))
    console.print(_executions(by_execution))
    chosen = measured[options.cuts[0], "ours, 1 view"][0]["execution"]
    console.print("ours ran as " + ", ".join(f"{what} {value}" for what, value in chosen.items()))
    console.print(f"load average at the end {os.getloadavg()[0]:.1f}")


def _speeds(measured: dict[tuple[str, str], list[dict[str, Any]]], title: str) -> Table:
    """Ratios are taken inside a round, so that what slowed a whole round down falls out."""
    table = Table(title=title)
    for column in ("cut", "", "pictures a round", "images/s", "× usual", "× tuned"):
        table.add_column(column, justify="right" if column not in ("cut", "") else "left")
    speeds = {key: [r["images"] / r["seconds"] for r in rounds] for key, rounds in measured.items()}
    for (cut, name), of_rounds in speeds.items():
        ratios = [[a / b for a, b in zip(of_rounds, speeds[cut, other], strict=False)] for other in ("usual", "tuned")]
        table.add_row(
            cut, name, f"{measured[cut, name][0]['images']:,}", _spread(of_rounds, 1), *(_spread(ratio, 2) for ratio in ratios)
        )  # fmt: skip
    return table


def _totals(measured: dict[tuple[str, str], list[dict[str, Any]]]) -> Table:
    """Also the last two columns are of times within a round: how many times sooner it is done."""
    train_images = next(iter(measured.values()))[0]["train_images"]
    table = Table(title=f"{EPOCHS} epochs over {train_images:,} pictures from an empty store; epochs from the images/s above")
    for column in ("cut", "", "before the first step, s", f"{EPOCHS} epochs, s", "together, s", "× usual", "× tuned"):
        table.add_column(column, justify="right" if column not in ("cut", "") else "left")
    training = {
        key: [EPOCHS * r["train_images"] * r["seconds"] / r["images"] for r in rounds] for key, rounds in measured.items()
    }
    totals = {
        key: [r["before"] + seconds for r, seconds in zip(rounds, training[key], strict=True)]
        for key, rounds in measured.items()
    }
    for (cut, name), total in totals.items():
        before = [r["before"] for r in measured[cut, name]]
        ratios = [[a / b for a, b in zip(totals[cut, other], total, strict=False)] for other in ("usual", "tuned")]
        table.add_row(
            cut, name, _spread(before, 1) if any(before) else "-", f"{statistics.median(training[cut, name]):,.0f}",
            _spread(total, 0), *(_spread(ratio, 2) for ratio in ratios),
        )  # fmt: skip
    return table


def _executions(by_execution: dict[str, dict[str, float]]) -> Table:
    table = Table(title=f"Our step on one batch in memory, images/s, median of {EXECUTION_STEPS}")
    table.add_column("cut")
    for name in next(iter(by_execution.values())):
        table.add_column(name, justify="right")
    for cut, speeds in by_execution.items():
        table.add_row(cut, *(f"{speed:.1f}" for speed in speeds.values()))
    return table


def _spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def _endless(batches: Any) -> Iterator[Any]:
    while True:
        yield from batches


if __name__ == "__main__":
    main()
