"""What a busy machine costs: threads that wait by turning in circles, and threads that sleep. Training right of a cut, and choosing a head.

    python benchmarks/busy.py [--rounds 3] [--cut stage5]

torch's threads (libgomp) and numpy's (OpenBLAS) wait for each other by spinning unless they are told not to, by variables that are read
when the libraries are loaded: OMP_WAIT_POLICY and OPENBLAS_THREAD_TIMEOUT. Alone on a machine that saves microseconds. Where something
else runs, the thread that is waited for may not be on a core, and the others burn its time. The command line sets the first of them
(`machine.wait_asleep`); of the second the figures here do not say that it helps.

Each measurement is a process of its own: beside nothing, and beside one process for each core that counts. Medians of ``--rounds``,
interleaved.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

SLEEPS = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_THREAD_TIMEOUT": "4"}
WAITING = {"spinning": {}, "sleeping": SLEEPS}
STEPS, BATCH_SIZE = 20, 32


def train_step(cut: str) -> float:
    """Seconds of a step right of the cut: forward, backward, AdamW; the network and the activations are random."""
    import torch

    from warmstart import load_backbone, split

    torch.manual_seed(0)
    backbone = load_backbone("efficientnet_lite0", weights="random")
    _, suffix = split(backbone, cut)
    x = torch.randn(BATCH_SIZE, *backbone.shapes(224)[cut])
    suffix = suffix.train().to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(suffix.parameters())
    times = []
    for _ in range(STEPS):
        begin = time.perf_counter()
        optimizer.zero_grad()
        suffix(x).square().mean().backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[4:])


def head(threads: int) -> float:
    """Seconds to choose and fit the usual head: 1,500 drawn pictures of 10 classes, 2,048 features."""
    import numpy as np

    from warmstart import machine
    from warmstart.tasks.classify.selection import choose_head

    random = np.random.default_rng(0)
    y = np.arange(1500) % 10
    X = (random.normal(size=(10, 2048))[y] * 0.15 + random.normal(size=(1500, 2048))).astype(np.float32)
    begin = time.perf_counter()
    with machine.calm_blas(threads):
        choose_head("linear", {"all": X}, y, n_classes=10, train=np.arange(1500), val=np.arange(0))
    return time.perf_counter() - begin


@contextmanager
def beside(processes: int) -> Iterator[None]:
    """So many processes that count, at the same priority."""
    counting = [multiprocessing.Process(target=_count, daemon=True) for _ in range(processes)]
    for one in counting:
        one.start()
    try:
        yield
    finally:
        for one in counting:
            one.terminate()
            one.join()


def _count() -> None:
    while True:
        pass


def main() -> None:
    """A row for each kind of work and each load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cut", default="stage5")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        kind, _, what = asked.one.partition(":")
        print(train_step(what) if kind == "train" else head(int(what)))
        return
    cores = os.cpu_count() or 1
    works = [f"train:{asked.cut}", *(f"head:{threads}" for threads in sorted({1, cores}))]
    found: dict[tuple[str, int, str], list[float]] = {}
    for _ in range(asked.rounds):
        for work in works:
            for others in (0, cores):
                for name, variables in WAITING.items():
                    with beside(others):
                        said = subprocess.run(
                            [sys.executable, __file__, "--one", work],
                            env={**os.environ, **variables},
                            capture_output=True,
                            text=True,
                            check=True,
                        )
                    found.setdefault((work, others, name), []).append(float(said.stdout.split()[-1]))
    table = Table("work", "beside", *WAITING, "spinning / sleeping")
    for work in works:
        for others in (0, cores):
            seconds = [statistics.median(found[work, others, name]) for name in WAITING]
            table.add_row(
                work, f"{others} processes", *(f"{1000 * s:,.0f} ms" for s in seconds), f"{seconds[0] / seconds[1]:.2f}"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
