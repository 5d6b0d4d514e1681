"""How well frozen features suit labels, without fitting the head that will read them: five scores, larger is better.

    logme          evidence of a Bayesian linear model (You, Liu, Wang, Long, ICML 2021)
    leep           log-likelihood of "source class → target class" (Nguyen, Hassner, Seeger, Archambeau, ICML 2020)
    nce            the same with the source's one best guess: -H(target | source) (Tran, Nguyen, Hassner, ICCV 2019)
    h_score        spread of class means against spread of all (Bao et al., ICIP 2019), shrunk as in Ibrahim et al., ECML 2022
    knn_accuracy   share of pictures whose nearest others name their class

They rank candidates; none of them is an accuracy but the last. N examples, D features, K target classes, Z source classes.
"""

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]
Labels = NDArray[np.int64]
Vector = NDArray[np.float64]

# Ratio of prior to noise precision, in units of the features' largest squared singular value: outside it the evidence is flat.
RATIO_RANGE = (1e-10, 1e6)
GRID = 65  # points over that range; the evidence may have two humps, so the best of a grid is refined, not the first found
NEIGHBOURS = 10
ROWS_AT_ONCE = 512


def logme(features: Features, labels: Labels) -> float:
    """Mean over classes of max log p(y | F) / N, for y (N,) the class's 0/1 column: nats per example, no upper bound.

    The model is y = F w + noise with w ~ N(0, 1/α) and noise ~ N(0, 1/β). With F = U S Vᵀ, λ = α/β and z = Uᵀ y the best β is
    N / E(λ), E = ‖y‖² - Σ z² s² / (s² + λ), and what is left is a function of λ alone:

        log p / N = ½ log(N / E) - ½ log 2π - ½ - Σ log(1 + s²/λ) / 2N

    so its maximum is found by a search in one dimension instead of the paper's fixed-point iteration, which may stop short.
    A class without examples does not count. Features are used as they come, without centring, as in the paper.
    """
    squares, projected = _left_spectrum(features, _one_hot(labels))
    lowest, highest = np.log(np.array(RATIO_RANGE) * max(float(squares.max(initial=0)), np.finfo(float).tiny))
    grid = np.linspace(lowest, highest, GRID)
    counts = np.bincount(labels)
    return float(
        np.mean(
            [
                _best_evidence(squares, z, float(n), len(labels), grid)
                for z, n in zip(projected.T, counts[counts > 0], strict=True)
            ]
        )
    )


def leep(source_probabilities: Features, labels: Labels) -> float:
    """Mean log Σ_z p(y | z) p(z | x), nats, at most 0; ``source_probabilities`` (N, Z) are the source head's on the target.

    p(y | z) is the empirical one: how the probability that the source gives to z is spread over the target's classes.
    """
    joint = _one_hot(labels).T @ source_probabilities.astype(np.float64) / len(labels)  # (K, Z)
    conditional = joint / np.maximum(joint.sum(axis=0), np.finfo(float).tiny)
    expected = (source_probabilities @ conditional.T)[np.arange(len(labels)), _dense(labels)]
    return float(np.mean(np.log(expected)))


def nce(source_labels: Labels, labels: Labels) -> float:
    """Minus the conditional entropy of the labels (N,) given the source's guesses (N,), nats, -log K … 0."""
    target, source = _dense(labels), _dense(source_labels)
    joint = np.zeros((target.max() + 1, source.max() + 1))
    np.add.at(joint, (target, source), 1 / len(labels))
    conditional = joint / joint.sum(axis=0)
    return float(np.sum(joint * np.log(np.where(joint > 0, conditional, 1))))


def h_score(features: Features, labels: Labels) -> float:
    """tr(Σ⁻¹ Σ_classes), 0 … K-1: how much of the spread of the features is spread between classes.

    Σ of (N, D) features with D near N or above is singular or nearly so, and the plain score then says D whatever the labels.
    So Σ is shrunk to (1-a) Σ + a μ I with the a of Ledoit and Wolf (2004) and the classes' part to (1-a) Σ_classes.
    """
    X = features.astype(np.float64)
    X -= X.mean(axis=0)
    n, d = X.shape
    one_hot = _one_hot(labels)
    counts = one_hot.sum(axis=0)
    squares, left = _left_spectrum(X, one_hot)  # class sums in the basis of X's left singular vectors: (r, K)
    variances = squares / n
    a = _ledoit_wolf(X, variances)
    shrunk = (1 - a) * variances + a * variances.sum() / d
    # A class mean is Xᵀ 1_k / n_k = V S (Uᵀ 1_k) / n_k, so only the spectrum and Uᵀ 1_k are needed.
    in_basis = np.sqrt(squares)[:, None] * left / counts
    inverse = np.divide(1, shrunk, out=np.zeros_like(shrunk), where=shrunk > 0)
    return float((1 - a) * np.sum(counts / n * (in_basis**2 * inverse[:, None]).sum(axis=0)))


def knn_accuracy(
    features: Features, labels: Labels, *, neighbours: int = NEIGHBOURS, units: NDArray[np.int64] | None = None
) -> float:
    """Share of examples whose class is named by most of their nearest others (cosine of standardised features), 0 … 1.

    Nobody votes for itself, nor for another of its unit, where ``units`` (N,) are given: copies of a picture, a group. Of equal votes the
    class of the nearer neighbours wins.
    """
    X = features.astype(np.float32)
    X = X - X.mean(axis=0)
    X /= np.maximum(X.std(axis=0), np.finfo(np.float32).tiny ** 0.5)
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    k = min(neighbours, len(X) - 1)
    right = 0
    for start in range(0, len(X), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(X)))
        likeness = X[rows] @ X.T
        likeness[np.arange(len(rows)), rows] = -np.inf
        if units is not None:
            likeness[units[rows][:, None] == units] = -np.inf
        nearest = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
        votes = np.zeros((len(rows), int(labels.max()) + 1))
        closeness = np.take_along_axis(likeness, nearest, axis=1)
        for column in range(k):  # likeness is within ±1, so its share decides ties and nothing else
            vote = np.where(np.isfinite(closeness[:, column]), 1 + closeness[:, column] / (4 * k), 0)
            votes[np.arange(len(rows)), labels[nearest[:, column]]] += vote
        right += int(np.sum(votes.argmax(axis=1) == labels[rows]))
    return right / len(X)


def _best_evidence(squares: Vector, z: Vector, y_squared: float, n: int, grid: Vector) -> float:
    """max over λ of log p(y) / N for one 0/1 column with ‖y‖² = ``y_squared`` and z = Uᵀ y."""
    from scipy.optimize import minimize_scalar  # a second to import, and only where something is measured

    # E = what no feature reaches, plus what the prior holds back: the form above would lose its digits where F explains all.
    unreached = max(y_squared - float(z @ z), 0.0)

    def minus(log_ratio: float) -> float:
        ratio = np.exp(log_ratio)
        energy = unreached + float(np.sum(z * z * ratio / (squares + ratio)))
        return float(-0.5 * (np.log(n / energy) - np.log(2 * np.pi) - 1) + np.log1p(squares / ratio).sum() / (2 * n))

    at = int(np.argmin([minus(point) for point in grid]))
    around = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    found = minimize_scalar(minus, bounds=around, method="bounded", options={"xatol": 1e-6})
    return -min(float(found.fun), minus(grid[at]))


def _left_spectrum(X: Features, targets: Vector) -> tuple[Vector, Vector]:
    """(squared singular values (r,), Uᵀ · targets (r, K)) of X (N, D), directions of no spread left out.

    By way of the smaller of XᵀX and XXᵀ: an SVD of 3,000 × 1,280 takes several times as long.
    """
    X = X.astype(np.float64)
    n, d = X.shape
    if n <= d:
        squares, U = np.linalg.eigh(X @ X.T)
        projected = U.T @ targets
    else:
        squares, V = np.linalg.eigh(X.T @ X)
        safe = np.sqrt(np.maximum(squares, np.finfo(float).tiny))
        projected = (V.T @ (X.T @ targets)) / safe[:, None]
    keep = squares > 1e-10 * max(float(squares.max()), np.finfo(float).tiny)
    found: tuple[Vector, Vector] = squares[keep], projected[keep]
    return found


def _ledoit_wolf(X: Vector, variances: Vector) -> float:
    """The shrinkage that is best in expectation, 0 … 1, for centred X (N, D) whose covariance has these non-zero eigenvalues.

    O. Ledoit, M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", J. Multivariate Analysis 2004.
    """
    n, d = X.shape
    mean = variances.sum() / d
    square = float(np.sum(variances**2))
    distance = square - d * mean**2  # ‖Σ - μI‖²
    noise = (float(np.sum(np.sum(X * X, axis=1) ** 2)) / n - square) / n
    return float(np.clip(noise / distance, 0, 1)) if distance > 0 else 1.0


def _dense(labels: Labels) -> Labels:
    """Labels 0 … K-1 without the classes that have no example."""
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _one_hot(labels: Labels) -> Vector:
    """(N, K) of the classes that occur, in the order of their labels."""
    dense = _dense(labels)
    one_hot: Vector = (dense[:, None] == np.arange(dense.max() + 1)).astype(np.float64)
    return one_hot
