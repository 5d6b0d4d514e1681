"""A memory of good pictures: nothing is trained, and what is said of a picture is a map of how unlike the memory each place is.

map of a stage (C, h, w) → at each place its vector → distance to the nearest of the memory → (h, w); the largest is the picture's
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from warmstart.errors import DataError, UsageError
from warmstart.task_base import AnyTargets, BaseTask, NamedScores
from warmstart.task_protocol import Fitting, Inputs, Learnt, Original, Outputs, Part, Settled

GOOD, KEPT, STAGE = "good", 500, "stage3"


@dataclass(frozen=True, kw_only=True, eq=False)
class Goodness(AnyTargets):
    """Of each picture the name of its folder: 'good', or whatever is wrong with it. Train takes good ones only."""

    def kinds(self) -> list[int]:
        return [int(value == GOOD) for value in self.values]

    def settled(self, splits: Any, *, source: str, known: Any, before: Any = None) -> Settled["Goodness"]:
        kept = [i for i, split in enumerate(splits) if split != "train" or self.values[i] == GOOD]
        if not any(splits[i] == "train" for i in kept):
            raise DataError(f"{source}: no picture in a folder {GOOD!r} to remember")
        return Settled(targets=self.take(np.array(kept)), kept=np.array(kept, np.int64), problems=tuple(known))


@dataclass(frozen=True, kw_only=True, eq=False)
class Unlikeness(Outputs):
    maps: np.ndarray  # (N, h, w)


@dataclass(frozen=True, kw_only=True)
class Seen:
    source: str
    unlikeness: float
    map: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.source, "unlikeness": self.unlikeness, "map": self.map.round(4).tolist()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """Vectors (M, C) of good places."""

    taps: tuple[str, ...]
    vectors: np.ndarray

    def outputs(self, rows: Any) -> Unlikeness:
        maps = rows.map(self.taps[0])
        n, c, h, w = maps.shape
        places = maps.transpose(0, 2, 3, 1).reshape(-1, c)
        squared = np.square(places).sum(1)[:, None] + np.square(self.vectors).sum(1) - 2 * places @ self.vectors.T
        return self.of_graph(np.sqrt(np.maximum(squared.min(axis=1), 0)).reshape(n, h, w))

    def of_graph(self, found: np.ndarray, places: Any = None) -> Unlikeness:
        if found.ndim != 3:
            raise ValueError(f"an array of {found.ndim} axes, expected a map for each picture")
        return Unlikeness(maps=found)

    def answers(self, outputs: Unlikeness, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Seen]:
        return [Seen(source=p.source, unlikeness=float(m.max()), map=m) for p, m in zip(pictures, outputs.maps, strict=True)]

    def coverage(self, asked: float) -> Any:
        raise UsageError("a memory makes no promise that has a coverage")

    def facts(self) -> dict[str, Any]:
        return {"remembered": len(self.vectors)}

    def settings(self) -> dict[str, Any]:
        return {"taps": list(self.taps)}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"vectors": self.vectors}


class MemoryTask(BaseTask):
    name: ClassVar[str] = "memory"
    noun: ClassVar[str] = "a memory of good pictures"
    graph_outputs: ClassVar[Mapping[str, str]] = {"unlikeness": "float32 (batch, h, w)"}

    def inputs(self, plan: Any, stages: Sequence[str]) -> Inputs:
        return Inputs(maps=(STAGE,))

    def targets_of(self, examples: Any) -> Goodness:
        return Goodness(values=tuple(e.class_name for e in examples))

    def fit(self, train: Part[Any], val: Part[Any], run: Fitting) -> Learnt[Memory]:
        maps = train.rows().map(STAGE)
        places = maps.transpose(0, 2, 3, 1).reshape(-1, maps.shape[1])
        chosen = np.random.default_rng(run.seed).permutation(len(places))[:KEPT]
        memory = Memory(taps=(STAGE,), vectors=np.ascontiguousarray(places[chosen]))
        return Learnt(fitted=memory, tap_set="maps", by_folds=True, held_out=memory.outputs(train.rows()), record={})

    def score(self, fitted: Any, outputs: Unlikeness, targets: Goodness, *, usual: Any, used_for_choosing: bool) -> Any:
        worst, bad = outputs.maps.max(axis=(1, 2)), np.array([value != GOOD for value in targets.values])
        pairs = worst[bad][:, None] - worst[~bad]
        auroc = float(np.mean((pairs > 0) + 0.5 * (pairs == 0))) if pairs.size else 0.5
        return NamedScores(n=len(targets), values={"auroc": auroc}, used_for_choosing=used_for_choosing)

    def table(self, fitted: Any, outputs: Unlikeness, targets: Goodness) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        worst = outputs.maps.max(axis=(1, 2)).tolist() if len(targets) else []
        return ("true", "unlikeness"), list(zip(targets.values, worst, strict=True))

    def graph(self, fitted: Memory) -> Any:
        return _graph(fitted.vectors)

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Memory:
        vectors = arrays.get("vectors", np.zeros((1, 1), np.float32))  # an exported file has them in its graph
        return Memory(taps=tuple(document["taps"]), vectors=vectors)


def _graph(vectors: np.ndarray) -> Any:
    import torch
    from torch import Tensor, nn

    class Nearest(nn.Module):
        """A map, flattened (B, C·h·w) → distances (B, h, w)."""

        memory: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("memory", torch.from_numpy(vectors.copy()))
            self.channels = vectors.shape[1]

        def forward(self, row: Tensor) -> tuple[Tensor]:
            side = round((row.shape[1] / self.channels) ** 0.5)
            places = row.unflatten(1, (self.channels, side * side)).transpose(1, 2)  # (B, h·w, C)
            squared = places.square().sum(2, keepdim=True) + self.memory.square().sum(1) - 2 * places @ self.memory.T
            return (squared.amin(dim=2).clamp(min=0).sqrt().unflatten(1, (side, side)),)

    return Nearest()


TASK = MemoryTask()
