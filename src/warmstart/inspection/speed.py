"""How fast this machine is, in a few seconds: decoding, the frozen network through its engine, and training right of a cut.

    24 pictures → decode, in threads │ engine │ each stage alone │ forward and back right of each cut
    random rows → the matrix product that fitting a head consists of

B batch, N examples, D features, K classes, F folds.
"""

import copy
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.backbones.chain import Backbone, sequence, split
from warmstart.backbones.taps import Normalise
from warmstart.engines.protocol import Engine
from warmstart.extraction.ahead import map_ahead
from warmstart.extraction.rendering import render
from warmstart.records import Picture, Preprocessing
from warmstart.strategy.forecast import Speed

BATCH = 8
TIMED_S = 0.3  # a piece of work is repeated until it has taken so long in all

# What choosing a head comes to in evaluations of its loss, each two products of all features with the weights of all folds: 60 for five
# penalties (`heads.lbfgs`), and as many for the last fit to a closer tolerance, on one fold.
EVALUATIONS = 60
FITTED_ROWS, FITTED_COLUMNS = 256, 1024  # of the product that is timed


def decoding_per_second(pictures: Sequence[Picture], preprocessing: Preprocessing) -> float:
    """Pictures read, decoded and resized per second, one thread a core."""
    begin = time.perf_counter()
    for _ in map_ahead(lambda picture: render(picture.source, preprocessing), pictures):
        pass
    return len(pictures) / (time.perf_counter() - begin)


def engine_per_second(engine: Engine, pixels: np.ndarray) -> float:
    """Pictures uint8 (N, 3, S, S) through the engine per second."""
    batches = [(i, pixels[i : i + engine.batch_size]) for i in range(0, len(pixels), engine.batch_size)]
    return len(pixels) / _seconds(lambda: sum(1 for _ in engine.map(batches)))


def fit_seconds(n: int, widths: Sequence[int], *, n_classes: int, folds: int) -> float:
    """Seconds to choose among sets of features that are ``widths`` wide, by ``folds`` fits of a linear head on n pictures each."""
    X = np.ones((FITTED_ROWS, FITTED_COLUMNS), np.float32)
    seconds = {columns: _product_seconds(X, columns) for columns in {folds * n_classes, n_classes}}
    scale = n / FITTED_ROWS / FITTED_COLUMNS * EVALUATIONS * 2
    return scale * (sum(widths) * seconds[folds * n_classes] + max(widths) * seconds[n_classes])


def measure(backbone: Backbone, pixels: np.ndarray, cuts: Sequence[str], *, decode: float, engine: float) -> Speed:
    """The rest of `Speed`: shares of the stages, and training right of ``cuts``, on copies. ``pixels`` uint8 (N, 3, S, S)."""
    x = Normalise(backbone.spec.mean, backbone.spec.std)(torch.from_numpy(pixels[:BATCH])).contiguous(
        memory_format=torch.channels_last
    )
    network = copy.deepcopy(backbone)
    network.network.to(memory_format=torch.channels_last)
    at_cut: dict[str, Tensor] = {"pixels": x}
    spent: dict[str, float] = {"pixels": 0.0}
    with torch.inference_mode():
        sequence(network.links)(x)  # the first pass chooses kernels and fetches memory, so it is not timed
        for stage in network.stages:
            modules = nn.Sequential(*(link.module for link in network.links[stage.start : stage.stop]))
            begin, before = time.perf_counter(), list(spent.values())[-1]
            x = modules(x)
            seconds = time.perf_counter() - begin
            at_cut[stage.name], spent[stage.name] = x, before + seconds
    training = {cut: _training(network, cut, at_cut[cut].clone()) for cut in cuts}
    return Speed(
        decode=decode,
        engine=engine,
        share_left={cut: seconds / spent[network.stages[-1].name] for cut, seconds in spent.items()},
        train={cut: speed for cut, (speed, _) in training.items()},
        train_bytes_per_image={cut: size for cut, (_, size) in training.items()},
    )


def _training(network: Backbone, cut: str, x: Tensor) -> tuple[float, int]:
    """(images/s, bytes kept for the backward pass of one image) of forward and backward from the cut on."""
    _, suffix = split(network, cut)
    labels = torch.zeros(len(x), dtype=torch.long)
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def step() -> None:
        loss = nn.functional.cross_entropy(suffix(x).float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        suffix.zero_grad(set_to_none=True)

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()  # the first step chooses kernels and fetches memory, so it is not timed
    return len(x) / _seconds(step), sum(kept.values()) // len(x)


def _product_seconds(X: np.ndarray, columns: int) -> float:
    W = np.ones((X.shape[1], columns), np.float32)
    X @ W  # the first one starts threads
    return _seconds(lambda: X @ W)


def _seconds(work: Callable[[], object]) -> float:
    """Mean over rounds, and not the fastest: what else runs on this machine slows the run as well."""
    begin, rounds = time.perf_counter(), 0
    while rounds == 0 or time.perf_counter() - begin < TIMED_S:
        work()
        rounds += 1
    return max((time.perf_counter() - begin) / rounds, 1e-9)
