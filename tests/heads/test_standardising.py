import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from warmstart.heads.standardising import StandardisedFeatures, mean_and_scale


def weightings(n, f, seed=1):
    return np.random.default_rng(seed).integers(0, 4, (f, n)).astype(np.float32)


@given(n=st.integers(20, 400), offset=st.sampled_from([0, 10, 1000]), seed=st.integers(0, 100))
def test_mean_and_scale_are_those_of_repeated_rows(n, offset, seed):
    X = (np.random.default_rng(seed).normal(0, 1, (n, 3)) * [0.1, 1, 10] + offset).astype(np.float32)
    weights = weightings(n, 2, seed)
    mean, scale = mean_and_scale(X, weights)
    for f in range(2):
        oracle = StandardScaler().fit(X.repeat(weights[f].astype(int), axis=0).astype(np.float64))
        assert mean[f] == pytest.approx(oracle.mean_, rel=1e-5, abs=1e-4)
        assert scale[f] == pytest.approx(1 / oracle.scale_, rel=0.01)


def test_a_feature_without_spread_beyond_rounding_has_factor_zero():
    ripple = np.arange(300) % 2
    X = np.stack([np.zeros(300), np.full(300, 0.1), 1e6 + ripple * 0.06, ripple * 1e-6, ripple], axis=1).astype(np.float32)
    _, scale = mean_and_scale(X, np.ones((1, 300), np.float32))
    assert (scale[0] > 0).tolist() == [False, False, False, True, True]


def test_folded_weights_give_the_product_of_standardised_features():
    rng = np.random.default_rng(0)
    X = (rng.normal(0, 1, (200, 5)) * [1, 2, 3, 40, 0.5] + [0, 10, -3, 100, 5]).astype(np.float32)
    weights = weightings(200, 2)
    V, c = rng.normal(size=(2, 4, 5)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    features = StandardisedFeatures(X, weights)
    Z = (X - features.mean[:, None, :]) * features.scale[:, None, :]
    expected = (Z @ V.transpose(0, 2, 1) + c[:, None, :]).transpose(1, 0, 2)
    assert features.product(V, c) == pytest.approx(expected, abs=1e-3)
    W, b = features.folded(V, c)
    assert (X @ W[1].T + b[1]) == pytest.approx(expected[:, 1], abs=1e-3)


def test_gradient_is_the_transpose_of_the_product():
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, (90, 6)).astype(np.float32)
    features = StandardisedFeatures(X, weightings(90, 2))
    V, c = rng.normal(size=(2, 3, 6)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    slope = rng.normal(size=(90, 2, 3)).astype(np.float32)
    by_V, by_c = features.gradient(slope)
    # ⟨slope, product(V, c)⟩ = ⟨gradient, (V, c)⟩, as the product is linear in V and c
    assert np.vdot(slope, features.product(V, c)) == pytest.approx(np.vdot(by_V, V) + np.vdot(by_c, c), rel=1e-3)
