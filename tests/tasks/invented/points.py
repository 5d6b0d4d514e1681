"""Points of variable number on two maps: a small convolution learns where they are, and answers in pixels of the original picture.

    fine map ──1×1──┐
                    ├─ + ─ heat (B, 1, h, w) ─ cells above their neighbours ─ input pixels ─ geometry of the view ─ picture pixels
    coarse map ─1×1─┴ enlarged

docs/tasks.md walks through this file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from warmstart.errors import DataError
from warmstart.task_base import AnyTargets, BaseTask, NamedScores
from warmstart.task_protocol import Fitting, Inputs, Learnt, Original, Outputs, Part
from warmstart.training.objective import ValScores
from warmstart.training_settings import TrainingSettings

COLUMN = "points"  # "31,40;12.5,80": x,y of each, in pixels of the picture
NEAR = 12.0  # pixels of the picture: a point that is said so close to a true one has found it


@dataclass(frozen=True, kw_only=True, eq=False)
class PointTargets(AnyTargets):
    """Of each picture an array (k, 2), which follows the view that is trained on."""

    def collate(self, at: Any, geometry: Any = None) -> list[Tensor]:
        """Points in pixels of the network's input."""
        return [torch.from_numpy(g.points_to_input(self.values[i])).float() for i, g in zip(at, geometry, strict=True)]


class Heat(nn.Module):
    """Two maps (B, C, h, w), the finer first → heat (B, 1, h, w)."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(fine, 1, 1), nn.Conv2d(coarse, 1, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        wide = nn.functional.interpolate(self.coarse(coarse), size=fine.shape[2:], mode="bilinear", align_corners=False)
        return self.fine(fine) + wide


@dataclass(frozen=True)
class PointObjective:
    """Every cell says whether a point lies in it."""

    size_px: int

    def targets(self, collated: list[Tensor]) -> list[Tensor]:
        return collated

    def loss(self, heat: Tensor, points: list[Tensor]) -> Tensor:
        cells = torch.stack([self._cells(p, heat.shape[-1]) for p in points]).to(heat)
        return nn.functional.binary_cross_entropy_with_logits(
            heat[:, 0], cells, reduction="sum", pos_weight=heat.new_tensor(8.0)
        )

    def scores(self, heats: Sequence[Tensor], collated: Sequence[list[Tensor]]) -> ValScores:
        n = sum(map(len, heats))
        loss = sum(float(self.loss(h, p)) for h, p in zip(heats, collated, strict=True)) / n
        return ValScores(loss=loss, rank=(loss,), named={})

    def _cells(self, points: Tensor, side: int) -> Tensor:
        cells = torch.zeros(side, side)
        at = (points / self.size_px * side).long()
        at = at[((at >= 0) & (at < side)).all(dim=1)]  # what the crop cuts off is not asked for
        cells[at[:, 1], at[:, 0]] = 1
        return cells


@dataclass(frozen=True, kw_only=True, eq=False)
class PointOutputs(Outputs):
    points: list[np.ndarray]  # N arrays (k, 2), in pixels of the picture


@dataclass(frozen=True, kw_only=True)
class Found:
    source: str
    points: tuple[tuple[float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.source, "points": [list(point) for point in self.points]}


@dataclass(frozen=True, kw_only=True, eq=False)
class PointFinder:
    """What was learnt: the module's arrays, which numpy computes with."""

    taps: tuple[str, ...]  # the finer stage, the coarser one
    weights: Mapping[str, np.ndarray]

    def outputs(self, rows: Any) -> PointOutputs:
        module = heat_module(self.weights)
        with torch.no_grad():
            heat = module(*(torch.from_numpy(rows.map(stage)) for stage in self.taps)).numpy()
        return self.of_graph(heat, rows.places, views=rows.views)

    def of_graph(self, found: np.ndarray, places: Any = None, *, views: int = 1) -> PointOutputs:
        of_views = [g.points_to_picture(peaks(h[0], g.size_px)) for h, g in zip(found, places, strict=True)]
        return PointOutputs(points=[merged(of_views[i : i + views], views) for i in range(0, len(of_views), views)])

    def answers(self, outputs: PointOutputs, pictures: Sequence[Original], *, coverage: float | None = None) -> list[Found]:
        return [
            Found(source=p.source, points=tuple(map(tuple, found.round(2).tolist())))
            for p, found in zip(pictures, outputs.points, strict=True)
        ]

    def coverage(self, asked: float) -> Any:
        raise DataError("points have no coverage")

    def facts(self) -> dict[str, Any]:
        return {}

    def settings(self) -> dict[str, Any]:
        return {"taps": list(self.taps)}

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(self.weights)


class PointTask(BaseTask):
    """Registered as a plug-in: nothing in warmstart knows it."""

    name: ClassVar[str] = "points"
    noun: ClassVar[str] = "a finder of points"
    trains_in_fit: ClassVar[bool] = True
    graph_outputs: ClassVar[Mapping[str, str]] = {"heat": "float32 (batch, 1, h, w), before the sigmoid"}

    def inputs(self, plan: Any, stages: Sequence[str]) -> Inputs:
        return Inputs(maps=("stage3", "stage5"), places=True)

    def targets_of(self, examples: Any) -> PointTargets:
        return PointTargets(values=tuple(read_points(e.cells[COLUMN], e.path) for e in examples))

    def columns(self, fitted: Any) -> tuple[str, ...]:
        return (COLUMN,)

    def fit(self, train: Part[Any], val: Part[Any], run: Fitting) -> Learnt[PointFinder]:
        first = train.read(np.arange(1))
        torch.manual_seed(run.seed)
        module = Heat(first.map("stage3").shape[1], first.map("stage5").shape[1])
        settings = TrainingSettings(
            **{"epochs": 12, "learning_rate": 0.02, "head_share": 1.0, "seed": run.seed, **run.plan.training}
        )
        run.train(module, train, val, PointObjective(run.plan.image_size_px), settings)
        fitted = PointFinder(
            taps=("stage3", "stage5"), weights={n: t.detach().numpy().copy() for n, t in module.state_dict().items()}
        )
        return Learnt(
            fitted=fitted, tap_set="maps", by_folds=False, held_out=fitted.outputs(val.rows()), record={"head": "heat"}
        )

    def score(self, fitted: Any, outputs: PointOutputs, targets: PointTargets, *, usual: Any, used_for_choosing: bool) -> Any:
        found = sum(map(len, outputs.points))
        true = sum(map(len, targets.values))
        hit = sum(hits(p, t) for p, t in zip(outputs.points, targets.values, strict=True))
        f1 = 2 * hit / max(found + true, 1)
        return NamedScores(n=len(targets), values={"f1": f1}, used_for_choosing=used_for_choosing)

    def table(self, fitted: Any, outputs: PointOutputs, targets: PointTargets) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        rows = [(written(true), written(found)) for true, found in zip(targets.values, outputs.points, strict=True)]
        return (COLUMN, "found"), rows

    def graph(self, fitted: PointFinder) -> nn.Module:
        return OnFlatRows(heat_module(fitted.weights))

    def exported(self, fitted: PointFinder) -> dict[str, Any]:
        return fitted.settings()

    def restore(self, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> PointFinder:
        return PointFinder(taps=tuple(document["taps"]), weights=dict(arrays))


class OnFlatRows(nn.Module):
    """Both maps of a row, side by side, through the module: squares whose channels the weights tell."""

    def __init__(self, module: Heat) -> None:
        super().__init__()
        self.module = module
        self.channels = (module.fine.in_channels, module.coarse.in_channels)

    def forward(self, row: Tensor) -> tuple[Tensor]:
        # The finer map has four positions for each of the coarser one: D = fine·(2s)² + coarse·s².
        fine, coarse = self.channels
        side = round((row.shape[1] / (4 * fine + coarse)) ** 0.5)
        parts = row.split([fine * 4 * side * side, coarse * side * side], dim=1)
        return (self.module(parts[0].unflatten(1, (fine, 2 * side, 2 * side)), parts[1].unflatten(1, (coarse, side, side))),)


def heat_module(weights: Mapping[str, np.ndarray]) -> Heat:
    module = Heat(weights["fine.weight"].shape[1], weights["coarse.weight"].shape[1])
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    return module.eval()


def peaks(heat: np.ndarray, size_px: int) -> np.ndarray:
    """(k, 2) in pixels of the input: the middles of cells that are likelier than not, and than their neighbours."""
    side = len(heat)
    padded = np.pad(heat, 1, constant_values=-np.inf)
    around = np.max([padded[y : y + side, x : x + side] for y in range(3) for x in range(3)], axis=0)
    y, x = np.nonzero((heat >= around) & (heat > 0))
    return (np.stack([x, y], axis=1) + 0.5) * size_px / side


def merged(of_views: Sequence[np.ndarray], views: int) -> np.ndarray:
    """What more than half of the views see, at the middle of where they see it."""
    left, out = [tuple(p) for points in of_views for p in points], []
    while left:
        near = [p for p in left if np.hypot(p[0] - left[0][0], p[1] - left[0][1]) <= NEAR]
        left = [p for p in left if p not in near]
        if 2 * len(near) > views:
            out.append(np.mean(near, axis=0))
    return np.array(out).reshape(-1, 2)


def hits(found: np.ndarray, true: np.ndarray) -> int:
    """How many true points have a found one near, each found one used once."""
    left = list(found)
    count = 0
    for point in true:
        near = [i for i, other in enumerate(left) if np.hypot(*(other - point)) <= NEAR]
        if near:
            left.pop(near[0])
            count += 1
    return count


def written(points: np.ndarray) -> str:
    return ";".join(f"{x:.1f},{y:.1f}" for x, y in points)


def read_points(cell: str, path: str) -> np.ndarray:
    try:
        return np.array([[float(v) for v in pair.split(",")] for pair in str(cell).split(";") if pair], float).reshape(-1, 2)
    except ValueError as reason:
        raise DataError(f"{path!r}: {cell!r} are no points; expected x,y;x,y") from reason


TASK = PointTask()
