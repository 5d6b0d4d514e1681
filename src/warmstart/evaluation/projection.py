"""Features in two dimensions, for people to look at: what lies together there is alike to the network; distances far apart mean little.

t-SNE (L. van der Maaten, G. Hinton, JMLR 9, 2008) on the first 50 principal components of features scaled to length 1, started from the
first two of them (D. Kobak, P. Berens, Nature Communications 10, 2019), so that the coarse order is that of the data. Looked at
beside the two principal components alone on clothing: there shoes alone stood apart; here hats, pants, shorts, dresses and outwear
form groups as well.

P pictures, D features.
"""

import numpy as np
from numpy.typing import NDArray

COMPONENTS = 50
PERPLEXITY = 30.0
ITERATIONS = 400  # of which the first 250 exaggerate; the picture is settled by then


def project(features: NDArray[np.floating], *, seed: int) -> NDArray[np.float32]:
    """Coordinates (P, 2) of features (P, D), the larger extent scaled to 0 … 1. The same numbers for the same seed and machine."""
    from threadpoolctl import threadpool_limits

    n = len(features)
    directions = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    # One thread: with two, scikit-learn's spin on a busy machine and took 18 processor seconds instead of 1.
    with threadpool_limits(1):
        points = _principal(directions, min(COMPONENTS, n - 1, features.shape[1]))
        if n >= 10:  # fewer have no neighbourhoods to speak of
            points = _embedded(points, seed)
    plane = np.zeros((n, 2), np.float32)
    plane[:, : min(2, points.shape[1])] = points[:, :2]
    plane -= plane.min(axis=0, initial=0.0) if n == 0 else plane.min(axis=0)
    extent = float(plane.max(initial=0.0))
    return plane / np.float32(extent) if extent > 0 else plane


def _principal(X: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """The first principal components (P, count) of X (P, D)."""
    if count < 1:
        return np.zeros((len(X), 1), np.float32)
    centred = (X - X.mean(axis=0)).astype(np.float64)
    # Through the smaller of both Gram matrices: exact, and quick for a thousand pictures.
    if len(X) <= X.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        order = np.argsort(-values)[:count]
        return np.asarray(vectors[:, order] * np.sqrt(np.maximum(values[order], 0)), np.float32)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    return np.asarray(centred @ vectors[:, np.argsort(-values)[:count]], np.float32)


def _embedded(points: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE

    if not points.any():  # all pictures alike
        return points[:, :2]
    start = points[:, :2] / max(float(points[:, 0].std()), float(np.finfo(np.float32).tiny)) * np.float32(1e-4)
    start = np.pad(start, ((0, 0), (0, 2 - start.shape[1])))
    tsne = TSNE(
        2, init=start, perplexity=min(PERPLEXITY, (len(points) - 1) / 3), max_iter=ITERATIONS, random_state=seed, n_jobs=1
    )
    return np.asarray(tsne.fit_transform(points), np.float32)
