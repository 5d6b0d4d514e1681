"""A task's own module through the one training loop: maps of stored pictures in, in the views of the plan.

N pictures, B batch, C channels, H, W.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart.data.augmentation import DRAWN_POLICIES, view_names
from warmstart.errors import DataError, UsageError
from warmstart.extraction.features import Rows
from warmstart.extraction.rendering import geometry_of
from warmstart.plan import GIVEN
from warmstart.session.dataset import stop_if_any_is_gone
from warmstart.session.history import History, read_history
from warmstart.session.run_folder import checkpoint_path
from warmstart.session.session import Session
from warmstart.task_protocol import Part

if TYPE_CHECKING:
    from torch import nn

    from warmstart.session.loop_run import LoopRun
    from warmstart.session.run_state import Extracted
    from warmstart.training.learner import Learner
    from warmstart.training.objective import Objective
    from warmstart.training_settings import TrainingSettings

CUT = "maps"  # what history and checkpoint call the place where such training begins


@dataclass(frozen=True, kw_only=True)
class ModuleTraining:
    """See `task_protocol.Train`."""

    seen: "Extracted"
    session: Session
    folder: Path
    runs: "list[LoopRun]" = field(default_factory=list)  # what became of it

    def __call__(
        self, module: "nn.Module", train: Part[Any], val: Part[Any], objective: "Objective", settings: "TrainingSettings"
    ) -> None:
        """See `task_protocol.Train`."""
        import torch

        from warmstart.session.loop_run import run_identity, run_loop
        from warmstart.training.batches import Inputs, TrainBatches, ValBatches
        from warmstart.training.learner import Whole

        if not len(val):
            raise DataError(
                f"{self.seen.dataset.source} has no val pictures, by which training chooses its best epoch. Use --split 70/15/15."
            )
        if self.seen.plan.augment in (*DRAWN_POLICIES, GIVEN):
            raise UsageError(
                f"--augment {self.seen.plan.augment} draws views anew, and what is trained here reads stored ones: choose flip or dihedral"
            )
        pictures, names = self.seen.dataset.pictures, view_names(self.seen.plan.augment, self.seen.plan.augment_views)
        layout, shapes = self.seen.layout, self.seen.shapes
        with self.session.reader(self.seen.recipe).opened() as stored:
            for part, views in ((train, names), (val, names[:1])):
                stop_if_any_is_gone(stored.fill([pictures[i] for i in part.positions], views).broken)

            def read(part: Part[Any], chosen: np.ndarray, views: np.ndarray) -> Inputs:
                at = part.positions[chosen]
                rows = Rows(
                    values=stored.read([pictures[i] for i in at], [names[v] for v in views]), layout=layout, shapes=shapes
                )
                return tuple(torch.from_numpy(rows.map(stage)) for stage in shapes)

            def collate(part: Part[Any], chosen: np.ndarray, views: np.ndarray) -> Any:
                at = part.positions[chosen]
                places = [
                    geometry_of(pictures[i], names[v], self.seen.recipe.preprocessing) for i, v in zip(at, views, strict=True)
                ]
                return part.targets.collate(chosen, places)

            inputs = _Inputs(
                module=Whole(module),
                batches=TrainBatches(
                    n=len(train),
                    read=lambda chosen, views: read(train, chosen, views),
                    collate=lambda chosen, views: collate(train, chosen, views),
                    batch_size=min(self.seen.plan.batch_size, len(train)),
                    seed=settings.seed,
                    n_views=len(names),
                ),
                val=ValBatches(
                    n=len(val),
                    read=lambda chosen, views: read(val, chosen, views),
                    collate=lambda chosen, views: collate(val, chosen, views),
                    batch_size=self.seen.plan.batch_size,
                ),
                objective=objective,
                settings=settings,
            )
            resumes = self.session.resumes and checkpoint_path(self.folder, CUT).is_file()
            known = read_history(self.folder) if resumes else ()
            session = self.session if resumes else self.session.anew()
            done = run_loop(
                inputs,
                session,
                self.folder,
                History(self.folder),
                cut=CUT,
                identity=run_identity(self.seen.plan, self.seen.dataset),
                known=known,
            )
            self.runs.append(done)


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """See `loop_run.LoopInputs`."""

    module: "Learner"
    batches: Any
    val: Any
    objective: "Objective"
    settings: "TrainingSettings"
