"""One run under way: what it may use, who watches it, and its time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from warmstart.data.augmentation import view_names
from warmstart.errors import UsageError
from warmstart.extraction.reader import Reader
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.rendering import PICTURES, Renderer
from warmstart.extraction.workspace import Workspace
from warmstart.plan import GIVEN, Plan
from warmstart.session.clock import Clock
from warmstart.session.own_parts import NONE, OwnParts
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.settings import TrainSettings
from warmstart.task_protocol import Task


@dataclass(frozen=True, kw_only=True)
class Session:
    """Passed to every part of a run, in place of what each of them would need of it."""

    settings: TrainSettings
    task: Task
    workspace: Workspace
    watcher: Watcher = field(default_factory=NullProgress)
    clock: Clock = field(default_factory=Clock)
    own: OwnParts = NONE
    resumes: bool = False  # goes on with a run that was interrupted
    stop_keeps: bool = True  # Ctrl-C ends training with the best epoch so far; otherwise it is raised

    @classmethod
    @contextmanager
    def opened(
        cls,
        settings: TrainSettings,
        task: Task,
        watcher: Watcher,
        *,
        clock: Clock | None = None,
        own: OwnParts = NONE,
        resumes: bool = False,
        stop_keeps: bool = True,
    ) -> Iterator[Self]:
        """In the user's workspace. Raises StoreError."""
        with Workspace.opened(settings.store_bytes) as workspace:
            yield cls(
                settings=settings,
                task=task,
                workspace=workspace,
                watcher=watcher,
                clock=clock or Clock(budget_s=settings.budget_s),
                own=own,
                resumes=resumes,
                stop_keeps=stop_keeps,
            )

    @property
    def renderer(self) -> Renderer:
        """What makes the network's input of a picture while it learns."""
        return PICTURES if self.own.augment is None else self.own.augment

    def view_names(self, plan: Plan, count: int) -> tuple[str, ...]:
        """The views that are learnt from, at most ``count``, the plain one first. Raises UsageError for one that was not handed over."""
        if plan.augment != GIVEN:
            return view_names(plan.augment, count)
        if self.own.augment is None:
            raise UsageError(
                "the plan says that its views were handed over (augment 'given'): give it again, in Python, as augment=…"
            )
        return self.own.augment.names(count)

    def reader(self, recipe: Recipe) -> Reader:
        """Rows of this recipe, with their progress told."""
        return Reader(recipe=recipe, workspace=self.workspace, on_progress=self.watcher.progress)

    def anew(self) -> Self:
        """The same run, which goes on with nothing."""
        return replace(self, resumes=False)

    def sparing(self, seconds: float) -> Self:
        """The same run, with so much of its budget left for what comes afterwards."""
        return replace(self, clock=self.clock.sparing(seconds))
