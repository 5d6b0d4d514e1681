"""predict: files, folders and globs in, what a model says of each picture out."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmstart import machine
from warmstart.data.listing import find_pictures
from warmstart.data.memory import one_or_many
from warmstart.errors import DataError, ModelFileError
from warmstart.predicting import ModelFacts
from warmstart.records import Problem
from warmstart.runtime.document import exported_file
from warmstart.session.progress import NullProgress, Watcher
from warmstart.task_protocol import Answer
from warmstart.task_registry import USUAL, find_task, part

if TYPE_CHECKING:
    from warmstart.model.predictor import Model
    from warmstart.runtime.predictor import Exported

SOURCE_PREFIX = "imagenet:"
WHOLE = "name the model or run folder that it was made from"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers in the order of the pictures, and the pictures that have none."""

    facts: ModelFacts  # of the model
    predictions: tuple[Answer, ...]
    coverage: Any  # of what was asked for with a coverage, where it was
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def frame(self) -> Any:
        """A row a picture, as a data frame without lists and mappings in its cells. Raises UsageError where there is no pandas."""
        from warmstart.report.frames import frame
        from warmstart.report.shown import shown_by

        shown = shown_by(find_task(self.facts.task))
        return frame(*shown.table(self.predictions, self.facts.says, self.coverage))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from warmstart.report.cards import card
        from warmstart.report.shown import shown_by

        names = [Path(one.source).name for one in self.predictions]
        grid, notes = shown_by(find_task(self.facts.task)).answers(self.predictions, names, self.coverage, 3)
        lost = (
            [f"{len(self.problems):,} pictures have no answer, the first: {self.problems[0].message}"] if self.problems else []
        )
        return card(f"{len(self.predictions):,} predictions", sentences=[*notes, *lost], grids=[grid])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "predictions": [prediction.to_dict() for prediction in self.predictions],
            "coverage": self.coverage and self.coverage.to_dict(),
            "problems": [asdict(problem) for problem in self.problems],
            "seconds": self.seconds,
        }


def predict(
    model: "str | Model | Exported",
    pictures: Sequence[Any],
    *,
    coverage: float | None = None,
    sure: float | None = None,
    keep_damaged: bool | None = None,
    download: bool = False,
    watcher: Watcher | None = None,
) -> Predictions:
    """Predict with a model folder, a run folder, an exported file or its folder, 'imagenet:BACKBONE', or an opened model.

    pictures: files, folders, globs; or all of them in memory, as `data.memory` takes them.
    coverage: also what holds the truth this often: a set of classes, an interval. sure: also the deepest answer with this probability.
    keep_damaged: whether pictures that are damaged but decode are predicted; None: as the model was trained. A broken picture becomes a
    named problem. Raises DataError when nothing was found at all, ModelFileError for the model, UsageError for a coverage or sure that it
    cannot offer.
    """
    watcher = watcher or NullProgress()
    begin = time.perf_counter()
    predictor = open_model(model, download=download)
    if keep_damaged is not None:
        predictor = predictor.keeping_damaged(keep_damaged)
    covered = predictor.coverage(coverage) if coverage is not None else None
    found, problems = _pictures(pictures)
    if not found and not problems:
        raise DataError(f"no picture found in {', '.join(map(str, pictures))}; expected files, folders with pictures, or globs")
    predictions = []
    with machine.calm_blas(1):
        for done, result in enumerate(predictor.predict_each(found, coverage=coverage, sure=sure), 1):
            if isinstance(result, Problem):
                problems.append(result)
            else:
                predictions.append(result)
            watcher.progress("predicting", done, len(found))
    return Predictions(
        facts=predictor.facts,
        predictions=tuple(predictions),
        coverage=covered,
        problems=tuple(problems),
        seconds=time.perf_counter() - begin,
    )


def pictures_in(given: Sequence[Any]) -> list[Any]:
    """The files that are named, or the pictures themselves. Raises DataError for a name without any."""
    found, problems = _pictures(given)
    if problems:
        raise DataError(problems[0].message)
    return list(found)


def _pictures(given: Sequence[Any]) -> tuple[Sequence[Any], list[Problem]]:
    if all(isinstance(one, str | os.PathLike) for one in given):
        return find_pictures(given)
    return one_or_many(given)[0], []


def place_of(model: "str | Model | Exported") -> str:
    """Where a model lies, for messages and to find what lies beside it; the name of one that lies nowhere."""
    return model if isinstance(model, str) else model.place


def open_model(name: "str | Model | Exported", *, download: bool = False) -> "Model | Exported":
    """What predicts: the model in a model or run folder, an exported file (or its folder), or with 'imagenet:NAME' the pretrained
    network with the classes of its source. An exported file is opened without torch, and without what training needs. An opened model is
    itself.
    """
    if not isinstance(name, str):
        return name
    if not name.startswith(SOURCE_PREFIX) and (file := exported_file(Path(name))) is not None:
        from warmstart.runtime.predictor import open_exported

        return open_exported(file)
    return open_trained(name, download=download)


def load(folder: str | Path, *, backbone: Any = None) -> "Model | Exported":
    """What predicts in a model or run folder, or in an exported file or its folder. Runs no code from it. Raises ModelFileError.

    backbone: of a model that was made with a network of your own, that network (a module, or a `Backbone`), whatever its weights.
    """
    if backbone is None:
        return open_model(str(folder))
    from warmstart.backbones.own import given_backbone
    from warmstart.model.predictor import load as load_folder

    return load_folder(folder, backbone=given_backbone(backbone))


def open_trained(name: "str | Model | Exported", *, download: bool = False) -> "Model":
    """As `open_model`, for what can be looked into: raises ModelFileError for an exported file."""
    if not isinstance(name, str):
        from warmstart.model.predictor import Model

        if not isinstance(name, Model):
            raise ModelFileError(f"{name.place} is an exported file, which predicts and can do nothing else: {WHOLE}")
        return name
    if name.startswith(SOURCE_PREFIX):
        model: Model = part(find_task(USUAL), "source")(name.removeprefix(SOURCE_PREFIX), download=download)
        return model
    from warmstart.model.predictor import load

    if (file := exported_file(Path(name))) is not None:
        raise ModelFileError(f"{file} is an exported file, which predicts and can do nothing else: {WHOLE}")
    return load(name)
