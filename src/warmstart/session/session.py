"""One run under way: what it may use, who watches it, and its time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from warmstart.extraction.reader import Reader
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.workspace import Workspace
from warmstart.session.clock import Clock
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.settings import TrainSettings
from warmstart.task_protocol import Task

if TYPE_CHECKING:
    from warmstart.backbones.chain import Backbone
    from warmstart.training.events import Event


@dataclass(frozen=True, kw_only=True)
class Session:
    """Passed to every part of a run, in place of what each of them would need of it."""

    settings: TrainSettings
    task: Task
    workspace: Workspace
    watcher: Watcher = field(default_factory=NullProgress)
    clock: Clock = field(default_factory=Clock)
    backbone: "Backbone | None" = None  # that was given, in place of the one that the plan names
    head: Any = None  # that was given, where the plan's head is 'given'
    on_event: "Callable[[Event], object] | None" = None  # is told what the training loop tells; True ends training
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
        backbone: "Backbone | None" = None,
        head: Any = None,
        on_event: "Callable[[Event], object] | None" = None,
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
                backbone=backbone,
                head=head,
                on_event=on_event,
                resumes=resumes,
                stop_keeps=stop_keeps,
            )

    def reader(self, recipe: Recipe) -> Reader:
        """Rows of this recipe, with their progress told."""
        return Reader(recipe=recipe, workspace=self.workspace, on_progress=self.watcher.progress)

    def anew(self) -> Self:
        """The same run, which goes on with nothing."""
        return replace(self, resumes=False)

    def sparing(self, seconds: float) -> Self:
        """The same run, with so much of its budget left for what comes afterwards."""
        return replace(self, clock=self.clock.sparing(seconds))
