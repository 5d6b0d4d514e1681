"""What every head of the catalogue must do."""

import json
import subprocess
import sys

import numpy as np
import pytest

from warmstart.errors import UnknownNameError
from warmstart.tasks.classify.heads.catalog import HEADS, make_head

NAMES = list(HEADS)


def fitted(name, X, y, k, weights=None):
    return make_head(name).fit(X, y, n_classes=k, sample_weight=weights)


@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize("name", NAMES)
def test_head_learns_blobs_and_gives_one_logit_per_class(name, k, blobs):
    X, y = blobs(40 * k, 20, k, distance=9)
    X_new, y_new = blobs(20 * k, 20, k, distance=9, seed=1)
    logits = fitted(name, X, y, k).logits(X_new)
    assert logits.shape == (20 * k, k)
    assert logits.dtype == np.float32
    assert (logits.argmax(axis=1) == y_new).mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_head_learns_from_fewer_examples_than_features(name, blobs):
    X, y = blobs(30, 100, 3, distance=14)
    X_new, y_new = blobs(60, 100, 3, distance=14, seed=1)
    assert (fitted(name, X, y, 3).logits(X_new).argmax(axis=1) == y_new).mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_fitting_again_gives_the_same_bits(name, blobs):
    X, y = blobs()
    assert np.array_equal(fitted(name, X, y, 3).logits(X), fitted(name, X, y, 3).logits(X))


@pytest.mark.parametrize("name", NAMES)
def test_fitting_leaves_its_input_alone(name, blobs):
    X, y = blobs()
    X.flags.writeable = y.flags.writeable = False
    fitted(name, X, y, 3).logits(X)


@pytest.mark.parametrize("name", NAMES)
def test_settings_and_arrays_bring_back_a_head_with_bit_equal_logits(name, blobs):
    X, y = blobs()
    head = fitted(name, X, y, 3)
    settings = json.loads(json.dumps(head.settings()))
    arrays = {key: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for key, a in head.arrays().items()}
    again = HEADS[name].head.from_arrays(settings, arrays)
    assert again.name == name
    assert again.settings() == head.settings()
    assert np.array_equal(again.logits(X), head.logits(X))


@pytest.mark.parametrize("name", NAMES)
def test_features_that_do_not_vary_change_nothing(name, blobs):
    X, y = blobs(120, 10, 3)
    constant = np.tile(np.array([[0, 7, 1e6]], np.float32), (len(X), 1))
    logits = fitted(name, np.hstack([X, constant]), y, 3).logits(np.hstack([X, constant]))
    assert np.isfinite(logits).all()
    # an MLP's first weights are drawn for every feature, so other numbers are drawn; it must work all the same
    if name == "mlp":
        assert (logits.argmax(axis=1) == y).mean() > 0.9
    else:
        assert logits == pytest.approx(fitted(name, X, y, 3).logits(X), abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_all_features_constant_is_no_error_and_no_preference(name):
    X = np.full((12, 4), 3, np.float32)
    logits = fitted(name, X, np.arange(12) % 2, 2).logits(X)
    assert np.isfinite(logits).all()
    assert np.ptp(logits, axis=0) == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_class_without_examples_gets_a_column_and_is_not_predicted(name, blobs):
    X, y = blobs(120, 10, 3)
    two = y != 1
    logits = fitted(name, X[two], y[two], 4).logits(X)
    assert logits.shape == (120, 4)
    assert np.isfinite(logits).all()
    assert set(logits[two].argmax(axis=1)) == {0, 2}


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"knn"}))  # there a weight counts votes, not neighbours
def test_weights_are_like_repeated_rows(name, blobs):
    X, y = blobs(90, 8, 3, distance=3)
    repeats = np.random.default_rng(0).integers(0, 3, len(y))
    weighted = fitted(name, X, y, 3, repeats.astype(np.float32)).logits(X)
    repeated = fitted(name, X.repeat(repeats, axis=0), y.repeat(repeats), 3).logits(X)
    spread = weighted.std()
    assert np.abs(weighted - repeated).max() < (0.2 if name == "mlp" else 0.05) * spread  # the MLP has no single minimum
    unweighted = fitted(name, X, y, 3).logits(X)
    assert np.abs(weighted - unweighted).max() > 0.1 * spread


@pytest.mark.parametrize("name", NAMES)
def test_a_class_of_weight_zero_is_not_predicted(name, blobs):
    X, y = blobs(90, 8, 3)
    logits = fitted(name, X, y, 3, (y != 0).astype(np.float32)).logits(X)
    assert 0 not in logits.argmax(axis=1)


@pytest.mark.parametrize("name", NAMES)
def test_path_gives_heads_that_have_not_seen_rows_of_weight_zero(name, blobs):
    X, y = blobs(120, 10, 3)
    weights = np.stack([np.arange(120) % 2 == f for f in range(2)]).astype(np.float32)
    grid = HEADS[name].grid[:3]
    spoiled = X.copy()
    spoiled[1::2] = 0  # what the first weighting holds out
    for settings, heads, others in zip(
        grid,
        HEADS[name].head.fit_path(X, y, n_classes=3, weights=weights, grid=grid),
        HEADS[name].head.fit_path(spoiled, y, n_classes=3, weights=weights[:1], grid=grid),
        strict=True,
    ):
        first, _ = heads
        (blind,) = others
        assert first.settings() | settings == first.settings()
        alone = HEADS[name].head(**settings).fit(X[::2], y[::2], n_classes=3)
        spread = alone.logits(X).std()
        for other in (alone, blind):  # paths stop earlier than fits, and all weightings together
            assert np.abs(first.logits(X) - other.logits(X)).max() < 0.4 * spread


def test_prediction_needs_numpy_only(tmp_path, blobs):
    """Each head is saved, and a fresh process predicts with it."""
    X, y = blobs(60, 6, 3)
    np.save(tmp_path / "X.npy", X)
    for name in NAMES:
        head = fitted(name, X, y, 3)
        np.savez(tmp_path / f"{name}.npz", logits=head.logits(X), **{f"head.{k}": a for k, a in head.arrays().items()})
        (tmp_path / f"{name}.json").write_text(json.dumps(head.settings()))
    code = """
import json, sys
from pathlib import Path
import numpy as np
from warmstart.tasks.classify.heads.catalog import HEADS
folder = Path(sys.argv[1])
X = np.load(folder / "X.npy")
for name, spec in HEADS.items():
    saved = np.load(folder / f"{name}.npz")
    arrays = {key.removeprefix("head."): saved[key] for key in saved if key.startswith("head.")}
    head = spec.head.from_arrays(json.loads((folder / f"{name}.json").read_text()), arrays)
    assert np.array_equal(head.logits(X), saved["logits"]), name
print(sorted({"sklearn", "scipy", "torch"} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert out.stderr == ""
    assert out.stdout.strip() == "[]"


def test_grids_are_made_of_settings_that_the_heads_take():
    for name, spec in HEADS.items():
        assert spec.head.name == name
        for settings in spec.grid:
            assert settings.items() <= make_head(name, **settings).settings().items()


def test_an_unknown_head_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown head 'linaer'.*Did you mean 'linear'"):
        make_head("linaer")
