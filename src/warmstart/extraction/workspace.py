"""What outlives a run: stored rows, converted graphs with their proofs, measurements. Opened once, passed along, closed at the end."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from warmstart import machine
from warmstart.store.cache import Store


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A context manager. No code below the verbs asks the environment where things are kept: it is told."""

    store: Store  # rows, and the index of files
    graphs: Path  # converted graphs and the proofs of engines
    evidence: Path  # measurements, kept under all that they hang on (`store.memo`)

    @classmethod
    def opened(cls, store_bytes: int | None = None) -> Self:
        """The user's, in the cache folder. ``store_bytes``: the budget of the store; None: a share of the free disk. Raises StoreError."""
        return cls(
            store=Store(machine.store_folder(), store_bytes), graphs=machine.graphs_folder(), evidence=machine.evidence_folder()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.store.close()
