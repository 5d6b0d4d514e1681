"""An exported file that predicts: the same calls and the same answers as `model.predictor.Model`, without torch.

    decode → resize → engine(the exported graph) → the task's outputs → its answers

B batch, N pictures, S side of the network's input, H, W of a picture.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from warmstart.data.geometry import Geometry
from warmstart.engines.outliving import opened_here
from warmstart.errors import ModelFileError
from warmstart.extraction.rendering import place_of, render, render_sized, whole, whole_sized
from warmstart.predicting import Batches, ModelFacts, Predictor, card_of, surely
from warmstart.records import Preprocessing, Problem
from warmstart.runtime.document import Document, exported_file
from warmstart.runtime.engines import Runner, open_file
from warmstart.task_protocol import Original
from warmstart.task_registry import find_task


class Exported:
    """An exported model, opened with `open_exported`."""

    def __init__(self, document: Document, runner: Runner, file: Path | None = None) -> None:
        """``file``: what the runner runs, to be opened again in a forked child."""
        self.document, self._opened, self._file = document, runner, file
        self._ended: str | None = None  # what is said of a file that did not end
        self.preprocessing = document.preprocessing

    @property
    def place(self) -> str:
        """Where it lies."""
        return "the exported file" if self._file is None else str(self._file)

    @property
    def facts(self) -> ModelFacts:
        """What it says of itself; it was exported without its scores."""
        backbone = self.document.everything.get("backbone")
        return ModelFacts(
            task=self.document.task,
            size_px=self.preprocessing.size_px,
            backbone=backbone if isinstance(backbone, str) else None,
            says=self.document.reading.facts(),
            about={},
        )

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        return card_of(self.facts, self.place)

    def predict(self, sources: Any, *, coverage: float | None = None, sure: float | None = None) -> Any:
        """The answer for one picture, or a list for several; see `Model.predict`. Raises PictureError and UsageError as there."""
        return self._predictor(coverage, sure).predict(sources)

    def predict_each(
        self, sources: Iterable[Any], *, coverage: float | None = None, sure: float | None = None
    ) -> Iterator[Any | Problem]:
        """An answer or a named problem for each source, in order. Decoding and engine overlap; memory stays bounded."""
        yield from self._predictor(coverage, sure).predict_each(sources)

    def keeping_damaged(self, keep: bool) -> Self:
        """The same, for which pictures that are damaged but decode are used, or are not."""
        preprocessing = replace(self.preprocessing, keep_damaged=keep)
        return type(self)(replace(self.document, preprocessing=preprocessing), self._opened, self._file)

    def prepare(self, source: Any) -> np.ndarray:
        """What the graph takes of a picture: uint8 (3, S, S), or (H, W, 3) where it resizes itself. Raises PictureError."""
        return prepared(source, self.preprocessing, resize_inside=self.document.resize_inside, sized=self.document.places)

    def predict_prepared(
        self,
        pixels: Sequence[np.ndarray],
        names: Sequence[str],
        *,
        coverage: float | None = None,
        sure: float | None = None,
    ) -> list[Any]:
        """Answers for arrays as `prepare` gives them. Raises UsageError for a coverage or sure that cannot be offered."""
        return self._predictor(coverage, sure).predict_prepared(pixels, names)

    def outputs_each(self, sources: Iterable[Any]) -> Iterator[tuple[str, Any]]:
        """(name, the task's outputs for it or a PictureError that says what is wrong with it) for each source, in order."""
        return self._predictor(None).outputs_each(sources)

    def _predictor(self, coverage: float | None, sure: float | None = None) -> Predictor[Any, Any]:
        reading = self.document.reading
        if coverage is not None:
            reading.coverage(coverage)
        told = surely(self.document.task, reading, sure)
        return Predictor(
            prepare=self.prepare,
            run=self._run,
            answer=lambda name, found: told(reading.answers(found, [Original(source=name)], coverage=coverage)[0]),
            batch_size=1 if self.document.resize_inside else self._runner.batch_size,
        )

    def _run(self, batches: Batches) -> Iterator[tuple[int, list[Any]]]:
        """What the file says of each batch, as outputs of one picture each.

        Raises ModelFileError where it ends with an error, does not end, or says what no model says.
        A file that did not end once is not run again.
        """
        if self._ended:
            raise ModelFileError(self._ended)
        sizes: dict[int, int] = {}
        places: dict[int, list[Geometry] | None] = {}
        theirs: list[Exception] = []

        def counted() -> Iterator[tuple[int, np.ndarray]]:
            try:
                for token, pictures in batches:
                    sizes[token] = len(pictures)
                    if self.document.places:
                        places[token] = [place_of(picture, "plain", self.preprocessing) for picture in pictures]
                    yield token, np.stack(pictures)
            except Exception as reason:  # of whoever makes the batches, not of the file
                theirs.append(reason)
                raise

        results = self._runner.map(counted())
        while True:
            try:
                token, found = next(results)
            except StopIteration:
                return
            except Exception as reason:  # whatever an engine raises at a file that it cannot run
                if reason in theirs or isinstance(reason, MemoryError):
                    raise
                why = (str(reason).strip().splitlines() or [type(reason).__name__])[0][:200]
                message = f"{self.document.path} cannot be run ({why}): it was damaged or changed; export the model again"
                self._ended = message if isinstance(reason, TimeoutError) else None
                raise ModelFileError(message) from reason
            outputs = self._checked(found, sizes.pop(token), places.pop(token, None))
            yield token, [outputs.take(np.array([i])) for i in range(len(outputs))]

    def _checked(self, found: np.ndarray, pictures: int, places: list[Geometry] | None) -> Any:
        """The task's outputs. Raises ModelFileError for what no model of it gives."""
        try:
            if len(found) != pictures:
                expected = (pictures, *found.shape[1:])
                raise ValueError(f"an array of {' × '.join(map(str, found.shape))}, expected {' × '.join(map(str, expected))}")
            return self.document.reading.of_graph(found, places)
        except ValueError as reason:
            raise ModelFileError(
                f"{self.document.path} answers with {reason}: it was changed or damaged; export the model again"
            ) from reason

    def coverage(self, asked: float) -> Any:
        """How often what is said for this coverage held the truth on test pictures, when the model was trained. Raises UsageError."""
        return self.document.reading.coverage(asked)

    @property
    def _runner(self) -> Runner:
        if self._file is not None and not opened_here(self._opened):
            self._opened = open_file(self._file)[1]
        return self._opened


def prepared(source: Any, preprocessing: Preprocessing, *, resize_inside: bool, sized: bool = False) -> np.ndarray:
    """What a graph takes of a picture: uint8 (3, S, S), or (H, W, 3) where it resizes itself. Raises PictureError."""
    if not resize_inside:
        return render_sized(source, preprocessing) if sized else render(source, preprocessing)
    return whole_sized(source, preprocessing) if sized else np.array(whole(source, preprocessing))


def open_exported(path: str | Path) -> Exported:
    """The exported model in a file (.onnx, .xml) or a folder. Runs no code from it. Raises ModelFileError, UsageError."""
    file = exported_file(Path(path))
    if file is None:
        raise ModelFileError(f"{path} is no exported model: expected a .onnx or .xml file, or a folder that holds one")
    document, runner = open_file(file)
    model: Exported = find_task(document.task).exported_model(document, runner, file)
    return model
