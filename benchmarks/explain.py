"""Do heat-maps show where a class is? Two pictures of different classes side by side: each class's map should lie on its own half.

    python benchmarks/explain.py DATA RUN [RUN …] [--composites 100] [--split test] [--candidates] [--alternatives 20]

DATA is a folder with train, val and test; RUN are run folders trained on it. A composite is a square whose halves are the centre
windows, twice as high as wide, of two pictures drawn with their classes by a seed, in random order; it goes the whole way of `warmstart
explain`, the centre crop included. A map is right when more than half of its mass lies on the half of its class; an empty map is
wrong. A composite is right when both of its maps are. No prediction is asked for: composites whose classes the model does not see count.

--candidates     other windows and stages, and Grad-CAM of the logit; the defaults were chosen on val by this
--alternatives   other gradient-free methods, on this many composites: a grey square on the pixels, RISE, Ablation-CAM
"""

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from warmstart.backbones.taps import mean_and_deviation
from warmstart.data.listing import read_listing
from warmstart.data.views import over_picture
from warmstart.extraction.rendering import render, upright
from warmstart.model.predictor import Model, load
from warmstart.records import Listing
from warmstart.tasks.classify.evidence.probing import wilson
from warmstart.tasks.classify.explain import grad_cam, occlusion
from warmstart.tasks.classify.explain.attribution_model import AttributionModel, ForwardPass, column_indices, look
from warmstart.tasks.classify.explain.explanation import subject_of
from warmstart.tasks.classify.heads_in_torch import logits

SIDE_PX = 448
RISE_MASKS, CELLS = 128, 7

Maps = dict[str, list[np.ndarray]]  # method → maps of the left and of the right class, over the network's input


def composites(listing: Listing, split: str, count: int, seed: int) -> Iterator[tuple[Image.Image, str, str]]:
    """(picture, class of its left half, class of its right half)."""
    draw = random.Random(seed)
    paths: dict[str, list[str]] = defaultdict(list)
    for example in listing.examples:
        if example.split == split:
            paths[example.class_name].append(example.path)
    for _ in range(count):
        page = Image.new("RGB", (SIDE_PX, SIDE_PX))
        names = draw.sample(sorted(paths), 2)
        for side, name in enumerate(names):
            page.paste(_half(draw.choice(paths[name])), (side * SIDE_PX // 2, 0))
        yield page, *names


def _half(path: str) -> Image.Image:
    picture = upright(path, 2 * SIDE_PX)
    width = min(picture.width, picture.height / 2)
    left, top = (picture.width - width) / 2, (picture.height - 2 * width) / 2
    box = (left, top, left + width, top + 2 * width)
    return picture.resize((SIDE_PX // 2, SIDE_PX), Image.Resampling.BICUBIC, box=box)


def defaults(subject: AttributionModel, seen: ForwardPass, labels: tuple[int, int]) -> Maps:
    """What `warmstart explain` gives for each method."""
    layer = occlusion.default_layer(subject, seen)
    maps = {f"occlusion {layer}": [occlusion.occlusion(subject, seen, label, layer).values for label in labels]}
    if subject.head.name != "knn":
        layer = grad_cam.last_layer_read(subject, seen)
        maps[f"grad-cam {layer}"] = [grad_cam.grad_cam(subject, seen, label, layer).values for label in labels]
    return maps


def candidates(subject: AttributionModel, seen: ForwardPass, labels: tuple[int, int]) -> Maps:
    """Occlusion with other windows, Grad-CAM at the last four stages that the head reads, and Grad-CAM of the logit."""
    out: Maps = {}
    stages = subject.layers(seen.maps)[-4:]
    layer = occlusion.default_layer(subject, seen)
    for sevenths in (1, 2, 3):
        maps = [occlusion.occlusion(subject, seen, label, layer, window=sevenths / 7).values for label in labels]
        out[f"occlusion {layer}, windows of {sevenths}/7"] = maps
    last = stages.index(grad_cam.last_layer_read(subject, seen))
    for layer in stages[: last + 1]:
        out[f"grad-cam {layer}"] = [grad_cam.grad_cam(subject, seen, label, layer).values for label in labels]
        out[f"grad-cam of the logit {layer}"] = [_of_the_logit(subject, seen, label, layer) for label in labels]
    return out


def alternatives(
    model: Model, subject: AttributionModel, seen: ForwardPass, pixels: np.ndarray, labels: tuple[int, int]
) -> Maps:
    """Gradient-free methods that we did not take, of the same log-odds. Masked pictures go through the model's engine."""
    out: Maps = {}
    whole = seen.rows.detach().numpy()
    squares = occlusion.windows(CELLS, CELLS)  # as large and as many as our own at the last stage
    size = pixels.shape[1:]
    on_pixels = np.stack([np.asarray(Image.fromarray(square).resize(size, Image.Resampling.NEAREST)) for square in squares])
    rows = _through_engine(model, np.where(on_pixels[:, None], np.uint8(128), pixels))
    lost = [subject.evidence(whole, label) - subject.evidence(rows, label) for label in labels]
    out["grey square on the pixels"] = [np.tensordot(loss, squares, axes=1) / squares.sum(axis=0) for loss in lost]

    masks = _rise_masks(pixels.shape[1])
    masked = (pixels * masks[:, None] + 128 * (1 - masks[:, None])).astype(np.uint8)
    rows = _through_engine(model, masked)
    odds = [subject.evidence(rows, label) for label in labels]
    out[f"RISE, {RISE_MASKS} masks"] = [np.tensordot(o - o.mean(), masks - masks.mean(0), axes=1) for o in odds]

    layer = grad_cam.last_layer_read(subject, seen)
    activations = seen.maps[layer].detach()  # (1, C, H, W); nothing that the head reads lies right of it
    without = activations.expand(activations.shape[1], -1, -1, -1).clone()
    channels = torch.arange(len(without))
    without[channels, channels] = 0
    start = dict(zip((t for t, _ in subject.layout), np.cumsum([0, *(w for _, w in subject.layout)]), strict=False))[layer]
    rows = np.repeat(whole, len(without), axis=0)
    rows[:, start : start + 2 * len(without)] = mean_and_deviation(without).numpy()
    weights = [subject.evidence(whole, label) - subject.evidence(rows, label) for label in labels]
    out[f"Ablation-CAM {layer}"] = [np.tensordot(w, activations[0].numpy(), axes=1) for w in weights]
    return {name: [np.maximum(values, 0).astype(np.float32) for values in maps] for name, maps in out.items()}


def _of_the_logit(subject: AttributionModel, seen: ForwardPass, label: int, layer: str) -> np.ndarray:
    logit = logits(subject.head, seen.rows[:, column_indices(subject.layout, subject.taps)])[0, label]
    (gradient,) = torch.autograd.grad(logit, [seen.maps[layer]], retain_graph=True)
    values = (gradient.mean(dim=(2, 3), keepdim=True) * seen.maps[layer]).sum(dim=1)[0]
    return np.maximum(values.detach().numpy(), 0)


def _through_engine(model: Model, pixels: np.ndarray) -> np.ndarray:
    engine = model._open_engine()
    step = engine.batch_size
    starts = range(0, len(pixels), step)
    found = dict(engine.map((start, np.ascontiguousarray(pixels[start : start + step])) for start in starts))
    return np.concatenate([found[start] for start in starts])


def _rise_masks(side: int) -> np.ndarray:
    """V. Petsiuk, A. Das, K. Saenko, BMVC 2018, §3.2: half of 7 × 7 cells, enlarged and shifted. float32 (N, S, S)."""
    draw = np.random.default_rng(0)
    cell = -(-side // CELLS)
    out = []
    for _ in range(RISE_MASKS):
        small = Image.fromarray((draw.random((CELLS, CELLS)) < 0.5).astype(np.float32))
        large = np.asarray(small.resize(((CELLS + 1) * cell,) * 2, Image.Resampling.BILINEAR))
        top, left = draw.integers(0, cell, 2)
        out.append(large[top : top + side, left : left + side])
    return np.stack(out)


def own_shares(maps: list[np.ndarray], mode: str) -> list[float]:
    """Of the left class's map and the right class's: the share of its mass on its own half; 0 for an empty one."""
    shares = []
    for side, values in enumerate(maps):
        heat = over_picture(values, (SIDE_PX, SIDE_PX), mode=mode)
        own = heat[:, side * SIDE_PX // 2 : (side + 1) * SIDE_PX // 2].sum()
        shares.append(float(own / heat.sum()) if heat.any() else 0.0)
    return shares


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--composites", type=int, default=100)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--candidates", action="store_true")
    parser.add_argument("--alternatives", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    console = Console(width=120)
    listing = read_listing(given.data)
    for run in given.runs:
        model = load(run)
        subject = subject_of(model)
        shares: dict[str, list[list[float]]] = defaultdict(list)
        begin = time.perf_counter()
        for number, (picture, *names) in enumerate(composites(listing, given.split, given.composites, given.seed)):
            labels = (model.class_names.index(names[0]), model.class_names.index(names[1]))
            pixels = render(picture, model.preprocessing)
            seen = look(subject, pixels, gradients=True)
            maps = candidates(subject, seen, labels) if given.candidates else defaults(subject, seen, labels)
            if number < given.alternatives:
                maps |= alternatives(model, subject, seen, pixels, labels)
            for method, both in maps.items():
                shares[method].append(own_shares(both, model.preprocessing.resize))
        took = time.perf_counter() - begin
        title = f"{Path(run).name}: head {model.head_name}, taps {','.join(model.taps)}, {given.split}, {took:.0f} s"
        table = Table("method", "composites", "both maps right", "95 % interval", "maps right", "mean share", title=title)
        for method, found in shares.items():
            rows = np.array(found)
            right = int((rows > 0.5).all(axis=1).sum())
            low, high = wilson(right, len(rows))
            numbers = (f"{right / len(rows):.0%}", f"{low:.0%}-{high:.0%}", f"{(rows > 0.5).mean():.1%}", f"{rows.mean():.2f}")
            table.add_row(method, str(len(rows)), *numbers)
        console.print(table)


if __name__ == "__main__":
    main()
