"""An exported file that predicts: the same calls and the same answers as `model.predictor.Model`, without torch.

    decode → resize → engine(the exported graph) → probabilities → class
                                                       └─ set of classes, for a coverage

Novelty is not part of an exported file: it needs features of the training pictures, which are larger than a small network.

B batch, N pictures, K classes, S side of the network's input, H, W of a picture.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.data.memory import each, name_of, one_or_many
from warmstart.engines.outliving import opened_here
from warmstart.errors import ModelFileError, PictureError, UsageError
from warmstart.evaluation.conformal import prediction_sets
from warmstart.evaluation.trust import Coverage, Trust
from warmstart.extraction.ahead import chunks, map_ahead
from warmstart.extraction.rendering import or_why_not, render, whole
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

    def predict(self, sources: Any, *, coverage: float | None = None) -> Prediction | list[Prediction]:
        """The prediction for one picture, or a list for several; see `Model.predict`. Raises PictureError and UsageError as there."""
        pictures, one = one_or_many(sources)
        predictions = []
        for result in self.predict_each(pictures, coverage=coverage):
            if isinstance(result, Problem):
                raise PictureError(result.kind, result.message)
            predictions.append(result)
        return predictions[0] if one else predictions

    def predict_each(self, sources: Iterable[Any], *, coverage: float | None = None) -> Iterator[Prediction | Problem]:
        """A prediction or a named problem for each source, in order. Decoding and engine overlap; memory stays bounded."""
        limit = None if coverage is None else self.set_limit(coverage)
        for name, answer in self.probabilities_each(sources):
            if isinstance(answer, PictureError):
                yield Problem(path=name, kind=answer.kind, message=str(answer))
            else:
                yield self._prediction(name, answer, limit)

    def prepare(self, source: Any) -> np.ndarray:
        """What the graph takes of a picture: uint8 (3, S, S), or (H, W, 3) where it resizes itself. Raises PictureError."""
        return prepared(source, self.preprocessing, resize_inside=self.document.resize_inside)

    def predict_prepared(
        self, pixels: Sequence[np.ndarray], names: Sequence[str], *, coverage: float | None = None
    ) -> list[Prediction]:
        """Predictions for arrays as `prepare` gives them. Raises UsageError for a coverage that cannot be offered."""
        limit = None if coverage is None else self.set_limit(coverage)
        size = 1 if self.document.resize_inside else self._runner.batch_size
        batches = ((i, np.stack(pixels[i : i + size])) for i in range(0, len(pixels), size))
        parts = dict(self._shares(batches))
        shares = [row for first in sorted(parts) for row in parts[first]]
        return [self._prediction(name, row, limit) for name, row in zip(names, shares, strict=True)]

    def probabilities_each(self, sources: Iterable[Any]) -> Iterator[tuple[str, np.ndarray | PictureError]]:
        """(name, float32 (K,) or what is wrong with the picture) for each source, in order."""
        size = 1 if self.document.resize_inside else self._runner.batch_size
        prepared: dict[int, list[np.ndarray | PictureError]] = {}
        finished: dict[int, np.ndarray] = {}
        order: list[int] = []
        names: dict[int, str] = {}

        def prepare_batch(task: list[tuple[int, Any]]) -> tuple[int, list[np.ndarray | PictureError]]:
            names.update((i, name_of(source, i)) for i, source in task)
            return task[0][0], [or_why_not(lambda: self.prepare(source)) for _, source in task]  # noqa: B023 - called at once

        def batches() -> Iterator[tuple[int, np.ndarray]]:
            for first, pictures in map_ahead(prepare_batch, chunks(enumerate(each(sources)), size)):
                prepared[first] = pictures
                order.append(first)
                good = [p for p in pictures if not isinstance(p, PictureError)]
                if good:
                    yield first, np.stack(good)
                else:
                    finished[first] = np.empty((0, len(self.class_names)), np.float32)

        def in_order() -> Iterator[tuple[str, np.ndarray | PictureError]]:
            while order and order[0] in finished:
                first = order.pop(0)
                rows = iter(finished.pop(first))
                for offset, picture in enumerate(prepared.pop(first)):
                    yield names.pop(first + offset), picture if isinstance(picture, PictureError) else next(rows)

        for first, rows in self._shares(batches()):
            finished[first] = rows
            yield from in_order()
        yield from in_order()

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
        if self.threshold is None or self.positive is None:
            return np.asarray(probabilities.argmax(axis=1))
        positive = self.class_names.index(self.positive)
        return np.where(probabilities[:, positive] >= self.threshold, positive, 1 - positive)

    def set_limit(self, coverage: float) -> float:
        """See `Model.set_limit`. Raises UsageError."""
        return self._calibrated().limit(coverage)

    def coverage(self, asked: float) -> Coverage:
        """How often sets for this coverage held the true class of test pictures, when the model was trained. Raises UsageError."""
        return self._calibrated().coverage(asked)

    @property
    def _runner(self) -> Runner:
        if self._file is not None and not opened_here(self._opened):
            self._opened = open_file(self._file)[1]
        return self._opened

    def _calibrated(self) -> Trust:
        if self.document.trust is None:
            raise UsageError(
                "the model was not calibrated for sets of classes when it was exported. Train again, then export again, for one that is."
            )
        return self.document.trust

    def _prediction(self, name: str, shares: np.ndarray, limit: float | None) -> Prediction:
        label = int(self.decide(shares[None])[0])
        classes = None
        if limit is not None:
            (inside,) = prediction_sets(shares[None], limit)
            classes = tuple(self.class_names[k] for k in np.argsort(-shares, kind="stable") if inside[k])
        return Prediction(
            source=name,
            class_name=self.class_names[label],
            probability=float(shares[label]),
            probabilities={c: float(p) for c, p in zip(self.class_names, shares, strict=True)},
            classes=classes,
        )


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
