"""Whether the source already has names for the target's classes: what its own classifier says about each folder.

Needs the pooled features and the classifier's weights only. N examples, D features, Z source classes, K classes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.heads.standardising import Array
from warmstart.tasks.classify.evidence.probing import folds_of
from warmstart.tasks.classify.heads.protocol import Labels
from warmstart.tasks.classify.temperature import softmax

SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class SourceNames:
    """What the source's classifier says."""

    by_class: dict[str, tuple[tuple[str, float], ...]]  # class → (source class, share of its pictures), the most frequent first
    named: float  # accuracy of "rename each source class to the target class it mostly meant", learnt on other folds, 0 … 1
    majority: float  # accuracy of always naming the most frequent class

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def source_names(
    pooled: Array,
    labels: Labels,
    *,
    weight: Array,
    bias: Array,
    source_class_names: Sequence[str],
    class_names: Sequence[str],
    seed: int,
    units: NDArray[np.int64] | None = None,
) -> SourceNames:
    """From pooled features (N, D) and the source's classifier, weight (Z, D) and bias (Z,)."""
    probabilities = softmax(pooled @ weight.T + bias)
    guesses = probabilities.argmax(axis=1).astype(np.int64)
    return SourceNames(
        by_class={name: _most_frequent(guesses[labels == k], source_class_names) for k, name in enumerate(class_names)},
        named=_renamed_accuracy(guesses, labels, len(source_class_names), len(class_names), seed, units),
        majority=float(np.bincount(labels).max() / len(labels)),
    )


def _most_frequent(guesses: Labels, names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    found, counts = np.unique(guesses, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    return tuple((names[found[i]], float(counts[i] / len(guesses))) for i in order)


def _renamed_accuracy(
    guesses: Labels, labels: Labels, n_source: int, n_classes: int, seed: int, units: NDArray[np.int64] | None
) -> float:
    """A source class that the other folds never met is renamed to their most frequent class."""
    fold_of = folds_of(labels, seed, units)
    right = 0
    for fold in range(int(fold_of.max()) + 1):
        rest = fold_of != fold
        votes = np.zeros((n_source, n_classes))
        np.add.at(votes, (guesses[rest], labels[rest]), 1)
        votes += 1e-3 * np.bincount(labels[rest], minlength=n_classes) / max(1, rest.sum())
        right += int(np.sum(votes.argmax(axis=1)[guesses[~rest]] == labels[~rest]))
    return right / len(labels)
