"""An exported file that predicts: the same calls and the same answers as `model.predictor.Model`, without torch.

    decode → resize → engine(the exported graph) → probabilities → class
                                                       └─ set of classes, for a coverage

Novelty is not part of an exported file: it needs features of the training pictures, which are larger than a small network.

B batch, N pictures, K classes, S side of the network's input, H, W of a picture.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.engines.outliving import opened_here
from warmstart.errors import ModelFileError, PictureError
from warmstart.evaluation.class_answers import ClassAnswers
from warmstart.evaluation.trust import Coverage
from warmstart.extraction.rendering import render, whole
from warmstart.predicting import ModelFacts, Predictor
from warmstart.records import Prediction, Preprocessing, Problem
from warmstart.runtime.document import Document, exported_file
from warmstart.runtime.engines import Runner, open_file

ROUNDING = 0.01  # of bfloat16 in the last step: 2⁻⁹ of each probability


class Exported:
    """An exported model, opened with `open_exported`."""

    def __init__(self, document: Document, runner: Runner, file: Path | None = None) -> None:
        """``file``: what the runner runs, to be opened again in a forked child."""
        self.document, self._opened, self._file = document, runner, file
        self._ended: str | None = None  # what is said of a file that did not end
        self.class_names, self.preprocessing = document.class_names, document.preprocessing
        self.positive, self.threshold = document.positive, document.threshold
        self._says = ClassAnswers(
            class_names=document.class_names,
            positive=document.positive,
            threshold=document.threshold,
            trust=document.trust,
            uncalibrated=" when it was exported. Train again, then export again, for one that is.",
        )

    @property
    def facts(self) -> ModelFacts:
        """What it says of itself; it was exported without its scores."""
        said = self.document.everything
        named = {name: value if isinstance(value := said.get(name), str) else None for name in ("backbone", "head")}
        return ModelFacts(
            class_names=self.class_names,
            size_px=self.preprocessing.size_px,
            backbone=named["backbone"],
            head=named["head"],
            calibrated=self.document.trust is not None,
            positive=self.positive,
            about={},
        )

    def predict(self, sources: Any, *, coverage: float | None = None) -> Prediction | list[Prediction]:
        """The prediction for one picture, or a list for several; see `Model.predict`. Raises PictureError and UsageError as there."""
        return self._predictor(coverage).predict(sources)

    def predict_each(self, sources: Iterable[Any], *, coverage: float | None = None) -> Iterator[Prediction | Problem]:
        """A prediction or a named problem for each source, in order. Decoding and engine overlap; memory stays bounded."""
        yield from self._predictor(coverage).predict_each(sources)

    def keeping_damaged(self, keep: bool) -> "Exported":
        """The same, for which pictures that are damaged but decode are used, or are not."""
        preprocessing = replace(self.preprocessing, keep_damaged=keep)
        return Exported(replace(self.document, preprocessing=preprocessing), self._opened, self._file)

    def prepare(self, source: Any) -> np.ndarray:
        """What the graph takes of a picture: uint8 (3, S, S), or (H, W, 3) where it resizes itself. Raises PictureError."""
        return prepared(source, self.preprocessing, resize_inside=self.document.resize_inside)

    def predict_prepared(
        self, pixels: Sequence[np.ndarray], names: Sequence[str], *, coverage: float | None = None
    ) -> list[Prediction]:
        """Predictions for arrays as `prepare` gives them. Raises UsageError for a coverage that cannot be offered."""
        return self._predictor(coverage).predict_prepared(pixels, names)

    def probabilities_each(self, sources: Iterable[Any]) -> Iterator[tuple[str, np.ndarray | PictureError]]:
        """(name, float32 (K,) or what is wrong with the picture) for each source, in order."""
        return self._predictor(None).outputs_each(sources)

    def _predictor(self, coverage: float | None) -> Predictor[np.ndarray, Prediction]:
        limit = None if coverage is None else self.set_limit(coverage)
        return Predictor(
            prepare=self.prepare,
            run=lambda batches: self._shares((token, np.stack(pictures)) for token, pictures in batches),
            answer=lambda name, shares: self._says.prediction(name, shares, limit=limit),
            batch_size=1 if self.document.resize_inside else self._runner.batch_size,
        )

    def _shares(self, batches: Iterable[tuple[int, np.ndarray]]) -> Iterator[tuple[int, np.ndarray]]:
        """What the file says of each batch, float32 (B, K). Raises ModelFileError where it ends with an error, does not end, or says
        what no model says; a file that did not end once is not run again.
        """
        if self._ended:
            raise ModelFileError(self._ended)
        sizes: dict[int, int] = {}
        theirs: list[Exception] = []

        def counted() -> Iterator[tuple[int, np.ndarray]]:
            try:
                for token, pixels in batches:
                    sizes[token] = len(pixels)
                    yield token, pixels
            except Exception as reason:  # of whoever makes the batches, not of the file
                theirs.append(reason)
                raise

        results = self._runner.map(counted())
        while True:
            try:
                token, shares = next(results)
            except StopIteration:
                return
            except Exception as reason:  # whatever an engine raises at a file that it cannot run
                if reason in theirs or isinstance(reason, MemoryError):
                    raise
                why = (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
                message = f"{self.document.path} cannot be run ({why}): it was damaged or changed; export the model again"
                self._ended = message if isinstance(reason, TimeoutError) else None
                raise ModelFileError(message) from reason
            self._check(shares, sizes.pop(token))
            yield token, shares

    def _check(self, shares: np.ndarray, pictures: int) -> None:
        """Raises ModelFileError for what are no probabilities."""
        expected = (pictures, len(self.class_names))
        if shares.shape != expected:
            found = f"an array of {' × '.join(map(str, shares.shape))}, expected {' × '.join(map(str, expected))}"
        elif not np.all((shares >= -ROUNDING) & (shares <= 1 + ROUNDING)):  # NaN is neither
            found = "numbers that are no probabilities"
        elif np.any(np.abs(shares.sum(axis=1, dtype=np.float64) - 1) > ROUNDING):
            found = f"probabilities that sum to {shares.sum(axis=1, dtype=np.float64).max():.3g}, expected 1"
        else:
            return
        raise ModelFileError(f"{self.document.path} answers with {found}: it was changed or damaged; export the model again")

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels int64 (N,) for probabilities (N, K): the most probable class, or by threshold where one is set."""
        return self._says.decide(probabilities)

    def set_limit(self, coverage: float) -> float:
        """See `Model.set_limit`. Raises UsageError."""
        return self._says.set_limit(coverage)

    def coverage(self, asked: float) -> Coverage:
        """How often sets for this coverage held the true class of test pictures, when the model was trained. Raises UsageError."""
        return self._says.coverage(asked)

    @property
    def _runner(self) -> Runner:
        if self._file is not None and not opened_here(self._opened):
            self._opened = open_file(self._file)[1]
        return self._opened


def prepared(source: Any, preprocessing: Preprocessing, *, resize_inside: bool) -> np.ndarray:
    """What a graph takes of a picture: uint8 (3, S, S), or (H, W, 3) where it resizes itself. Raises PictureError."""
    if not resize_inside:
        return render(source, preprocessing)
    return np.array(whole(source, preprocessing))


def open_exported(path: str | Path) -> Exported:
    """The exported model in a file (.onnx, .xml) or a folder. Runs no code from it. Raises ModelFileError, UsageError."""
    file = exported_file(Path(path))
    if file is None:
        raise ModelFileError(f"{path} is no exported model: expected a .onnx or .xml file, or a folder that holds one")
    return Exported(*open_file(file), file)
