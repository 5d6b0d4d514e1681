import numpy as np
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread():
    """Matrices here are small, and BLAS threads that wait for a busy machine take a hundred times longer than one thread."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def blobs():
    """blobs(n, d, k, …) → X float32 (n, d) on raw scales, y int64 (n,): overlapping clusters, one for each class."""

    def draw(n=120, d=10, k=3, *, seed=0, distance=4.0):
        rng = np.random.default_rng(seed)
        y = np.arange(n) % k
        centres = np.random.default_rng(99).normal(0, distance / np.sqrt(2 * d), (k, d))
        X = (centres[y] + rng.normal(0, 1, (n, d))) * np.geomspace(0.1, 30, d) + 5  # features of very different spread
        return X.astype(np.float32), y.astype(np.int64)

    return draw
