"""How far predictions can be trusted: coverage and calibration over reshuffles, novelty against pictures from elsewhere.

    python benchmarks/trust.py DATA [--reshuffles 20] [--only coverage novelty]

DATA brings its own split (train, val, test); EfficientNet-Lite0 at 224 px, frozen, linear head.

coverage   The pictures of val and test are dealt anew, train stays. Each time the head is fitted on train and val and calibrated as
           `train` does it, and test is scored: coverage and size of sets by the score that is used (LAC) and by two that are not (APS:
           Y. Romano, M. Sesia, E. Candès, NeurIPS 2020; RAPS: A. Angelopoulos et al., ICLR 2021; both without randomisation), the least
           coverage of a class, and the calibration error beside what chance alone gives a calibrated model in 95 of 100 draws.
novelty    Area under the ROC curve of test pictures against outliers: by distance to neighbours in banks of several sizes, by Mahalanobis
           distance to the nearest class in 128 principal components (K. Lee et al., NeurIPS 2018), and by the probability of the
           predicted class (D. Hendrycks, K. Gimpel, ICLR 2017). Outliers: solar cells, drawn shapes, noise, crops of two photographs;
           and near ones, a class that was left out of the bank, each class in turn.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from warmstart import machine
from warmstart.data.listing import read_listing
from warmstart.evaluation import novelty
from warmstart.model.features import FeatureExtractor
from warmstart.plan import Plan
from warmstart.session.calibration import of_frozen
from warmstart.session.probe import probe
from warmstart.session.progress import NullProgress
from warmstart.session.run_state import Probe
from warmstart.session.session import Session
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify.conformal import conformity, of_label, threshold
from warmstart.tasks.classify.demo import solar_cells
from warmstart.tasks.classify.metrics import auroc
from warmstart.tasks.classify.task import TASK
from warmstart.tasks.classify.temperature import softmax
from warmstart.tasks.classify.trusted import described
from warmstart.workflows.train import frozen

COVERAGES = (0.80, 0.90, 0.95, 0.99)
COMPONENTS = 128
SOME = 200  # pictures of each kind of outlier


def aps(probabilities: np.ndarray, *, penalty: float = 0.0, free: int = 5) -> np.ndarray:
    """Scores (N, K): the probability of all classes up to this one; from the ``free``-th on each costs ``penalty`` more (RAPS)."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1, dtype=np.float64)
    total += penalty * np.maximum(np.arange(1, probabilities.shape[1] + 1) - free, 0)
    scores = np.empty_like(total)
    np.put_along_axis(scores, order, total, axis=1)
    return scores


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "LAC": conformity,
    "APS": aps,
    "RAPS": lambda probabilities: aps(probabilities, penalty=0.01),
}


def coverage(seen: Probe, reshuffles: int, out: Console) -> None:
    """Both tables of the first part."""
    sets: dict[tuple[str, float], list[tuple[float, float, float]]] = {}
    errors = []
    for dataset in _reshuffled(seen, reshuffles):
        dealt = replace(seen, dataset=dataset)
        trained = frozen(dealt, NullProgress())
        test = dataset.positions("test")
        targets, found = dataset.targets.take(test), trained.model.outputs(trained.rows[test])
        labels, probabilities = targets.labels, found.probabilities
        calibration = of_frozen(dealt)
        held_out = softmax(calibration.outputs.logits, trained.model.fitted.temperature)
        for name, score in SCORES.items():
            scores = score(probabilities)
            for share in COVERAGES:
                inside = scores <= threshold(of_label(score(held_out), calibration.targets.labels), share)
                right = inside[np.arange(len(test)), labels]
                worst = min(right[labels == label].mean() for label in np.unique(labels))
                sets.setdefault((name, share), []).append((right.mean(), inside.sum(axis=1).mean(), worst))
        trust = described(trained.model.fitted, found, targets)
        errors.append((trust["ece"]["before"], trust["ece"]["after"], trust["ece"]["p95_when_calibrated"]))
    table = Table("score", "asked", "coverage, mean (lowest - highest)", "classes in a set", "least covered class, mean")
    for (name, share), rows in sets.items():
        covered, size, worst = np.array(rows).T
        spread = f"{covered.mean():.3f} ({covered.min():.3f} - {covered.max():.3f})"
        table.add_row(name, f"{share:.2f}", spread, f"{size.mean():.2f}", f"{worst.mean():.2f}")
    out.print(table)
    before, after, chance = np.array(errors).T
    out.print(
        f"calibration error, {len(errors)} reshuffles: {before.mean():.3f} before, {after.mean():.3f} after temperature scaling; "
        f"a calibrated model stays below {chance.mean():.3f} in 95 of 100 draws; so did {np.mean(after <= chance):.0%} of the reshuffles"
    )


def _reshuffled(seen: Probe, times: int) -> Iterator[Any]:
    """The data set with the pictures of val and test dealt anew, class by class in the same numbers. Raises SystemExit where val chose."""
    if not seen.learnt.by_folds:
        raise SystemExit("here val chose taps and penalty, so it cannot change places with test")
    dataset = seen.dataset
    held_out = dataset.positions("val", "test")
    for seed in range(times):
        random = np.random.default_rng(seed)
        splits = list(dataset.splits)
        for label in np.unique(dataset.targets.labels[held_out]):
            of_class = held_out[dataset.targets.labels[held_out] == label]
            for place, split in zip(random.permutation(of_class), [dataset.splits[i] for i in of_class], strict=True):
                splits[place] = split
        yield replace(dataset, splits=tuple(splits))


def outliers() -> dict[str, list[Any]]:
    """Pictures that have nothing to do with clothing."""
    from sklearn.datasets import load_sample_image

    random = np.random.default_rng(0)
    cells = [example.path for example in solar_cells()[0].examples]
    crops = []
    for name in ("flower.jpg", "china.jpg"):
        photograph = Image.fromarray(load_sample_image(name))
        for _ in range(SOME // 2):
            side = int(random.integers(120, 400))
            x, y = int(random.integers(0, 640 - side)), int(random.integers(0, 427 - side))
            crops.append(photograph.crop((x, y, x + side, y + side)))
    return {
        "solar cells": [cells[i] for i in random.permutation(len(cells))[:SOME]],
        "drawn shapes": [_shape(random) for _ in range(SOME)],
        "noise": [random.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(SOME)],
        "crops of 2 photos": crops,
    }


def _shape(random: np.random.Generator) -> Image.Image:
    ground = Image.new("RGB", (96, 96), tuple(int(level) for level in random.integers(0, 256, 3)))
    pen = ImageDraw.Draw(ground)
    for _ in range(3):
        x, y, side = (int(number) for number in random.integers(5, 60, 3))
        draw = (pen.ellipse, pen.rectangle)[int(random.integers(2))]
        draw((x, y, x + side, y + side), fill=tuple(int(level) for level in random.integers(0, 256, 3)))
    return ground


def novelties(seen: Probe, out: Console) -> None:
    """The table of the second part."""
    dataset = seen.dataset
    extractor = FeatureExtractor().fit([dataset.pictures[0].path])
    known, test = dataset.positions("train", "val"), dataset.positions("test")
    X = extractor.transform([picture.path for picture in dataset.pictures])
    far = {name: extractor.transform(pictures) for name, pictures in outliers().items()}
    table = Table("scored by", *far, "a class left out")
    trained = frozen(seen, NullProgress()).model
    all_taps = FeatureExtractor(taps="all").fit([dataset.pictures[0].path])
    shares = {name: trained.probabilities(all_taps.transform(pictures)) for name, pictures in outliers().items()}
    of_test = 1 - trained.probabilities(seen.rows[test]).max(axis=1)
    unsure = [_area(of_test, 1 - probabilities.max(axis=1)) for probabilities in shares.values()]
    table.add_row("1 - probability", *(f"{area:.3f}" for area in unsure), "")
    makers: dict[str, Callable[[np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
        f"neighbours, bank of {size:,}": lambda rows, size=size: _neighbours(X[rows[_some(len(rows), size)]])
        for size in (300, novelty.BANK, len(known))
    }
    makers["Mahalanobis"] = lambda rows: _mahalanobis(X[rows], dataset.targets.labels[rows])
    for name, make in makers.items():
        score = make(known)
        areas = [_area(score(X[test]), score(features)) for features in far.values()]
        near = []
        for label in range(len(dataset.targets.class_names)):
            others = make(known[dataset.targets.labels[known] != label])
            is_it = dataset.targets.labels[test] == label
            near.append(_area(others(X[test[~is_it]]), others(X[test[is_it]])))
        table.add_row(name, *(f"{area:.3f}" for area in areas), f"{np.mean(near):.3f}")
    out.print(table)


def _some(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(n)[:size]


def _neighbours(features: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    bank = novelty._directions(features).astype(np.float16)
    return lambda rows: novelty._distances(novelty._directions(rows), bank)


def _mahalanobis(features: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    Z = (features - mean) / scale
    _, vectors = np.linalg.eigh(Z.T @ Z)
    axes = vectors[:, -COMPONENTS:]
    P = Z @ axes
    means = np.stack([P[labels == label].mean(axis=0) for label in np.unique(labels)])
    within = P - means[np.searchsorted(np.unique(labels), labels)]
    covariance = within.T @ within / len(within)
    covariance += 1e-3 * np.trace(covariance) / COMPONENTS * np.eye(COMPONENTS)
    whiten = np.linalg.cholesky(np.linalg.inv(covariance))

    def score(rows: np.ndarray) -> np.ndarray:
        apart = ((rows - mean) / scale @ axes)[:, None] - means[None]
        return np.asarray((apart @ whiten).__pow__(2).sum(axis=2).min(axis=1))

    return score


def _area(inside: np.ndarray, outside: np.ndarray) -> float:
    scores = np.concatenate([inside, outside])
    labels = np.repeat([0, 1], [len(inside), len(outside)])
    return auroc(np.stack([-scores, scores], axis=1), labels) or 0.0


def main() -> None:
    """Arguments, then both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--reshuffles", type=int, default=20)
    parser.add_argument("--only", nargs="+", choices=("coverage", "novelty"), default=("coverage", "novelty"))
    given = parser.parse_args()
    out = Console(width=140)
    with Session.opened(TrainSettings(), TASK, NullProgress()) as session, machine.calm_blas():
        seen = probe(read_listing(str(given.data)), Plan(), session)
    with machine.calm_blas():
        if "coverage" in given.only:
            coverage(seen, given.reshuffles, out)
        if "novelty" in given.only:
            novelties(seen, out)


if __name__ == "__main__":
    main()
