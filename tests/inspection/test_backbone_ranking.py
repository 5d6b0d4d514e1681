"""Successive halving on made-up backbones of known worth."""

import numpy as np

from warmstart.tasks.classify.evidence.backbone_ranking import FIRST_PICTURES, MOST_PICTURES, compete

N = 1000
Y = (np.arange(N) % 2).astype(np.int64)
WORTH = {"strong": 1.2, "twin": 1.2, "weak": 0.3, "blind": 0.0}


def run(names: list[str], n: int = N) -> tuple[tuple[object, ...], dict[str, list[int]]]:
    asked: dict[str, list[int]] = {name: [] for name in names}

    def features(name: str, positions: np.ndarray) -> np.ndarray:
        asked[name].append(len(positions))
        random = np.random.default_rng(sorted(WORTH).index(name))
        X = random.normal(size=(N, 5)) + WORTH[name] * (2 * Y - 1)[:, None] * np.array([1, 0.5, 0, 0, 0])
        return X[positions].astype(np.float32)

    order = np.random.default_rng(0).permutation(n)
    return compete(names, features, Y, order, n_classes=2, seed=0), asked


def test_the_better_comes_first_and_the_blind_last() -> None:
    places, _ = run(["blind", "weak", "strong"])
    assert [place.name for place in places] == ["strong", "weak", "blind"]
    assert not places[-1].tied_with_best


def test_those_far_behind_leave_early_and_cost_little() -> None:
    _, asked = run(["blind", "weak", "strong", "twin"])
    assert asked["blind"] == [FIRST_PICTURES]
    assert asked["strong"][-1] == MOST_PICTURES


def test_equals_stay_to_the_end_and_are_called_equal() -> None:
    places, asked = run(["strong", "twin"])
    assert asked["twin"][-1] == asked["strong"][-1] == MOST_PICTURES
    assert all(place.tied_with_best for place in places)


def test_few_pictures_are_one_round() -> None:
    places, asked = run(["strong", "blind"], n=60)
    assert asked == {"strong": [60], "blind": [60]}
    assert places[0].name == "strong"
