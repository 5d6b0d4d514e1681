"""One contract for every engine that can run here: rows depend on their own picture alone, and equal PyTorch's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from warmstart.engines import openvino, pytorch
from warmstart.engines.protocol import Engine

MakeEngine = Callable[[int], Engine]


@pytest.fixture(params=["openvino f32", "openvino bf16", "pytorch f32"])
def make_engine(request: pytest.FixtureRequest, toy_module: nn.Module, tmp_path: Path) -> MakeEngine:
    name, precision = request.param.split()
    if name == "pytorch":

        def make(threads: int) -> Engine:
            torch.set_num_threads(threads)
            return pytorch.PyTorchEngine(toy_module, precision=precision, device="cpu")

        return make
    if precision not in openvino.precisions():
        pytest.skip("this processor has no bf16 arithmetic of its own")
    graph = tmp_path / "graph.xml"
    openvino.save(openvino.converted(toy_module, 32), graph, half=False)
    return lambda threads: openvino.OpenVinoEngine(graph, precision=precision, threads=threads)


def run(engine: Engine, pictures: np.ndarray, order: list[int], batch_size: int) -> np.ndarray:
    """Rows of all pictures in their own order, run in batches of the given order."""
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    rows = {}
    for positions, computed in engine.map((batch, pictures[batch]) for batch in batches):
        rows.update(zip(positions, computed, strict=True))
    return np.stack([rows[i] for i in range(len(pictures))])


def test_a_row_is_the_same_bits_whatever_batch_size_order_companions_and_threads(
    make_engine: MakeEngine, pictures: np.ndarray
) -> None:
    one_by_one = run(make_engine(1), pictures, list(range(16)), 1)
    shuffled = np.random.default_rng(1).permutation(16).tolist()
    for threads in (1, 2):
        engine = make_engine(threads)
        for batch_size in (1, 3, 4, 16):
            assert np.array_equal(run(engine, pictures, list(range(16)), batch_size), one_by_one)
            assert np.array_equal(run(engine, pictures, shuffled, batch_size), one_by_one)
    alone = run(make_engine(2), pictures[5:6], [0], 1)
    assert np.array_equal(alone[0], one_by_one[5])


def test_rows_are_those_of_plain_pytorch(make_engine: MakeEngine, toy_module: nn.Module, pictures: np.ndarray) -> None:
    with torch.inference_mode():
        reference = toy_module(torch.from_numpy(pictures)).numpy()
    engine = make_engine(1)
    rows = run(engine, pictures, list(range(16)), 4)
    assert rows.dtype == np.float32
    error = np.linalg.norm(rows - reference) / np.linalg.norm(reference - reference.mean(axis=0))
    assert error < {"bf16": 0.05, "f32": 1e-4}[engine.precision]


def test_an_engine_draws_a_batch_only_when_it_has_room(make_engine: MakeEngine, pictures: np.ndarray) -> None:
    drawn = 0

    def source():  # type: ignore[no-untyped-def]
        nonlocal drawn
        for i in range(200):
            drawn += 1
            yield i, pictures[:4]

    results = make_engine(1).map(source())
    next(results)
    assert drawn < 100


def test_stopping_early_leaves_the_engine_usable(make_engine: MakeEngine, pictures: np.ndarray) -> None:
    engine = make_engine(1)
    for _ in engine.map((i, pictures[:4]) for i in range(50)):
        break
    assert len(list(engine.map([(0, pictures[:4])]))) == 1
