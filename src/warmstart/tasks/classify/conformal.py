"""Prediction sets: the classes that a picture may belong to, so that the true one is among them as often as one asks for.

    calibration pictures ── conformity ──► scores of their true classes ── threshold(coverage) ──► q
    a new picture        ── conformity ──► a score a class ──────────────── score ≤ q ───────────► its set

Split conformal prediction (H. Papadopoulos et al., "Inductive Confidence Machines for Regression", ECML 2002; V. Vovk, A. Gammerman, G.
Shafer, "Algorithmic Learning in a Random World", 2005, chapter 4): where calibration pictures and new ones are exchangeable, the true
class is in the set with a probability of at least ``coverage``, whatever the model is worth. A poor model pays with large sets.

The score is that of the least ambiguous sets (LAC: M. Sadinle, J. Lei, L. Wasserman, JASA 114, 2019): one minus the probability of the
class. Of all scores it makes the smallest sets on average when probabilities are right. One thing is changed: the most probable class
scores 0, so no set is empty and none lacks the class that the model predicts; as calibration pictures are scored alike, the guarantee
stays. The guarantee is for all pictures together, not for each class. What else was measured: `docs/trust.md`.

N pictures, K classes.
"""

import math

import numpy as np
from numpy.typing import NDArray


def conformity(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scores (N, K) of probabilities (N, K), 0 … 1: the smaller, the more at home the picture is in the class."""
    scores = 1 - probabilities.astype(np.float64)
    scores[np.arange(len(scores)), probabilities.argmax(axis=1)] = 0.0
    return scores


def of_label(scores: NDArray[np.float64], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """The scores (N,) of the true classes among scores (N, K)."""
    return np.asarray(scores[np.arange(len(labels)), labels])


def threshold(calibration: NDArray[np.floating], coverage: float) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest of n ``calibration`` scores; infinity where there are too few: sets then hold every class.

    Raises ValueError for a coverage that is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage {coverage} is outside 0 … 1 (exclusive)")
    # The product of a coverage such as 0.9 and 10 + … may lie a rounding above the whole number that is meant.
    rank = math.ceil((len(calibration) + 1) * coverage - 1e-9)
    return float(np.partition(calibration, rank - 1)[rank - 1]) if rank <= len(calibration) else math.inf


def prediction_sets(probabilities: NDArray[np.floating], limit: float) -> NDArray[np.bool_]:
    """Which classes are in the set of each picture, (N, K), for a limit as `threshold` gives it. The most probable one always is."""
    return np.asarray(conformity(probabilities) <= limit)
