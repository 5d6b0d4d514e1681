"""Batches form by themselves: what waits while the engine works is its next batch. Nothing here needs a network."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from warmstart.errors import PictureError
from warmstart.records import Prediction
from warmstart.serve import batching
from warmstart.serve.batching import Batcher, ReplacedError
from warmstart.serve.problems import ApiError
from warmstart.serve.settings import Limits


class Slow:
    """Answers when it is let go; remembers what came together."""

    class_names = ("a", "b")

    def __init__(self) -> None:
        self.go, self.working = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def prepare(self, source: bytes) -> np.ndarray:
        if source == b"broken":
            raise PictureError("truncated", "broken")
        return np.zeros((3, 8, 8), np.uint8)

    def predict_prepared(
        self, pixels: Sequence[np.ndarray], names: Sequence[str], *, coverage: float | None = None
    ) -> list[Prediction]:
        self.batches.append(list(names))
        self.working.set()
        assert self.go.wait(30)
        return [Prediction(source=n, class_name="a", probability=1.0, probabilities={"a": 1.0, "b": 0.0}) for n in names]


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    monkeypatch.setattr(batching, "read_header", lambda *_, **__: None)  # there are no real pictures here
    with ThreadPoolExecutor(2) as threads:
        yield threads


async def until_waiting(batcher: Batcher, pictures: int) -> None:
    while len(batcher._ready) < pictures:
        await asyncio.sleep(0.005)


def test_an_idle_engine_takes_the_first_at_once_and_then_all_that_came_meanwhile(decoders: ThreadPoolExecutor) -> None:
    model = Slow()
    batcher = Batcher(model, Limits(batch=4), decoders, calls=1)

    async def requests() -> list[list[Prediction | PictureError]]:
        first = asyncio.create_task(batcher.predict([("first", b"1")]))
        await asyncio.to_thread(model.working.wait, 30)
        others = [asyncio.create_task(batcher.predict([(f"{i}", b"1")])) for i in range(6)]
        await until_waiting(batcher, 6)
        model.go.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(requests())
    assert [answer[0].source for answer in answers if isinstance(answer[0], Prediction)] == ["first", *map(str, range(6))]
    assert model.batches[0] == ["first"]
    assert [len(batch) for batch in model.batches] == [1, 4, 2]
    batcher.close()


def test_a_broken_picture_is_answered_in_its_place(decoders: ThreadPoolExecutor) -> None:
    model = Slow()
    model.go.set()
    batcher = Batcher(model, Limits(), decoders)
    good, broken, other = asyncio.run(batcher.predict([("x", b"1"), ("y", b"broken"), ("z", b"1")]))
    assert isinstance(broken, PictureError)
    assert [answer.source for answer in (good, other) if isinstance(answer, Prediction)] == ["x", "z"]
    assert batcher.under_way == 0
    batcher.close()


def test_more_than_may_wait_are_refused_with_a_time_to_come_back(decoders: ThreadPoolExecutor) -> None:
    model = Slow()
    batcher = Batcher(model, Limits(pictures_waiting=3), decoders)

    async def requests() -> ApiError:
        kept = [asyncio.create_task(batcher.predict([(f"{i}", b"1")])) for i in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refusal:
            await batcher.predict([("too many", b"1")])
        model.go.set()
        await asyncio.gather(*kept)
        await batcher.predict([("later", b"1")])
        return refusal.value

    refusal = asyncio.run(requests())
    assert (refusal.status, refusal.kind) == (503, "overloaded")
    assert refusal.retry_after_s
    assert "3 pictures are waiting; expected at most 3" in str(refusal)
    batcher.close()


def test_time_that_is_up_frees_the_place_of_whoever_waited(decoders: ThreadPoolExecutor) -> None:
    model = Slow()
    batcher = Batcher(model, Limits(request_s=0.05), decoders)

    async def requests() -> ApiError:
        with pytest.raises(ApiError) as refusal:
            await batcher.predict([("x", b"1")])
        return refusal.value

    refusal = asyncio.run(requests())
    assert (refusal.status, refusal.kind) == (503, "timeout")
    model.go.set()
    batcher.close()
    assert batcher.under_way == 0


def test_closing_answers_what_is_under_way_and_takes_nothing_more(decoders: ThreadPoolExecutor) -> None:
    model = Slow()
    batcher = Batcher(model, Limits(), decoders)

    async def requests() -> list[Prediction | PictureError]:
        under_way = asyncio.create_task(batcher.predict([(f"{i}", b"1") for i in range(5)]))
        await asyncio.to_thread(model.working.wait, 30)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        while not batcher._closed:
            await asyncio.sleep(0.005)
        with pytest.raises(ReplacedError):
            await batcher.predict([("late", b"1")])
        model.go.set()
        await closing
        return await under_way

    assert len(asyncio.run(requests())) == 5


def test_a_fault_of_the_model_reaches_whoever_asked_and_the_next_request_is_answered(decoders: ThreadPoolExecutor) -> None:
    class Faulty(Slow):
        def predict_prepared(
            self, pixels: Sequence[np.ndarray], names: Sequence[str], *, coverage: float | None = None
        ) -> list[Prediction]:
            if "bad" in names:
                raise ValueError("a fault")
            return super().predict_prepared(pixels, names, coverage=coverage)

    model = Faulty()
    model.go.set()
    batcher = Batcher(model, Limits(), decoders)
    with pytest.raises(ValueError, match="a fault"):
        asyncio.run(batcher.predict([("bad", b"1")]))
    assert len(asyncio.run(batcher.predict([("good", b"1")]))) == 1
    assert batcher.under_way == 0
    batcher.close()
