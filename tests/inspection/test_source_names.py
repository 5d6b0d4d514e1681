import numpy as np
import pytest

from warmstart.tasks.classify.evidence.source_classes import source_names


def names_of(pooled: np.ndarray, labels: np.ndarray) -> object:
    return source_names(
        pooled.astype(np.float32),
        labels.astype(np.int64),
        weight=np.eye(4, dtype=np.float32) * 10,
        bias=np.zeros(4, np.float32),
        source_class_names=("tabby", "beagle", "pug", "teapot"),
        class_names=("cat", "dog"),
        seed=0,
    )


def test_source_classes_that_mean_the_targets_name_every_picture() -> None:
    labels = np.arange(60) % 2
    guesses = np.where(labels == 0, 0, 1 + (np.arange(60) // 2) % 2)  # cats are tabbies, dogs beagles or pugs
    found = names_of(np.eye(4)[guesses], labels)
    assert found.named == 1
    assert found.by_class["cat"] == (("tabby", 1.0),)
    assert found.by_class["dog"] == (("beagle", 0.5), ("pug", 0.5))


def test_a_source_that_sees_teapots_everywhere_names_the_majority() -> None:
    labels = (np.arange(60) % 3 == 0).astype(int)
    found = names_of(np.eye(4)[np.full(60, 3)], labels)
    assert found.named == found.majority == pytest.approx(2 / 3)


def test_random_guesses_over_many_source_classes_gain_nothing_by_renaming() -> None:
    """The names are learnt on other pictures; on the same ones every rare source class would look like a perfect name."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 200)
    found = source_names(
        np.eye(150, dtype=np.float32)[random.integers(0, 150, 200)],
        labels,
        weight=np.eye(150, dtype=np.float32) * 20,
        bias=np.zeros(150, np.float32),
        source_class_names=[str(i) for i in range(150)],
        class_names=("a", "b"),
        seed=0,
    )
    assert found.named < 0.62
