"""Class names as a tree: sums, the deepest sure answer, accuracy at each depth, each beside a brute force that cuts texts."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmstart.errors import UsageError
from warmstart.evaluation.intervals import wilson
from warmstart.records import Prediction, Scores
from warmstart.tasks.classify.answers import ClassAnswers
from warmstart.tasks.classify.metrics import score
from warmstart.tasks.classify.tree import (
    Tree,
    by_depth,
    confusion_at,
    levels,
    read_as_tree,
    sure_on_test,
    surely,
)
from warmstart.tasks.classify.trust import Trust

PETS = ("animal>dog>poodle", "animal>dog>pug", "animal>owl", "fern")


def cut(name: str, depth: int) -> str:
    return ">".join(name.split(">")[:depth])


def at_or_below(name: str, node: str) -> bool:
    return f"{name}>".startswith(f"{node}>")


names_of_trees = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(">".join), min_size=2, max_size=12, unique=True
)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Tree, np.ndarray]:
    """A tree, and probabilities (5, K), some rows of them sharp."""
    names = draw(names_of_trees)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = random.normal(size=(5, len(names))) * draw(st.sampled_from([0.1, 2.0, 10.0]))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return Tree.of(names), shares / shares.sum(axis=1, keepdims=True)


@settings(max_examples=40)
@given(trees())
def test_a_node_is_worth_the_sum_of_the_classes_at_or_below_it(made: tuple[Tree, np.ndarray]) -> None:
    tree, shares = made
    expected = [
        [
            sum(p for name, p in zip(tree.class_names, row, strict=True) if at_or_below(name, node) or name == node)
            for node in tree.names
        ]
        for row in shares
    ]
    assert np.allclose(tree.sums(shares), expected, atol=1e-12)
    assert np.allclose(tree.sums(shares)[:, tree.depths == 1].sum(axis=1), 1)


@settings(max_examples=40)
@given(trees(), st.floats(0.5, 1, exclude_min=True, exclude_max=True))
def test_what_is_sure_lies_on_one_way_and_its_deepest_is_the_answer(made: tuple[Tree, np.ndarray], sure: float) -> None:
    tree, shares = made
    sums = tree.sums(shares)
    nodes, worth = tree.surest(shares, sure)
    for i, node in enumerate(nodes):
        enough = [name for name, value in zip(tree.names, sums[i], strict=True) if value >= sure]
        if node < 0:
            assert enough == []
            assert np.isnan(worth[i])
            continue
        answer = tree.names[node]
        assert worth[i] == sums[i, node] >= sure
        assert all(at_or_below(answer, other) for other in enough)  # what is sure beside it stands above it


@settings(max_examples=40)
@given(trees(), st.floats(0.5, 1, exclude_min=True, exclude_max=True), st.floats(0.5, 1, exclude_min=True, exclude_max=True))
def test_who_wants_to_be_surer_is_answered_less_deep(made: tuple[Tree, np.ndarray], one: float, other: float) -> None:
    tree, shares = made
    (less, _), (more, _) = (tree.surest(shares, sure) for sure in sorted((one, other)))
    for loose, strict in zip(less, more, strict=True):
        assert strict < 0 or at_or_below(tree.names[loose], tree.names[strict])


@settings(max_examples=40)
@given(trees(), st.integers(0, 2**32))
def test_accuracy_at_a_depth_is_that_of_names_cut_to_it(made: tuple[Tree, np.ndarray], seed: int) -> None:
    tree, _ = made
    random = np.random.default_rng(seed)
    names, k = tree.class_names, len(tree.class_names)
    labels, predicted = random.integers(k, size=20), random.integers(k, size=20)
    found = by_depth(names, labels, predicted, 0)
    if not tree.is_nested:
        assert found == ()
        return
    assert len(found) == max(name.count(">") for name in names) + 1
    for depth, one in enumerate(found, 1):
        right = sum(cut(names[t], depth) == cut(names[p], depth) for t, p in zip(labels, predicted, strict=True))
        usual = sum(cut(names[t], depth) == cut(names[0], depth) for t in labels)
        assert (one.accuracy, one.majority_accuracy) == (right / 20, usual / 20)
        assert one.accuracy_ci95 == wilson(right, 20)
    assert found[-1].accuracy == np.mean(labels == predicted)
    assert [one.accuracy for one in found] == sorted((one.accuracy for one in found), reverse=True)
    confusion = np.zeros((k, k), int)
    np.add.at(confusion, (labels, predicted), 1)
    nodes, counts = confusion_at(tree, confusion.tolist(), 1)
    assert sorted(nodes) == sorted({cut(name, 1) for name in names})
    assert np.trace(np.array(counts)) == round(20 * found[0].accuracy)
    assert np.sum(counts) == 20


def test_an_example_by_hand() -> None:
    tree = Tree.of(PETS)
    assert tree.names == ("animal", "fern", "animal>dog", "animal>owl", "animal>dog>poodle", "animal>dog>pug")
    nodes, worth = tree.surest(np.array([[0.4, 0.55, 0.0, 0.05], [0.96, 0.01, 0.02, 0.01], [0.3, 0.2, 0.1, 0.4]]), 0.9)
    assert [tree.names[node] if node >= 0 else None for node in nodes] == ["animal>dog", "animal>dog>poodle", None]
    assert np.allclose(worth[:2], [0.95, 0.96])


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "dog"),
        ("<=50K", ">50K"),  # a part of the name is empty
        ("age>30", "size"),  # nothing stands together
        ("a>b", "c>d"),
        (">", ">>"),
    ],
)
def test_names_that_are_no_tree_stay_what_they_are(names: tuple[str, ...]) -> None:
    tree = Tree.of(names)
    assert (tree.is_nested, tree.names) == (False, names)
    assert by_depth(names, np.array([0, 1]), np.array([0, 0]), 0) == ()
    assert read_as_tree(names, [1, 1]) == ()
    assert sure_on_test(names, np.array([[0.9, 0.1]]), np.array([0])) == []


def test_space_does_not_count_and_a_class_may_have_others_below_it() -> None:
    tree = Tree.of(("animal > dog", "animal>dog>pug", "animal>owl"))
    assert tree.inner == ("animal > dog",)
    assert tree.names == ("animal", "animal > dog", "animal>owl", "animal>dog>pug")
    (node,), (worth,) = tree.surest(np.array([[0.5, 0.45, 0.05]]), 0.9)
    assert (tree.names[node], worth) == ("animal > dog", 0.95)
    of_tree, of_inner = read_as_tree(tree.class_names, [7, 8, 9])
    assert "3 classes on 3 levels, at the top animal (3)" in of_tree.message
    assert "7 pictures are of 'animal > dog', which has classes below" in of_inner.message
    assert levels(tree, ["animal > dog", None, "animal>dog>pug", "animal"]) == [1, 1, 1, 1]


def test_scores_of_a_tree_are_read_again_and_those_of_others_are_as_they_were() -> None:
    shares, labels = np.full((4, 4), 0.25), np.array([0, 1, 2, 3])
    made = score(
        probabilities=shares,
        labels=labels,
        class_names=PETS,
        majority_label=0,
        used_for_choosing=False,
        predicted=np.array([0, 0, 1, 3]),
    )
    document = made.to_dict()
    assert {name: value for name, value in document.items() if "depth" in name and "ci95" not in name} == {
        "accuracy_depth1": 1.0,
        "accuracy_depth2": 0.75,
        "accuracy_depth3": 0.5,
        "majority_accuracy_depth1": 0.75,
        "majority_accuracy_depth2": 0.5,
        "majority_accuracy_depth3": 0.25,
    }
    assert document["accuracy_depth1_ci95"] == wilson(4, 4)
    assert Scores.from_dict(json.loads(json.dumps(document))) == made
    assert not any("depth" in name for name in replace(made, by_depth=()).to_dict())


def test_what_was_sure_on_test_is_counted_by_depth() -> None:
    shares = np.array([[0.4, 0.55, 0.0, 0.05], [0.96, 0.01, 0.02, 0.01], [0.3, 0.2, 0.1, 0.4], [0.02, 0.02, 0.01, 0.95]])
    found = {row["asked"]: row for row in sure_on_test(PETS, shares, np.array([0, 1, 3, 3]))}
    assert found[0.9] == {
        "asked": 0.9,
        "pictures": 4,
        "answered": 3,
        "right": 2 / 3,
        "right_ci95": list(wilson(2, 3)),
        "depths": [
            {"depth": 1, "answered": 1, "right": 1},
            {"depth": 2, "answered": 1, "right": 1},
            {"depth": 3, "answered": 1, "right": 0},
        ],
    }


def answers(names: tuple[str, ...], *, calibrated: bool = True) -> ClassAnswers:
    trust = Trust(calibration=np.zeros(3), test=np.zeros(0), novelty=None) if calibrated else None
    return ClassAnswers(class_names=names, positive=None, threshold=None, trust=trust, uncalibrated="")


def said(names: tuple[str, ...], *shares: float) -> Prediction:
    return answers(names).prediction("1.jpg", np.array(shares))


def test_the_answer_stands_beside_the_class_and_in_json_only_where_it_was_asked_for() -> None:
    plain = said(PETS, 0.4, 0.55, 0.0, 0.05)
    assert "sure" not in plain.to_dict()
    told = surely(answers(PETS), 0.9)(plain)
    assert told.class_name == "animal>dog>pug"
    assert told.to_dict()["sure"] == {"asked": 0.9, "class": "animal>dog", "probability": pytest.approx(0.95)}
    unsure = surely(answers(PETS), 0.96)(plain).to_dict()["sure"]
    assert unsure == {"asked": 0.96, "class": None, "probability": None}


def test_without_a_tree_it_is_the_class_or_nothing() -> None:
    told = surely(answers(("cat", "dog")), 0.9)
    for shares, expected in (((0.95, 0.05), "cat"), ((0.6, 0.4), None)):
        sure = told(said(("cat", "dog"), *shares)).sure
        assert sure is not None
        assert sure.class_name == expected


@pytest.mark.parametrize("asked", [0.5, 1.0, 0.0, -1.0, 90.0, float("nan"), float("inf")])
def test_a_share_that_is_none_is_refused(asked: float) -> None:
    with pytest.raises(UsageError, match=r"expected a share such as 0\.9"):
        surely(answers(PETS), asked)


def test_a_model_that_was_not_calibrated_cannot_be_sure() -> None:
    with pytest.raises(UsageError, match="not calibrated"):
        surely(answers(PETS, calibrated=False), 0.9)
