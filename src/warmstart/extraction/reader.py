"""The one way to rows: a recipe, and the workspace where its rows are kept.

    pictures → [rows that are stored │ decode → views → engine → store] → (N, D)

N pictures, V views, D features.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from warmstart.engines.build import open_engine
from warmstart.engines.protocol import Engine
from warmstart.extraction.features import Extraction
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.scanning import Progress, silent
from warmstart.extraction.stored_rows import StoredRows, count_missing
from warmstart.extraction.workspace import Workspace
from warmstart.records import Picture


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads what ``recipe`` makes of pictures."""

    recipe: Recipe
    workspace: Workspace
    on_progress: Progress = silent

    def rows(self, pictures: Sequence[Picture], *, apart: bool = False) -> Extraction:
        """Of these pictures, averaged over the recipe's views, or with the views ``apart``: from the store, computed and stored where not.

        Raises StoreError when the store is full or rows are not finite even in float32. For rows that do not fit in memory see `opened`.
        """
        start = time.perf_counter()
        views = self.recipe.preprocessing.views
        with self.opened() as stored:
            filled = stored.fill(pictures, views)
            good = [i for i in range(len(pictures)) if i not in filled.broken]
            total = stored.read([pictures[i] for i in good], [views[0]] * len(good))
            if apart:
                others = [stored.read([pictures[i] for i in good], [view] * len(good)) for view in views[1:]]
                total = np.stack([total, *others], axis=1)
            else:
                for view in views[1:]:
                    total = total.astype(np.float32) + stored.read([pictures[i] for i in good], [view] * len(good))
        rows = np.zeros((len(pictures), *total.shape[1:]), dtype=total.dtype)
        rows[good] = total / np.float32(len(views)) if len(views) > 1 and not apart else total
        return Extraction(
            rows=rows,
            layout=self.recipe.prefix.layout,
            broken=filled.broken,
            losses=filled.losses,
            hits=filled.hits,
            misses=filled.misses,
            seconds=time.perf_counter() - start,
            notes=stored.notes,
        )

    def opened(self) -> StoredRows:
        """A context manager that fills and reads by picture and view."""
        return StoredRows(self.recipe, self.workspace, on_progress=self.on_progress)

    def missing(self, pictures: Sequence[Picture], views: Sequence[str] | None = None) -> int:
        """How many rows are not stored yet; in the recipe's views if no others are named. Creates nothing in the store."""
        wanted = self.recipe.preprocessing.views if views is None else views
        return count_missing(self.recipe, self.workspace, pictures, wanted)

    def engine(self) -> Engine:
        """Compiled for this machine."""
        return open_engine(self.recipe.prefix, self.recipe.engine, self.recipe.precision, folder=self.workspace.graphs)
