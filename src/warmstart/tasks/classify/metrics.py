"""From probabilities and labels to `Scores`: every number that is said about a split, computed in one place.

N examples, K classes. Labels and predictions are indices into ``class_names``.

macro-F1      mean of F1 over the classes that occur among labels or predictions; F1 of a class that is never right is 0
              (what scikit-learn computes with zero_division=0)
AUROC         chance that a random positive ranks above a random negative, ties counted half (J. Hanley, B. McNeil, Radiology
              1982); for K > 2 the mean over classes of one against the rest
log-loss      mean of -log(probability of the true class), probabilities not taken below `SMALLEST_PROBABILITY`
ECE           see `calibration`
at depth d    accuracy, where names of classes are a tree: see `tree.by_depth`
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from warmstart.evaluation.intervals import wilson
from warmstart.records import Scores
from warmstart.tasks.classify.temperature import expected_calibration_error, reliability_bins
from warmstart.tasks.classify.tree import by_depth

# float32's resolution at 1, whatever the dtype at hand: one confident mistake costs at most 16 nats, and the score of a split
# is the same from float32 and float64 probabilities.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)


def score(
    *,
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    majority_label: int,
    used_for_choosing: bool,
    predicted: NDArray[np.integer] | None = None,
) -> Scores:
    """Scores of probabilities (N, K) against labels (N,).

    ``predicted`` (N,) when it is not the most probable class, as with a threshold of its own for two classes.
    ``majority_label`` is the most frequent class of train.
    Raises ValueError for no pictures, mismatched shapes, labels outside 0 … K-1, or probabilities that are not.
    """
    n, k = probabilities.shape
    _check(probabilities, labels, class_names, predicted)
    if predicted is None:
        predicted = probabilities.argmax(axis=1)
    correct = predicted == labels
    confusion = np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
    per_class, macro_f1 = _per_class(confusion, class_names)
    return Scores(
        n=n,
        accuracy=float(correct.mean()),
        accuracy_ci95=wilson(int(correct.sum()), n),
        macro_f1=macro_f1,
        log_loss=log_loss(probabilities, labels),
        ece=expected_calibration_error(reliability_bins(probabilities, labels, predicted)),
        auroc=auroc(probabilities, labels),
        majority_accuracy=float(np.mean(labels == majority_label)),
        per_class=per_class,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        used_for_choosing=used_for_choosing,
        by_depth=by_depth(class_names, labels, predicted, majority_label),
    )


def log_loss(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], weights: NDArray[np.floating] | None = None
) -> float:
    """(Weighted) mean of -log p(true class) of probabilities (N, K), in nats; 0 is perfect, log K is guessing."""
    return float(np.average(log_losses(probabilities, labels), weights=weights))


def log_losses(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """(N,) -log p(true class) of each picture, in nats."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: NDArray[np.float64] = -np.log(np.clip(of_label, SMALLEST_PROBABILITY, 1.0))
    return losses


def auroc(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float | None:
    """Area under the ROC curve of probabilities (N, K), 0 … 1; None when a class has no example, so no curve."""
    k = probabilities.shape[1]
    if k < 2 or len(np.unique(labels)) < k:
        return None
    if k == 2:
        return _auroc_of_one(probabilities[:, 1], labels == 1)
    return float(np.mean([_auroc_of_one(probabilities[:, label], labels == label) for label in range(k)]))


def _check(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    predicted: NDArray[np.integer] | None,
) -> None:
    n, k = probabilities.shape
    if n == 0:
        raise ValueError("no pictures to score; a split without pictures has no scores")
    if len(class_names) != k:
        raise ValueError(f"probabilities have {k} columns for {len(class_names)} classes")
    for name, indices in (("labels", labels), ("predicted", predicted)):
        if indices is None:
            continue
        if indices.shape != (n,):
            raise ValueError(f"{name} have shape {indices.shape}, expected {(n,)} as the probabilities have {n} rows")
        if indices.min() < 0 or indices.max() >= k:
            raise ValueError(f"{name} reach from {indices.min()} to {indices.max()}, expected 0 to {k - 1}")
    # Negated so that NaN fails too: a NaN would pass through to JSON, which has no word for it.
    if not (probabilities.min() >= 0 and np.abs(probabilities.sum(axis=1) - 1).max() < 1e-3):
        raise ValueError("probabilities must not be negative and each row must sum to 1")


def _per_class(confusion: NDArray[np.integer], class_names: Sequence[str]) -> tuple[dict[str, dict[str, float]], float]:
    """Per class precision, recall, F1 and support, and macro-F1, of a confusion matrix (K, K), rows true."""
    right = np.diag(confusion).astype(np.float64)
    said, support = confusion.sum(axis=0), confusion.sum(axis=1)
    # The numerators are 0 wherever a denominator is, so max(…, 1) is the convention 0/0 = 0.
    precision = right / np.maximum(said, 1)
    recall = right / np.maximum(support, 1)
    f1 = 2 * right / np.maximum(said + support, 1)
    per_class = {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(f1[i]),
            "support": float(support[i]),
        }
        for i, name in enumerate(class_names)
    }
    return per_class, float(f1[(said + support) > 0].mean())


def _auroc_of_one(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Mann-Whitney U over the number of pairs. Equal scores share the mean of their ranks, which counts a tie as half."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    return float((rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
