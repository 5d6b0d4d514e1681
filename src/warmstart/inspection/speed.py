"""How fast this machine is, in a few seconds: decoding, the frozen network through its engine, and training right of a cut.

    24 pictures → decode, in threads │ engine │ each stage alone │ forward and back right of each cut

B batch.
"""

import copy
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.backbones.chain import Backbone, split
from warmstart.backbones.taps import Normalise
from warmstart.engines.protocol import Engine
from warmstart.extraction.ahead import map_ahead
from warmstart.extraction.rendering import render
from warmstart.records import Picture, Preprocessing
from warmstart.strategy.forecast import Speed

BATCH = 8
ROUNDS = 3  # the faster one counts: a neighbour's load only ever slows


def decoding_per_second(pictures: Sequence[Picture], preprocessing: Preprocessing) -> float:
    """Pictures read, decoded and resized per second, one thread a core."""
    begin = time.perf_counter()
    for _ in map_ahead(lambda picture: render(picture.source, preprocessing), pictures):
        pass
    return len(pictures) / (time.perf_counter() - begin)


def engine_per_second(engine: Engine, pixels: np.ndarray) -> float:
    """Pictures uint8 (N, 3, S, S) through the engine per second."""
    batches = [(i, pixels[i : i + engine.batch_size]) for i in range(0, len(pixels), engine.batch_size)]
    return len(pixels) / _fastest(lambda: sum(1 for _ in engine.map(batches)))


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
        for stage in network.stages:
            modules = nn.Sequential(*(link.module for link in network.links[stage.start : stage.stop]))
            seconds, before = _fastest(lambda m=modules, x=x: m(x)), list(spent.values())[-1]  # type: ignore[misc]
            x = modules(x)
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
    return len(x) / _fastest(step), sum(kept.values()) // len(x)


def _fastest(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return max(min(seconds), 1e-9)
