"""From logits to probabilities that mean what they say.

logits ── softmax(logits / T) ──► probabilities ── reliability_bins ──► expected calibration error
                                       └─ error_when_calibrated ──► what that error is by chance alone

The temperature T is fitted on pictures the head has not seen; it changes no prediction, only how sure one is
(C. Guo, G. Pleiss, Y. Sun, K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017).

N examples, K classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15  # Guo et al. 2017, §5 and table 1
TEMPERATURE_RANGE = (0.05, 20.0)  # separable or useless logits have their optimum at 0 or infinity; we stop here


@dataclass(frozen=True, slots=True)
class Bin:
    """The predictions whose confidence lies in (low, high]. ``accuracy`` and ``confidence`` are 0 in an empty bin."""

    low: float
    high: float
    count: int
    accuracy: float
    confidence: float


def softmax(logits: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.floating]:
    """Probabilities (N, K) of the logits (N, K), in their dtype. Adding a constant to a row changes nothing."""
    scaled = logits / logits.dtype.type(temperature)
    exp = np.exp(scaled - scaled.max(axis=1, keepdims=True))  # the largest exponent is 0: nothing overflows
    return np.asarray(exp / exp.sum(axis=1, keepdims=True))


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer], *, doubt: float = 0.0) -> float:
    """The T in `TEMPERATURE_RANGE` for which softmax(logits / T) has the smallest log-loss (Guo et al. 2017, §4.2).

    ``doubt`` is a share of each picture that counts as one of the other classes, all alike. Where every picture is right the best T is 0,
    which promises never to be wrong; 1 / (N + 2) says that a mistake may just not have been seen yet, as the rule of succession does and J.
    Platt, "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2.

    With β = 1/T and p = softmax(βz), the loss of a row is log Σ exp(βz) - βz_y: convex in β, slope E_p[z] - z_y, curvature
    Var_p[z]. So a Newton step on the slope, kept inside a bracket that halves whenever the step would leave it.

    Raises ValueError for no rows.
    """
    if len(labels) == 0:
        raise ValueError("no pictures to fit a temperature on")
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    z_label = z[np.arange(len(labels)), labels]
    if doubt:
        z_label = (1 - doubt) * z_label + doubt * (z.sum(axis=1) - z_label) / max(1, z.shape[1] - 1)
    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    beta = 1.0
    for _ in range(60):
        exp = np.exp(beta * z)
        p = exp / exp.sum(axis=1, keepdims=True)
        mean = (p * z).sum(axis=1)
        slope = float(np.mean(mean - z_label))
        curvature = float(np.mean((p * z * z).sum(axis=1) - mean * mean))
        if slope < 0:
            low = beta
        else:
            high = beta
        newton = beta - slope / curvature if curvature > 0 else low
        # At an end of the range no Newton point lies strictly inside; the geometric mean then walks to that end.
        following = newton if low < newton < high else float(np.sqrt(low * high))
        if abs(following - beta) <= 1e-7 * beta:
            break
        beta = following
    return 1 / beta


def reliability_bins(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], predicted: NDArray[np.integer], *, bins: int = BINS
) -> tuple[Bin, ...]:
    """Predictions grouped by confidence, the probability (N, K) of the class that was predicted (N,), in equal widths."""
    confidence = probabilities[np.arange(len(labels)), predicted].astype(np.float64)
    # Bins are open on the left as in the paper; a confidence of exactly 0 joins the first.
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    right = np.bincount(place, weights=predicted == labels, minlength=bins)
    total = np.bincount(place, weights=confidence, minlength=bins)
    filled = np.maximum(count, 1)
    return tuple(
        Bin(i / bins, (i + 1) / bins, int(count[i]), float(right[i] / filled[i]), float(total[i] / filled[i]))
        for i in range(bins)
    )


def expected_calibration_error(bins: tuple[Bin, ...]) -> float:
    """Σ count/N · |accuracy - confidence| (Guo et al. 2017, equation 3); 0 … 1."""
    n = sum(b.count for b in bins)
    return sum(b.count / n * abs(b.accuracy - b.confidence) for b in bins)


def error_when_calibrated(
    confidence: NDArray[np.floating], *, quantile: float = 0.95, bins: int = BINS, draws: int = 1000, seed: int = 0
) -> float:
    """The expected calibration error that a perfectly calibrated model stays below with probability ``quantile``.

    The error of N pictures is never 0, because which of them are right is chance (J. Vaicenavicius et al., "Evaluating model calibration
    in classification", AISTATS 2019, section 4: consistency resampling). Here each of the predictions is right with the very
    probability ``confidence`` (N,) that was said of it, ``draws`` times.
    """
    p = confidence.astype(np.float64)
    place = np.clip(np.ceil(p * bins).astype(np.int64) - 1, 0, bins - 1)
    said = np.bincount(place, weights=p, minlength=bins)
    random = np.random.default_rng(seed)
    errors = []
    for _ in range(draws):
        right = np.bincount(place, weights=random.random(len(p)) < p, minlength=bins)
        errors.append(np.abs(right - said).sum() / len(p))
    return float(np.quantile(errors, quantile))
