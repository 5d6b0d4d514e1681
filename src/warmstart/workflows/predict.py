"""predict: files, folders and globs in, what a model says of each picture out."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmstart import machine
from warmstart.data.listing import find_pictures
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


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers in the order of the pictures, and the pictures that have none."""

    facts: ModelFacts  # of the model
    predictions: tuple[Answer, ...]
    coverage: Any  # of what was asked for with a coverage, where it was
    problems: tuple[Problem, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "predictions": [prediction.to_dict() for prediction in self.predictions],
            "coverage": self.coverage and self.coverage.to_dict(),
            "problems": [asdict(problem) for problem in self.problems],
            "seconds": self.seconds,
        }


def predict(
    model: str,
    pictures: Sequence[str],
    *,
    coverage: float | None = None,
    keep_damaged: bool | None = None,
    download: bool = False,
    watcher: Watcher | None = None,
) -> Predictions:
    """Predict with a model folder, a run folder, an exported file or its folder, or 'imagenet:BACKBONE'.

    coverage: also what holds the truth this often: a set of classes, an interval. keep_damaged: whether pictures that are damaged but
    decode are predicted; None: as the model was trained. A broken picture becomes a named problem. Raises DataError when nothing was found
    at all, ModelFileError for the model, UsageError for a coverage that it cannot offer.
    """
    watcher = watcher or NullProgress()
    begin = time.perf_counter()
    predictor = open_model(model, download=download)
    if keep_damaged is not None:
        predictor = predictor.keeping_damaged(keep_damaged)
    covered = predictor.coverage(coverage) if coverage is not None else None
    found, problems = find_pictures(pictures)
    if not found and not problems:
        raise DataError(f"no picture found in {', '.join(pictures)}; expected files, folders with pictures, or globs")
    predictions = []
    with machine.calm_blas(1):
        for done, result in enumerate(predictor.predict_each(found, coverage=coverage), 1):
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


def open_model(name: str, *, download: bool = False) -> "Model | Exported":
    """What predicts: the model in a model or run folder, an exported file (or its folder), or with 'imagenet:NAME' the pretrained
    network with the classes of its source. An exported file is opened without torch, and without what training needs.
    """
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


def open_trained(name: str, *, download: bool = False) -> "Model":
    """As `open_model`, for what can be looked into: raises ModelFileError for an exported file."""
    if name.startswith(SOURCE_PREFIX):
        model: Model = part(find_task(USUAL), "source")(name.removeprefix(SOURCE_PREFIX), download=download)
        return model
    from warmstart.model.predictor import load

    if (file := exported_file(Path(name))) is not None:
        raise ModelFileError(
            f"{file} is an exported file, which predicts and can do nothing else. Name the model or run folder that it was made from"
        )
    return load(name)
