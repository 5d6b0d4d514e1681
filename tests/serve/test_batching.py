"""Batches form by themselves: what waits while the engine works is its next batch. Nothing here needs a network."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from patience import PATIENCE_S
from warmstart.errors import PictureError
from warmstart.records import Prediction
from warmstart.serve import batching
from warmstart.serve.batching import Batcher, ReplacedError
from warmstart.serve.decoding import Decoders, in_time
from warmstart.serve.errors import ApiError
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
        self,
        pixels: Sequence[np.ndarray],
        names: Sequence[str],
        *,
        coverage: float | None = None,
        sure: float | None = None,
    ) -> list[Prediction]:
        self.batches.append(list(names))
        self.working.set()
        assert self.go.wait(PATIENCE_S)
        return [Prediction(source=n, class_name="a", probability=1.0, probabilities={"a": 1.0, "b": 0.0}) for n in names]


PATIENT: dict[str, Any] = {"request_s": PATIENCE_S, "stuck_s": PATIENCE_S}  # however busy the machine is


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    monkeypatch.setattr(batching, "read_header", lambda *_, **__: None)  # there are no real pictures here
    with Decoders(2) as threads:
        yield threads


async def until_waiting(batcher: Batcher, pictures: int) -> None:
    while len(batcher._ready) < pictures:
        await asyncio.sleep(0.005)


def test_an_idle_engine_takes_the_first_at_once_and_then_all_that_came_meanwhile(decoders: Decoders) -> None:
    model = Slow()
    batcher = Batcher(model, Limits(batch=4, **PATIENT), decoders, calls=1)

    async def requests() -> list[list[Prediction | PictureError]]:
        first = asyncio.create_task(batcher.predict([("first", b"1")]))
        await asyncio.to_thread(model.working.wait, PATIENCE_S)
        others = [asyncio.create_task(batcher.predict([(f"{i}", b"1")])) for i in range(6)]
        await until_waiting(batcher, 6)
        model.go.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(requests())
    assert [answer[0].source for answer in answers if isinstance(answer[0], Prediction)] == ["first", *map(str, range(6))]
    assert model.batches[0] == ["first"]
    assert [len(batch) for batch in model.batches] == [1, 4, 2]
    batcher.close()


def test_a_broken_picture_is_answered_in_its_place(decoders: Decoders) -> None:
    model = Slow()
    model.go.set()
    batcher = Batcher(model, Limits(**PATIENT), decoders)
    good, broken, other = asyncio.run(batcher.predict([("x", b"1"), ("y", b"broken"), ("z", b"1")]))
    assert isinstance(broken, PictureError)
    assert [answer.source for answer in (good, other) if isinstance(answer, Prediction)] == ["x", "z"]
    assert batcher.under_way == 0
    batcher.close()


def test_more_than_may_wait_are_refused_with_a_time_to_come_back(decoders: Decoders) -> None:
    model = Slow()
    batcher = Batcher(model, Limits(pictures_waiting=3, **PATIENT), decoders)

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


def test_time_that_is_up_frees_the_place_of_whoever_waited(decoders: Decoders) -> None:
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


def test_closing_answers_what_is_under_way_and_takes_nothing_more(decoders: Decoders) -> None:
    model = Slow()
    batcher = Batcher(model, Limits(**PATIENT), decoders)

    async def requests() -> list[Prediction | PictureError]:
        under_way = asyncio.create_task(batcher.predict([(f"{i}", b"1") for i in range(5)]))
        await asyncio.to_thread(model.working.wait, PATIENCE_S)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        while not batcher._closed:
            await asyncio.sleep(0.005)
        with pytest.raises(ReplacedError):
            await batcher.predict([("late", b"1")])
        model.go.set()
        await closing
        return await under_way

    assert len(asyncio.run(requests())) == 5


def test_a_fault_of_the_model_reaches_whoever_asked_and_the_next_request_is_answered(decoders: Decoders) -> None:
    class Faulty(Slow):
        def predict_prepared(
            self, pixels: Sequence[np.ndarray], names: Sequence[str], **asked: float | None
        ) -> list[Prediction]:
            if "bad" in names:
                raise ValueError("a fault")
            return super().predict_prepared(pixels, names, **asked)

    model = Faulty()
    model.go.set()
    batcher = Batcher(model, Limits(**PATIENT), decoders)
    with pytest.raises(ValueError, match="a fault"):
        asyncio.run(batcher.predict([("bad", b"1")]))
    assert len(asyncio.run(batcher.predict([("good", b"1")]))) == 1
    assert batcher.under_way == 0
    batcher.close()


def test_each_request_of_a_batch_gets_what_it_asked_for_itself(decoders: Decoders) -> None:
    class Covering(Slow):
        def predict_prepared(
            self,
            pixels: Sequence[np.ndarray],
            names: Sequence[str],
            *,
            coverage: float | None = None,
            sure: float | None = None,
        ) -> list[Prediction]:
            answers = super().predict_prepared(pixels, names)
            given = tuple(str(one) for one in (coverage, sure) if one is not None)
            return [replace(answer, classes=given or None) for answer in answers]

    model = Covering()
    batcher = Batcher(model, Limits(**PATIENT), decoders, calls=1)
    asked = [(None, None), (0.9, None), (0.5, 0.6), (None, None), (0.5, None), (0.8, 0.6), (None, 0.6)]

    async def requests() -> list[list[Prediction | PictureError]]:
        first = asyncio.create_task(batcher.predict([("first", b"1")], coverage=0.7))
        await asyncio.to_thread(model.working.wait, PATIENCE_S)
        others = [asyncio.create_task(batcher.predict([(f"{i}", b"1")], coverage=c, sure=s)) for i, (c, s) in enumerate(asked)]
        await until_waiting(batcher, len(asked))
        model.go.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(requests())
    found = [(one.source, one.classes) for (one,) in answers if isinstance(one, Prediction)]
    assert found[0] == ("first", ("0.7",))
    assert found[1:] == [(f"{i}", tuple(str(v) for v in both if v is not None) or None) for i, both in enumerate(asked)]
    batcher.close()


def test_a_batch_is_counted_before_anybody_has_its_answers(decoders: Decoders) -> None:
    model, counted = Slow(), list[tuple[int, int]]()
    model.go.set()
    batcher = Batcher(model, Limits(**PATIENT), decoders, on_batch=lambda n, _: counted.append((n, batcher.under_way)))
    asyncio.run(batcher.predict([("x", b"1")]))
    assert counted == [(1, 1)]
    batcher.close()


class Blocked(Slow):
    """Decodes what is b"slow" when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go.set()
        self.decode, self.begun = threading.Event(), threading.Semaphore(0)

    def prepare(self, source: bytes) -> np.ndarray:
        if source == b"slow":
            self.begun.release()
            assert self.decode.wait(PATIENCE_S)
        return super().prepare(source)


def test_while_every_thread_is_at_a_long_decode_requests_are_refused_at_once_and_the_batcher_says_it_is_stuck(
    decoders: Decoders,
) -> None:
    model = Blocked()
    batcher = Batcher(model, Limits(stuck_s=1e-9, request_s=PATIENCE_S), decoders)

    async def requests() -> ApiError:
        slow = [asyncio.create_task(batcher.predict([("slow", b"slow")]))]
        await asyncio.to_thread(model.begun.acquire)
        assert not batcher.stuck()  # there is another thread
        await batcher.predict([("quick", b"1")])
        slow.append(asyncio.create_task(batcher.predict([("slow", b"slow")])))
        await asyncio.to_thread(model.begun.acquire)
        assert batcher.stuck()
        with pytest.raises(ApiError) as refusal:
            await batcher.predict([("late", b"1")])
        model.decode.set()
        await asyncio.gather(*slow)
        return refusal.value

    refusal = asyncio.run(requests())
    assert (refusal.status, refusal.kind) == (503, "stuck")
    assert refusal.retry_after_s
    assert "every thread" in str(refusal)
    assert not batcher.stuck()
    assert batcher.under_way == 0
    batcher.close()


def test_long_decodes_whose_requests_have_timed_out_are_still_told(decoders: Decoders) -> None:
    model = Blocked()
    batcher = Batcher(model, Limits(stuck_s=1e-9, request_s=0.05), decoders)

    async def requests() -> None:
        for answer in await asyncio.gather(*(batcher.predict([("slow", b"slow")]) for _ in range(2)), return_exceptions=True):
            assert isinstance(answer, ApiError)
            assert answer.kind == "timeout"

    asyncio.run(requests())
    model.begun.acquire()
    model.begun.acquire()
    assert batcher.under_way == 0
    assert batcher.stuck()
    model.decode.set()
    decoders.shutdown()
    assert not batcher.stuck()
    batcher.close()


def test_an_engine_that_does_not_come_back_is_told(decoders: Decoders) -> None:
    model = Slow()
    batcher = Batcher(model, Limits(stuck_s=1e-9, request_s=PATIENCE_S), decoders, calls=1)

    async def requests() -> None:
        kept = asyncio.create_task(batcher.predict([("x", b"1")]))
        await asyncio.to_thread(model.working.wait, PATIENCE_S)
        assert batcher.stuck()
        model.go.set()
        await kept

    asyncio.run(requests())
    assert not batcher.stuck()
    batcher.close()


def test_a_picture_to_be_shown_is_waited_for_within_the_requests_time() -> None:
    go = threading.Event()
    with Decoders(1) as threads:
        with pytest.raises(ApiError, match=r"not decoded within 0\.05 s") as refusal:
            asyncio.run(in_time(threads, Limits(request_s=0.05, stuck_s=PATIENCE_S), lambda: go.wait(PATIENCE_S)))
        assert (refusal.value.status, refusal.value.kind) == (503, "timeout")
        with pytest.raises(ApiError, match="every thread"):
            asyncio.run(in_time(threads, Limits(stuck_s=1e-9), lambda: 1))
        go.set()
        assert asyncio.run(in_time(threads, Limits(**PATIENT), lambda: 1)) == 1
