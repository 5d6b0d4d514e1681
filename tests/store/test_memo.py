import json
import os
import time
from dataclasses import dataclass

import pytest

from warmstart.records import json_digest
from warmstart.store import memo as module
from warmstart.store.memo import remembered


@dataclass(frozen=True, kw_only=True)
class Inner:
    shares: dict[str, tuple[tuple[str, float], ...]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    count: int
    interval: tuple[float, float]
    inner: Inner
    several: tuple[Inner, ...]
    perhaps: Inner | None


def measured(count: int = 3) -> Measured:
    inner = Inner(shares={"cat": (("tabby", 0.1 + 0.2), ("tiger", 1 / 3))})
    return Measured(count=count, interval=(0.25, 1e-17), inner=inner, several=(inner, inner), perhaps=None)


def write_sealed(path, content):
    """With its own digest, so that nothing but its types can be wrong."""
    content.pop("digest")
    path.write_text(json.dumps(content | {"digest": json_digest(content)}))


def never() -> Measured:
    raise AssertionError("measured again")


def test_an_answer_is_measured_once_and_comes_back_equal_in_every_type_and_bit(tmp_path):
    assert remembered(tmp_path, {"pictures": "a"}, Measured, measured) == measured()

    assert remembered(tmp_path, {"pictures": "a"}, Measured, never) == measured()


def test_another_question_is_another_measurement(tmp_path):
    remembered(tmp_path, {"pictures": "a"}, Measured, measured)

    assert remembered(tmp_path, {"pictures": "b"}, Measured, lambda: measured(4)).count == 4


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", "[" * 5000, '{"count": 3}'])
def test_a_damaged_document_is_measured_again_and_mended(tmp_path, content):
    remembered(tmp_path, {}, Measured, measured)
    (document,) = tmp_path.glob("*.json")
    document.write_text(content)

    assert remembered(tmp_path, {}, Measured, lambda: measured(5)).count == 5
    assert remembered(tmp_path, {}, Measured, never).count == 5


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("count",), "3"),
        (("count",), 3.5),
        (("count",), True),
        (("count",), None),
        (("interval",), [0.25]),
        (("interval",), ["a", "b"]),
        (("interval",), "ab"),
        (("interval", 0), float("nan")),
        (("inner",), None),
        (("inner", "shares"), None),
        (("inner", "shares", "cat", 0, 0), 5),
        (("several",), {}),
        (("several", 1), "inner"),
        (("perhaps",), 0),
        (("another",), 1),
    ],
)
def test_a_document_that_was_changed_by_hand_into_what_no_measurement_gives_is_measured_again(tmp_path, path, value):
    remembered(tmp_path, {}, Measured, measured)
    (document,) = tmp_path.glob("*.json")
    content = json.loads(document.read_text())
    place = content["answer"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    write_sealed(document, content)

    assert remembered(tmp_path, {}, Measured, lambda: measured(5)).count == 5
    assert remembered(tmp_path, {}, Measured, never).count == 5


def test_a_whole_number_is_a_number(tmp_path):
    remembered(tmp_path, {}, Measured, measured)
    (document,) = tmp_path.glob("*.json")
    write_sealed(document, json.loads(document.read_text().replace("0.25", "0")))

    assert remembered(tmp_path, {}, Measured, never).interval[0] == 0


def test_an_answer_that_is_too_old_is_measured_again(tmp_path):
    remembered(tmp_path, {}, Measured, measured)
    (document,) = tmp_path.glob("*.json")
    an_hour_ago = time.time() - 3600
    os.utime(document, (an_hour_ago, an_hour_ago))

    assert remembered(tmp_path, {}, Measured, never, keep_s=4000) == measured()
    assert remembered(tmp_path, {}, Measured, lambda: measured(6), keep_s=3000).count == 6


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")

    assert remembered(tmp_path / "file", {}, Measured, measured) == measured()


def test_the_oldest_documents_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_DOCUMENTS", 2)
    for number in range(4):
        remembered(tmp_path, {"number": number}, Measured, lambda number=number: measured(number))
        newest = max(tmp_path.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (1000 + number, 1000 + number))

    assert len(list(tmp_path.glob("*.json"))) == 2
    assert remembered(tmp_path, {"number": 3}, Measured, never).count == 3


def test_a_value_that_was_edited_or_damaged_is_measured_again(tmp_path):
    remembered(tmp_path, {}, Measured, measured)
    (document,) = tmp_path.glob("*.json")
    document.write_text(document.read_text().replace('"count": 3', '"count": 7'))

    assert remembered(tmp_path, {}, Measured, lambda: measured(5)).count == 5


def test_the_document_of_another_question_is_no_answer(tmp_path):
    remembered(tmp_path, {"pictures": "a"}, Measured, measured)
    (first,) = tmp_path.glob("*.json")
    remembered(tmp_path, {"pictures": "b"}, Measured, lambda: measured(4))
    (second,) = set(tmp_path.glob("*.json")) - {first}
    second.replace(first)

    assert remembered(tmp_path, {"pictures": "a"}, Measured, measured).count == 3
    assert remembered(tmp_path, {"pictures": "a"}, Measured, never).count == 3


def test_what_was_measured_while_something_was_out_of_reach_is_not_kept(tmp_path):
    assert remembered(tmp_path, {}, Measured, lambda: measured(4), lasting=lambda: False).count == 4
    assert remembered(tmp_path, {}, Measured, measured).count == 3
    assert remembered(tmp_path, {}, Measured, never, lasting=lambda: False).count == 3
