"""A workspace, and a session in it, for tests that call the engine of a run directly."""

from pathlib import Path

from warmstart.extraction.workspace import Workspace
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.store.cache import Store
from warmstart.tasks.classify.task import TASK


def workspace_of(store: Store) -> Workspace:
    """Graphs and evidence lie beside the store."""
    home = Path(store.folder).parent
    return Workspace(store=store, graphs=home / "graphs", evidence=home / "evidence")


def session_of(store: Store, settings: TrainSettings | None = None) -> Session:
    """Of classes, that nobody watches."""
    return Session(settings=settings or TrainSettings(), task=TASK, workspace=workspace_of(store))
