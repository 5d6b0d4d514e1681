"""A run as it stands: one object that grows from step to step. N pictures, V views, D features over all taps.

Ready: nothing is computed yet → Extracted: every picture has its row → Probe: something is fitted on them
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from warmstart.backbones.chain import Backbone
from warmstart.data.geometry import Geometry
from warmstart.engines.build import Proven
from warmstart.extraction.features import Extraction, Rows
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.rendering import geometry_of
from warmstart.plan import Plan
from warmstart.records import Listing
from warmstart.session.dataset import Dataset
from warmstart.task_protocol import Fitting, Inputs, Learnt, Part

if TYPE_CHECKING:
    from warmstart.session.loop_run import LoopRun


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Everything up to the first picture that is computed."""

    plan: (
        Plan  # cuts by their canonical names, the image size resolved; what is chosen on the way is filled in when it is known
    )
    listing: Listing  # what the data set was made from: near copies may ask for another split
    dataset: Dataset
    backbone: Backbone
    inputs: Inputs  # what the task reads
    tap_sets: Mapping[
        str, tuple[str, ...]
    ]  # name → taps: what the head is chosen among; of a task that reads maps, these alone
    recipe: Recipe  # of the rows
    proven: Proven  # the engine for it

    @classmethod
    def of(cls, before: "Ready", **grown: Any) -> Self:
        """What ``before`` holds, and what has been made since."""
        kept = {field.name: getattr(before, field.name) for field in dataclasses.fields(before)}
        return cls(**(kept | grown))

    @property
    def layout(self) -> tuple[tuple[str, int], ...]:
        """(tap, width) in column order."""
        return self.recipe.prefix.layout

    @property
    def views_apart(self) -> bool:
        """Whether the views of a picture are kept apart."""
        return bool(self.inputs.maps)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the maps that are read."""
        shapes = self.backbone.shapes(self.recipe.preprocessing.size_px)
        return {stage: shapes[stage] for stage in self.inputs.maps}

    def places(self, positions: np.ndarray) -> list[Geometry] | None:
        """Where each view of each of these pictures lies on it, where the task asks for that."""
        if not self.inputs.places:
            return None
        preprocessing = self.recipe.preprocessing
        return [geometry_of(self.dataset.pictures[i], view, preprocessing) for i in positions for view in preprocessing.views]


@dataclass(frozen=True, kw_only=True)
class Extracted(Ready):
    """With a row for every picture; the data set is without those that could not be decoded."""

    rows: np.ndarray  # float16 or float32 (N, D), or (N, V, D) with the views apart
    extraction: Extraction
    extract_seconds: float

    def rows_at(self, positions: np.ndarray) -> Rows:
        """Of these pictures."""
        return Rows(
            values=self.rows[positions].reshape(-1, self.rows.shape[-1]),
            layout=self.layout,
            shapes=self.shapes,
            views=self.rows.shape[1] if self.views_apart else 1,
            places=self.places(positions),
        )

    def part(self, positions: np.ndarray) -> Part[Any]:
        """These pictures, to be learnt from."""
        return Part(
            targets=self.dataset.targets.take(positions),
            units=self.dataset.units[positions],
            read=lambda at: self.rows_at(positions[at]),
            positions=positions,
        )


@dataclass(frozen=True, kw_only=True)
class Probe(Extracted):
    """With what was fitted on the rows; in the plan every 'auto' is resolved."""

    taps: tuple[str, ...]  # what the head reads
    choosing: np.ndarray  # positions of val that choices are made on, and
    calibrating: np.ndarray  # those kept apart to calibrate a trained network: often none
    learnt: Learnt[Any]  # from train
    fitting: Fitting
    fit_seconds: float
    loop: "LoopRun | None" = None  # where the task's fit trained a module of its own
