"""Regressors that were handed over: linear ones are maps, others are refused; through a run, a file and an export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import HuberRegressor, Lasso, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import warmstart as ws
from drawn_shapes import CLASSES
from warmstart.errors import UsageError
from warmstart.tasks.regress.given import fitted_map, held_out, require_regressor

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


def test_others_are_refused() -> None:
    with pytest.raises(UsageError, match="no linear map"):
        fitted_map(RandomForestRegressor(5, random_state=0), X, Y)
    with pytest.raises(UsageError, match="MultiOutputRegressor"):
        fitted_map(HuberRegressor(), X, Y)
    for wrong in (LogisticRegression(), Ridge, "ridge"):
        with pytest.raises(UsageError, match="no scikit-learn regressor"):
            require_regressor(wrong)


def test_through_a_run_a_file_and_an_export(shapes: Path, warm_cache: Path, tmp_path: Path) -> None:
    paths = sorted(p for p in shapes.rglob("*") if p.is_file())
    numbers = [CLASSES.index(path.parent.name) + 0.01 * i for i, path in enumerate(paths)]
    head = make_pipeline(StandardScaler(), Ridge(10.0))
    run = ws.train(paths, numbers, head=head, image_size_px=64, runs=tmp_path, quiet=True)
    assert run.record.plan.task == "regress"
    assert run.record.choice["head"] == "Pipeline"
    assert ws.load(run.folder).predict(paths[0]) == run.model.predict(paths[0])
    assert ws.export(run, "openvino", quiet=True).proven
    estimator = ws.Regressor(image_size_px=64, head=Ridge(10.0)).fit(paths, numbers)
    assert estimator.score(paths, numbers) > 0.5
