"""evaluate: scores of a saved model on any labelled folder, the pictures that it was trained on told apart."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.data.geometry import Geometry
from warmstart.data.listing import read_listing
from warmstart.data.splitting import find_conflicts
from warmstart.errors import DataError
from warmstart.extraction.reader import Reader
from warmstart.extraction.rendering import geometry_of
from warmstart.extraction.scanning import scan_given
from warmstart.extraction.workspace import Workspace
from warmstart.model.predictor import Model
from warmstart.records import Cache, Notice, Picture, Problem
from warmstart.report.cards import card
from warmstart.report.shown import shown_by
from warmstart.session.dataset import conflict_problems
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.what_is_lost import notices
from warmstart.task_registry import find_task
from warmstart.workflows.predict import open_trained, place_of


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores on pictures that the model had not seen; on all of them too, when it had seen some."""

    model: str
    task: str
    data: str
    images: int
    trained_on: int  # how many of these very pictures (by content) the model learnt from
    scores: Any  # on the unseen pictures; None when there is none
    scores_with_seen: Any  # on all, None when all are unseen
    problems: tuple[Problem, ...]
    notices: tuple[Notice, ...]
    cache: Cache
    seconds: float

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        by_split = {"unseen": self.scores, "all, seen ones too": self.scores_with_seen}
        left_out = [f"{len(self.problems):,} problems, the first: {self.problems[0].message}"] if self.problems else []
        return card(
            Path(self.data).name,
            kind=f"evaluation of {self.model} · {self.images:,} pictures, of which it learnt from {self.trained_on:,}",
            sentences=[*(notice.message for notice in self.notices), *left_out],
            grids=shown_by(find_task(self.task)).scores({name: one for name, one in by_split.items() if one}),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "model": self.model,
            "data": self.data,
            "images": self.images,
            "trained_on": self.trained_on,
            "scores": self.scores and self.scores.to_dict(),
            "scores_with_seen": self.scores_with_seen and self.scores_with_seen.to_dict(),
            "problems": [asdict(problem) for problem in self.problems],
            "notices": [notice.to_dict() for notice in self.notices],
            "cache": asdict(self.cache),
            "seconds": self.seconds,
        }


def evaluate(
    model: "str | Model",
    data: Any,
    *,
    exclude: tuple[str, ...] = (),
    keep_damaged: bool | None = None,
    download: bool = False,
    watcher: Watcher | None = None,
) -> Evaluation:
    """Score a model on every labelled picture of a folder, manifest or list, whatever its split.

    keep_damaged: whether pictures that are damaged but decode are scored; None: as the model was trained.

    What the model cannot be held against, such as classes that it does not know, is left out and named, and so are
    pictures that stand under two targets. Raises
    DataError when nothing is left.
    """
    watcher = watcher or NullProgress()
    begin = time.perf_counter()
    predictor = open_trained(model, download=download)
    if keep_damaged is not None:
        predictor = predictor.keeping_damaged(keep_damaged)
    preprocessing = predictor.preprocessing
    task = find_task(predictor.task)
    listing, foreign = task.judged(
        predictor.fitted, read_listing(data, exclude=exclude, min_classes=1, columns=task.columns(predictor.fitted))
    )
    problems = [*listing.problems, *foreign]
    examples = listing.examples
    if not examples:
        raise DataError(f"{listing.source}: nothing to evaluate. {problems[-1].message}")
    with Workspace.opened() as workspace:
        found = scan_given([(e.path, e.content) for e in examples], workspace.store, on_progress=watcher.progress)
        rows = [(e, p) for e, p in zip(examples, found.pictures, strict=True) if p is not None]
        keys = task.targets_for(predictor.fitted, [e for e, _ in rows]).keys()
        conflicts = find_conflicts([p.digest for _, p in rows], keys)
        problems += conflict_problems(conflicts, [e.path for e, _ in rows], task.target_words)
        left_out = {i for group in conflicts for i in group}
        rows = [row for i, row in enumerate(rows) if i not in left_out]
        reader = Reader(recipe=predictor.recipe(), workspace=workspace, on_progress=watcher.progress)
        extraction = reader.rows([picture for _, picture in rows], apart=predictor.apart)
    problems += [*found.problems, *extraction.broken.values()]
    good = [i for i in range(len(rows)) if i not in extraction.broken]
    if not good:
        raise DataError(f"{listing.source}: none of {len(examples)} pictures can be read. {problems[0].message}")
    targets = task.targets_for(predictor.fitted, [rows[i][0] for i in good])
    found_in = predictor.outputs(extraction.rows[good], _places(predictor, [rows[i][1] for i in good]))
    learnt = set(predictor.about.get("trained_on", ()))
    seen = np.array([rows[i][1].digest.hex() in learnt for i in good])

    def scores_of(which: np.ndarray) -> Any:
        if not which.any():
            return None
        at = np.flatnonzero(which)
        return task.score(
            predictor.fitted,
            found_in.take(at),
            targets.take(at),
            usual=predictor.about,
            used_for_choosing=bool(seen[which].any()),
        )

    return Evaluation(
        model=place_of(model),
        task=task.name,
        data=listing.source,
        images=len(good),
        trained_on=int(seen.sum()),
        scores=scores_of(~seen),
        scores_with_seen=scores_of(np.ones_like(seen)) if seen.any() else None,
        problems=tuple(problems),
        notices=notices(
            [rows[i][1] for i in good],
            resize=preprocessing.resize,
            values=preprocessing.values,
            keep_damaged=preprocessing.keep_damaged,
            losses={rows[i][1].digest: loss for i, loss in extraction.losses.items()},
        ),
        cache=Cache(hits=extraction.hits, misses=extraction.misses),
        seconds=time.perf_counter() - begin,
    )


def _places(predictor: Model, pictures: Sequence[Picture]) -> list[Geometry] | None:
    """Of every view of every picture, where the task asks for them."""
    if not predictor.places:
        return None
    how = predictor.preprocessing
    return [geometry_of(picture, view, how) for picture in pictures for view in how.views]
