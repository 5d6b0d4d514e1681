"""Labels as the engine of a run sees them: what they say of themselves, and what a set of them must have."""

import numpy as np
import pytest

from warmstart.errors import DataError
from warmstart.records import Example, Problem, Split
from warmstart.tasks.classify.targets import ClassTargets

NAMES = ("cat", "dog", "emu", "fox")


def targets(*labels: int, names: tuple[str, ...] = NAMES) -> ClassTargets:
    return ClassTargets(class_names=names, labels=np.array(labels, np.int64))


def problem(kind: str) -> Problem:
    return Problem(path="x.png", kind=kind, message="it is away")


def test_labels_are_places_in_the_list_of_names() -> None:
    made = ClassTargets.of([Example(path=name, class_name=name) for name in ("emu", "cat", "emu")], NAMES)
    assert made.labels.tolist() == [2, 0, 2]
    assert (len(made), made.keys(), made.kinds()) == (3, [2, 0, 2], [2, 0, 2])
    assert made.stamp(1) == "'cat'"
    assert made.take(np.array([1, 0])).labels.tolist() == [0, 2]
    assert made.summary() == {"classes": {"cat": 1, "dog": 0, "emu": 2, "fox": 0}}
    assert made.majority() == 2
    assert made.take(np.array([1])).majority() == 0


def test_classes_without_a_picture_leave_and_labels_close_up() -> None:
    settled = targets(0, 0, 3, 3, 2).settled(["train"] * 5, source="data", known=[problem("truncated")])
    assert settled.targets.class_names == ("cat", "emu", "fox")
    assert settled.targets.labels.tolist() == [0, 0, 2, 2, 1]
    assert settled.kept.tolist() == [0, 1, 2, 3, 4]
    assert [(p.kind, p.message.split("'")[1] if "'" in p.message else "") for p in settled.problems] == [
        ("truncated", ""),
        ("empty-class", "dog"),
        ("single-picture", "emu"),
    ]


def test_classes_that_lost_their_train_pictures_are_told_from_those_that_never_had_one() -> None:
    before: list[Split] = ["train", "train", "train", "test", "train", "train", "test", "test"]
    then = targets(0, 0, 1, 1, 2, 3, 3, 2)
    # All that emu and fox had in train turned out to be broken; dog has none left either.
    at = np.array([0, 1, 3, 6, 7])
    with pytest.raises(DataError, match=r"data: 1 class with usable pictures; at least two are needed\. it is away"):
        then.take(at).settled([before[i] for i in at], source="data", known=[problem("truncated")], before=(then, before))
    at = np.array([0, 1, 2, 3, 6, 7])
    settled = then.take(at).settled([before[i] for i in at], source="data", known=(), before=(then, before))
    assert settled.targets.class_names == ("cat", "dog")
    assert settled.kept.tolist() == [0, 1, 2, 3]
    assert settled.problems[0].message == (
        "emu, fox: no readable picture in train. Nothing to learn from, so left out. Add pictures."
    )
    only_test: list[Split] = ["train", "train", "test", "test"]
    never = targets(0, 1, 2, 3)
    told = never.settled(only_test, source="data", known=(), before=(never, only_test)).problems[0].message
    assert told.startswith("emu, fox: no picture in train, only in val or test.")


@pytest.mark.parametrize(("kind", "stops"), [("missing", True), ("memory", True), ("changed", True), ("truncated", False)])
def test_a_class_that_is_gone_for_a_moment_stops_the_run_and_one_whose_bytes_are_broken_does_not(
    kind: str, stops: bool
) -> None:
    listed = targets(0, 0, 1)
    left, lost = listed.take(np.array([0, 1])), {2: problem(kind)}
    if stops:
        with pytest.raises(
            DataError, match=r"no picture of dog can be read although they were listed a moment ago; the first: it is"
        ):
            listed.require_still_there(left, lost, source="data")
    else:
        listed.require_still_there(left, lost, source="data")
    listed.require_still_there(listed.take(np.array([0, 2])), {1: problem(kind)}, source="data")  # a cat is left


def test_names_that_look_alike_are_said() -> None:
    assert targets(0, 1, names=("Cat", "cat")).notices()[0].kind == "alike-names"
    assert targets(0, 1, names=("cat", "dog")).notices() == ()
