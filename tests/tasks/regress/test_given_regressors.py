"""Regressors that were handed over: linear ones are maps, kernels, neighbours and trees arrays, others are refused; through a run, a file
and an export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import HuberRegressor, Lasso, LogisticRegression, PoissonRegressor, Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.svm import SVR, NuSVR
from sklearn.tree import DecisionTreeRegressor

import warmstart as ws
from drawn_shapes import CLASSES
from warmstart.errors import UsageError
from warmstart.heads.written import Written
from warmstart.tasks.regress import own_module
from warmstart.tasks.regress.given import fitted_map, held_out, require_regressor
from warmstart.tasks.regress.graph import GivenNumbers
from warmstart.tasks.regress.task import TASK
from warmstart.training.kept_module import KeptModule

random = np.random.default_rng(0)
X = (random.normal(size=(80, 6)) + np.arange(6)).astype(np.float32)
Y = (X @ random.normal(size=(6, 2)) + 0.1 * random.normal(size=(80, 2)) + 7).astype(np.float64)


@pytest.mark.parametrize(
    "estimator",
    [
        Ridge(),
        Lasso(0.01),
        PLSRegression(3),
        make_pipeline(StandardScaler(), PCA(4), Ridge()),
        MultiOutputRegressor(HuberRegressor()),
        MultiOutputRegressor(SVR(kernel="linear")),
    ],
)
def test_a_linear_regressor_is_a_map(estimator: Any) -> None:
    np.testing.assert_allclose(fitted_map(estimator, X, Y)(X), estimator.fit(X.astype(float), Y).predict(X), atol=2e-3)


def test_held_out_pictures_are_not_known_to_what_speaks_of_them() -> None:
    units = np.arange(80) // 2
    before = held_out(Ridge(), X, Y, units, 0)
    changed = Y.copy()
    changed[10:12] += 100  # a whole unit
    after = held_out(Ridge(), X, changed, units, 0)
    np.testing.assert_array_equal(before[10:12], after[10:12])
    assert np.abs(before - after).max() > 1


BENT = X[:, :1] ** 2 - 3 * np.abs(Y[:, :1])  # (80, 1), of what no line is
WRITTEN = {
    "svr": SVR(C=10),
    "svr poly": SVR(kernel="poly", degree=2, coef0=1.0),
    "scaled svr": make_pipeline(StandardScaler(), PCA(4), SVR(kernel="rbf", epsilon=0.2)),
    "nu-svr": NuSVR(kernel="sigmoid", gamma=0.01),
    "several svr": MultiOutputRegressor(SVR(C=5)),
    "kernel ridge": KernelRidge(kernel="rbf", gamma=0.1),
    "kernel ridge polynomial": KernelRidge(kernel="polynomial", degree=2),
    "neighbours": KNeighborsRegressor(4),
    "neighbours by distance": make_pipeline(MinMaxScaler(), KNeighborsRegressor(6, weights="distance")),
    "tree": DecisionTreeRegressor(max_depth=5, random_state=0),
    "forest": RandomForestRegressor(12, random_state=0),
    "extra trees": make_pipeline(StandardScaler(), ExtraTreesRegressor(9, random_state=0)),
    "boosted": GradientBoostingRegressor(n_estimators=20, random_state=0),
    "boosted from zero": GradientBoostingRegressor(n_estimators=20, init="zero", random_state=0),
}
OF_SEVERAL = ("several svr", "kernel ridge", "neighbours", "neighbours by distance", "tree", "forest")


@pytest.mark.parametrize("name", WRITTEN)
def test_others_say_as_arrays_what_they_say(name: str) -> None:
    new = (random.normal(size=(50, 6)) + np.arange(6)).astype(np.float32)
    for values in (BENT, np.concatenate([BENT, Y], axis=1)) if name in OF_SEVERAL else (BENT,):
        estimator = WRITTEN[name]
        found = fitted_map(estimator, X, values)
        assert isinstance(found, Written)
        flat = values.shape[1] == 1 and name != "several svr"
        expected = clone(estimator).fit(X.astype(float), values[:, 0] if flat else values).predict(new.astype(float))
        np.testing.assert_allclose(found(new), expected.reshape(50, -1), atol=1e-4 * np.abs(values).max())
        again = Written.from_arrays(found.settings(), found.arrays, of="map")
        np.testing.assert_array_equal(again(new), found(new))
        with torch.inference_mode():
            (in_torch,) = GivenNumbers(found)(torch.from_numpy(new))
        np.testing.assert_allclose(in_torch.numpy(), found(new), atol=2e-3 * values.std())


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (HistGradientBoostingRegressor(), "HistGradientBoostingRegressor cannot be saved"),
        (MLPRegressor(), "MLPRegressor cannot be saved"),
        (SVR(kernel=lambda a, b: a @ b.T), "kernel of one's own"),
        (KNeighborsRegressor(p=1), "Euclidean"),
        (GradientBoostingRegressor(init=Ridge()), "init of one's own"),
        (make_pipeline(Normalizer(), SVR()), "Normalizer in front"),
        (LogisticRegression(), "no scikit-learn regressor"),
        (Ridge, "no scikit-learn regressor"),
        ("ridge", "no scikit-learn regressor"),
    ],
)
def test_what_cannot_be_saved_is_said_before_anything_is_fitted(estimator: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        require_regressor(estimator)


def test_what_turns_out_not_to_be_linear_is_refused() -> None:
    for estimator in (PoissonRegressor(), MultiOutputRegressor(DecisionTreeRegressor())):
        with pytest.raises(UsageError, match="no linear map"):
            fitted_map(estimator, X, np.abs(Y) if isinstance(estimator, MultiOutputRegressor) else np.abs(BENT))
    with pytest.raises(UsageError, match="MultiOutputRegressor"):
        fitted_map(HuberRegressor(), X, Y)
    with pytest.raises(UsageError, match="cannot be fitted to 80 pictures of 6 features"):
        fitted_map(PLSRegression(40), X, BENT)


def test_a_module_learns_in_deviations_and_says_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_module, "STEPS", (5, 60))
    mean, deviation = Y.mean(axis=0), Y.std(axis=0)
    torch.manual_seed(0)
    module, units = torch.nn.Linear(6, 2), np.arange(80) // 2
    scaled = (Y - mean) / deviation
    kept = KeptModule(
        own=own_module.in_units(own_module.learnt(module, X, scaled, robust=False, steps=1000, seed=0), mean, deviation)
    )
    assert np.square(kept(X) - Y).mean() < 0.2 * np.square(Y - mean).mean()
    again = KeptModule.from_arrays(kept.settings(), kept.arrays())
    np.testing.assert_allclose(again(X), kept(X), rtol=1e-5)
    said = own_module.held_out(module, X, scaled, units, robust=True, seed=0)
    assert min(said, key=lambda steps: np.abs(said[steps] - scaled).mean()) == 60
    changed = scaled.copy()
    changed[10:12] += 100  # a whole unit
    for steps, found in own_module.held_out(module, X, changed, units, robust=True, seed=0).items():
        np.testing.assert_array_equal(found[10:12], said[steps][10:12])


def test_a_module_through_a_run_a_file_and_an_export(
    shapes: Path, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_module, "STEPS", (5, 60))
    paths = sorted(p for p in shapes.rglob("*") if p.is_file())
    numbers = [CLASSES.index(path.parent.name) + 0.01 * i for i, path in enumerate(paths)]
    head = torch.nn.Sequential(torch.nn.LazyLinear(8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    run = ws.train(
        paths,
        numbers,
        head=head,
        cut="stage6",
        training={"epochs": 1},
        batch_size=8,
        image_size_px=64,
        runs=tmp_path,
        quiet=True,
    )
    assert run.record.training.trained_stages
    assert ws.load(run.folder).predict(paths[0]) == run.model.predict(paths[0])
    exported = ws.export(run, "onnx", quiet=True)
    assert exported.proven
    assert ws.load(exported.file).facts.says["head"] == run.model.facts.says["head"] == "module"


def test_through_a_run_a_file_and_an_export(shapes: Path, warm_cache: Path, tmp_path: Path) -> None:
    paths = sorted(p for p in shapes.rglob("*") if p.is_file())
    numbers = [CLASSES.index(path.parent.name) + 0.01 * i for i, path in enumerate(paths)]
    head = make_pipeline(StandardScaler(), RandomForestRegressor(7, random_state=0))
    run = ws.train(paths, numbers, head=head, image_size_px=64, runs=tmp_path, quiet=True)
    assert run.record.plan.task == "regress"
    assert run.record.choice["head"] == "Pipeline"
    assert ws.load(run.folder).predict(paths[0]) == run.model.predict(paths[0])
    exported = ws.export(run, "openvino", quiet=True)
    assert exported.proven
    assert ws.load(exported.file).facts.says["head"] == run.model.facts.says["head"] == "given"
    estimator = ws.Regressor(image_size_px=64, head=Ridge(10.0)).fit(paths, numbers)
    assert estimator.score(paths, numbers) > 0.5
    assert estimator.model_.facts.says["head"] == "ridge"
    document = run.model.fitted.settings() | {"layout": run.model.layout}
    for spoilt, said in (({"kind": "trees", "depth": 10**9}, "depth"), ({"kind": "linear"}, "coef"), (7, "head")):
        with pytest.raises(ValueError, match=said):
            TASK.restore(document | {"head": spoilt}, run.model.fitted.arrays())
    with pytest.raises(ValueError, match="features to 1 numbers"):
        TASK.restore(document | {"targets": ["a", "b"]}, run.model.fitted.arrays())
