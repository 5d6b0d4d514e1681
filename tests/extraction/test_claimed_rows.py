"""Two that read the same pictures at once: what one is computing, the other waits for."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drawn_shapes import CLASSES, draw_shape
from patience import PATIENCE_S
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.scanning import picture_of
from warmstart.extraction.stored_rows import StoredRows
from warmstart.model.predictor import Model
from warmstart.session.outcome import Run
from warmstart.store.cache import Store
from workspaces import workspace_of


def test_a_row_that_another_computes_is_waited_for(
    trained: Run, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Model = trained.model
    recipe: Recipe = model.recipe()
    pictures = [picture_of(draw_shape(name, seed), name=f"{name} {seed}") for name in CLASSES for seed in range(900, 908)]
    at_work, waited = threading.Event(), threading.Event()
    whole = StoredRows._computed
    computed: list[int] = []

    def slowly(own: StoredRows, todo: list[Any]) -> int:
        computed.append(len(todo))
        at_work.set()
        assert waited.wait(PATIENCE_S)
        return whole(own, todo)

    monkeypatch.setattr(StoredRows, "_computed", slowly)

    def told(phase: str, done: int, total: int) -> None:
        if phase == "waiting for another run":
            assert (done, total) == (0, 16)
            waited.set()

    with Store(warm_cache / "store") as store:
        workspace = workspace_of(store)
        found: dict[str, Any] = {}

        def first() -> None:
            with StoredRows(recipe, workspace) as rows:
                found["first"] = rows.fill(pictures[:20], ("plain",))

        thread = threading.Thread(target=first)
        thread.start()
        assert at_work.wait(PATIENCE_S)
        with StoredRows(recipe, workspace, on_progress=told) as rows:
            monkeypatch.setattr(StoredRows, "_computed", lambda own, todo: computed.append(len(todo)) or whole(own, todo))
            found["second"] = rows.fill(pictures[4:], ("plain",))
            waited.set()  # for a second that did not wait: it must not hang
            read = rows.read(pictures, ["plain"] * len(pictures[:4] + pictures[4:]))
        thread.join()
    assert computed == [20, 4]
    assert (found["first"].misses, found["second"].misses, found["second"].hits) == (20, 4, 16)
    assert np.isfinite(read.astype(np.float32)).all()
