"""How fast this machine is, in a few seconds: decoding, the frozen network through its engine, and training right of a cut.

    24 pictures → decode, in threads │ engine │ each stage alone, forward and back
    random rows → the matrix product that fitting a head consists of

B batch, N examples, D features, K classes, F folds.
"""

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.backbones.chain import Backbone, sequence
from warmstart.backbones.taps import Normalise
from warmstart.engines.protocol import Engine
from warmstart.extraction.prefetch import map_ahead
from warmstart.extraction.rendering import render_views
from warmstart.records import Picture, Preprocessing
from warmstart.strategy.forecast import Speed

BATCH = 8
ROUNDS = 2
TIMED_S = 0.3  # a piece of work is repeated until it has taken so long in all
TIMED_PRODUCT_S = 0.05  # of well below a millisecond each

# What choosing a head comes to in evaluations of its loss, each two products of all features with the weights of all folds: 60 for five
# penalties (`heads.lbfgs`), and as many for the last fit to a closer tolerance, on one fold.
EVALUATIONS = 60
FITTED_ROWS, FITTED_COLUMNS = 256, 1024  # of the product that is timed


def decoding_per_second(pictures: Sequence[Picture], preprocessing: Preprocessing) -> float:
    """Pictures read, decoded and resized per second, one thread a core."""
    begin = time.perf_counter()
    for _ in map_ahead(lambda picture: render_views(picture, ("plain",), preprocessing), pictures):
        pass
    return len(pictures) / (time.perf_counter() - begin)


def engine_per_second(engine: Engine, pixels: np.ndarray) -> float:
    """Pictures uint8 (N, 3, S, S) through the engine per second."""
    batches = [(i, pixels[i : i + engine.batch_size]) for i in range(0, len(pixels), engine.batch_size)]
    return len(pixels) / _seconds(lambda: sum(1 for _ in engine.map(batches)))


def fit_seconds(n: int, widths: Sequence[int], *, n_outputs: int, folds: int) -> float:
    """Seconds to choose among sets of features that are ``widths`` wide, by ``folds`` fits of a linear head on n pictures each."""
    X = np.ones((FITTED_ROWS, FITTED_COLUMNS), np.float32)
    seconds = {columns: _product_seconds(X, columns) for columns in {folds * n_outputs, n_outputs}}
    scale = n / FITTED_ROWS / FITTED_COLUMNS * EVALUATIONS * 2
    return scale * (sum(widths) * seconds[folds * n_outputs] + max(widths) * seconds[n_outputs])


def measure(backbone: Backbone, pixels: np.ndarray, cuts: Sequence[str], *, decode: float, engine: float) -> Speed:
    """The rest of `Speed`: shares of the stages, and training right of ``cuts``, on a copy. ``pixels`` uint8 (N, 3, S, S).

    Every stage is run forward and back once; what a cut takes is the sum over the stages right of it.
    """
    x = Normalise(backbone.spec.mean, backbone.spec.std)(torch.from_numpy(pixels[:BATCH])).contiguous(
        memory_format=torch.channels_last
    )
    network = copy.deepcopy(backbone)
    network.network.to(memory_format=torch.channels_last)
    first = min((network.cuts.index(cut) for cut in cuts), default=len(network.stages))
    parts: list[_StageSeconds] = []
    for number, stage in enumerate(network.stages):
        x, part = _stage_seconds(sequence(network.links[stage.start : stage.stop]), x, backward=number >= first)
        parts.append(part)
    left = list(itertools.accumulate((part.forward for part in parts), initial=0.0))
    right = {cut: parts[network.cuts.index(cut) :] for cut in cuts}
    return Speed(
        decode=decode,
        engine=engine,
        share_left={cut: seconds / left[-1] for cut, seconds in zip(network.cuts, left, strict=True)},
        train={cut: len(x) / sum(part.forward + part.backward for part in stages) for cut, stages in right.items()},
        train_bytes_per_image={cut: sum(part.kept_bytes for part in stages) // len(x) for cut, stages in right.items()},
    )


@dataclass(frozen=True, slots=True)
class _StageSeconds:
    """One stage on a batch."""

    forward: float
    backward: float  # 0 where it was not asked for
    kept_bytes: int  # for the backward pass


def _stage_seconds(stage: nn.Module, x: Tensor, *, backward: bool) -> tuple[Tensor, _StageSeconds]:
    """(output, what it took): the faster of two rounds, after one in which kernels are chosen and memory is fetched.

    Timed once, the first process of a session came out a third too slow.
    """
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    rounds: list[tuple[float, float]] = []  # forward, backward
    with torch.set_grad_enabled(backward), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        for _ in range(1 + ROUNDS):
            kept.clear()
            start = time.perf_counter()
            y = stage(x.detach().requires_grad_(backward))
            between = time.perf_counter()
            if backward:
                y.backward(torch.ones_like(y))
            rounds.append((between - start, time.perf_counter() - between if backward else 0.0))
    forward, back = min(rounds[1:], key=sum)
    return y.detach(), _StageSeconds(forward, back, sum(kept.values()))


def _product_seconds(X: np.ndarray, columns: int) -> float:
    W = np.ones((X.shape[1], columns), np.float32)
    X @ W  # the first one starts threads
    return _seconds(lambda: X @ W, TIMED_PRODUCT_S)


def _seconds(work: Callable[[], object], at_least: float = TIMED_S) -> float:
    """Mean over rounds, and not the fastest: what else runs on this machine slows the run as well."""
    begin, rounds = time.perf_counter(), 0
    while rounds == 0 or time.perf_counter() - begin < at_least:
        work()
        rounds += 1
    return max((time.perf_counter() - begin) / rounds, 1e-9)
