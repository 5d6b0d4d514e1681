"""One predictor for trained and exported models: prepare → run → answer, in order, with bounded memory.

    sources ─→ threads: prepare ─→ batches ─→ run ─→ an output for each picture ─→ answer
                  └─ what cannot be prepared is a named problem in its place

What these three do is the model's; how they are kept busy and in order is written here, once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from warmstart.data.memory import each, name_of, one_or_many
from warmstart.errors import PictureError, UsageError
from warmstart.extraction.prefetch import chunks, map_ahead
from warmstart.extraction.rendering import or_why_not
from warmstart.records import Problem
from warmstart.task_registry import find_task, part

Output = TypeVar("Output")  # of one picture
Answer = TypeVar("Answer")

Batches = Iterable[tuple[int, list[np.ndarray]]]  # token → pictures as `prepare` made them


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a model says of itself before it is asked about a picture."""

    task: str
    size_px: int  # side of the network's input
    backbone: str | None
    says: Mapping[str, Any]  # what its task shows of it
    about: Mapping[str, Any]  # plan, scores, licence …, as far as they are known


def card_of(facts: ModelFacts, place: str) -> str | None:
    """HTML for a notebook, made by the task's `card`; None where it has none, or cannot make one of what a stranger's file says."""
    card = getattr(find_task(facts.task), "card", None)
    try:
        return None if card is None else str(card(facts, place))
    except (TypeError, ValueError, KeyError, AttributeError):  # a notebook then shows the name
        return None


def surely(task: str, says: Any, sure: float | None) -> Callable[[Any], Any]:
    """What an answer becomes where the deepest one that is sure enough is asked for beside it; itself where it is not.

    ``says``: what answers, of a model of this task. Raises UsageError where that cannot be said.
    """
    if sure is None:
        return lambda answer: answer
    found = part(find_task(task), "sure")
    if found is None:
        raise UsageError(f"sure is for classes, and this is a model of the task {task}: leave it out")
    told: Callable[[Any], Any] = found(says, sure)
    return told


@dataclass(frozen=True, kw_only=True)
class Predictor(Generic[Output, Answer]):
    """Opened on a model."""

    prepare: Callable[[Any], np.ndarray]  # a picture as it comes → what the network takes; raises PictureError
    run: Callable[[Batches], Iterator[tuple[int, Iterable[Output]]]]  # outputs by token as they become ready, in any order
    answer: Callable[[str, Output], Answer]  # name of the picture, its output
    batch_size: int  # pictures of a batch

    def predict(self, sources: Any) -> Answer | list[Answer]:
        """The answer for one picture, or a list for several. Raises PictureError for one that cannot be prepared."""
        pictures, one = one_or_many(sources)
        answers: list[Answer] = []
        for result in self.predict_each(pictures):
            if isinstance(result, Problem):
                raise PictureError(result.kind, result.message)
            answers.append(result)
        return answers[0] if one else answers

    def predict_each(self, sources: Iterable[Any]) -> Iterator[Answer | Problem]:
        """An answer or a named problem for each source, in order."""
        for name, output in self.outputs_each(sources):
            if isinstance(output, PictureError):
                yield Problem(path=name, kind=output.kind, message=str(output))
            else:
                yield self.answer(name, output)

    def predict_prepared(self, pixels: Sequence[np.ndarray], names: Sequence[str]) -> list[Answer]:
        """An answer for each picture that `prepare` made, in order.

        For a server, which decodes as pictures come and runs together what is waiting.
        """
        size = self.batch_size
        batches = ((first, list(pixels[first : first + size])) for first in range(0, len(pixels), size))
        parts = dict(self.run(batches))
        outputs = (output for first in sorted(parts) for output in parts[first])
        return [self.answer(name, output) for name, output in zip(names, outputs, strict=True)]

    def outputs_each(self, sources: Iterable[Any]) -> Iterator[tuple[str, Output | PictureError]]:
        """(name, output or what is wrong with the picture) for each source, in order."""
        prepared: dict[int, list[np.ndarray | PictureError]] = {}
        finished: dict[int, Iterable[Output]] = {}
        order: list[int] = []
        names: dict[int, str] = {}

        def prepare_batch(task: list[tuple[int, Any]]) -> tuple[int, list[np.ndarray | PictureError]]:
            names.update((i, name_of(source, i)) for i, source in task)
            return task[0][0], [or_why_not(lambda: self.prepare(source)) for _, source in task]  # noqa: B023 - called at once

        def batches() -> Iterator[tuple[int, list[np.ndarray]]]:
            for first, pictures in map_ahead(prepare_batch, chunks(enumerate(each(sources)), self.batch_size)):
                prepared[first] = pictures
                order.append(first)
                good = [picture for picture in pictures if not isinstance(picture, PictureError)]
                if good:
                    yield first, good
                else:
                    finished[first] = ()

        def in_order() -> Iterator[tuple[str, Output | PictureError]]:
            while order and order[0] in finished:
                first = order.pop(0)
                outputs = iter(finished.pop(first))
                for offset, picture in enumerate(prepared.pop(first)):
                    yield names.pop(first + offset), picture if isinstance(picture, PictureError) else next(outputs)

        for first, outputs in self.run(batches()):
            finished[first] = outputs
            yield from in_order()
        yield from in_order()
