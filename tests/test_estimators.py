"""scikit-learn's contract, kept over pictures: clone, search, cross-validation, other processes, and no row computed twice."""

import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from joblib import Parallel, delayed
from PIL import Image
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline

import warmstart as ws
from drawn_shapes import CLASSES, draw_shape
from warmstart.errors import DataError, PictureError, UsageError
from warmstart.estimators import Classifier, MultiLabelClassifier, Regressor
from warmstart.extraction import stored_rows
from warmstart.plan import Plan

PER_CLASS = 8


@pytest.fixture(scope="module")
def drawn() -> tuple[list[Image.Image], list[str]]:
    """Pictures in memory, and their classes."""
    return (
        [draw_shape(name, seed) for name in CLASSES for seed in range(PER_CLASS)],
        [name for name in CLASSES for _ in range(PER_CLASS)],
    )


@pytest.fixture
def paths(shapes: Path) -> tuple[list[str], list[str]]:
    found = sorted(p for p in shapes.rglob("*") if p.is_file())
    return [str(p) for p in found], [p.parent.name for p in found]


def small(**more: Any) -> Classifier:
    return Classifier(image_size_px=64, **more)


def test_every_parameter_is_a_field_of_the_plan_with_its_default() -> None:
    own = {"validation_fraction", "download", "robust", "recall", "loss"}
    usual = Plan()
    for kind in (Classifier, MultiLabelClassifier, Regressor):
        for name, value in kind().get_params().items():
            if name not in own:
                planned = getattr(usual, name)
                assert (dict(planned) or None if name == "training" else planned) == value, name


def test_a_docstring_says_every_parameter() -> None:
    for kind in (Classifier, MultiLabelClassifier, Regressor):
        assert all(f"{name}:" in (kind.__doc__ or "") for name in kind().get_params()), kind.__name__


def test_paths_pictures_and_arrays_are_learnt_from_and_labels_come_back_as_they_were(
    warm_cache: Path, paths: tuple[list[str], list[str]]
) -> None:
    X, names = paths
    numbers = [10 * CLASSES.index(name) for name in names]
    pictures = [Image.open(path).convert("RGB").resize((64, 64)) for path in X]
    stacked = np.stack([np.asarray(picture) for picture in pictures])
    of_paths = small().fit(X, names)
    assert of_paths.classes_.tolist() == sorted(CLASSES)
    assert of_paths.score(X, names) > 0.9
    for given in (pictures, stacked, list(stacked)):
        fitted = small().fit(given, numbers)
        assert fitted.classes_.tolist() == [0, 10, 20]
        assert fitted.predict(given).dtype == fitted.classes_.dtype
        assert fitted.score(given, numbers) > 0.9
    shares = fitted.predict_proba(stacked)
    assert shares.shape == (len(X), 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert (fitted.classes_[shares.argmax(axis=1)] == fitted.predict(stacked)).all()
    sets = fitted.predict_set(stacked[:3], 0.8)
    assert all(set(one) <= {0, 10, 20} and one for one in sets)


def test_a_search_over_cuts_in_two_processes_computes_each_row_once_and_ten_copies_say_the_same_bits(
    fresh_processes: None,
    warm_cache: Path,
    drawn: tuple[list[Image.Image], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    told = tmp_path / "computed"
    monkeypatch.setenv("WARMSTART_TEST_COMPUTED", str(told))
    X, y = drawn
    search = GridSearchCV(
        _Counting(image_size_px=64, training={"epochs": 0}),
        {"cut": ["pooled", "stage6"], "head": ["linear", "ridge"]},
        cv=3,
        n_jobs=2,
        error_score="raise",
    )
    search.fit(X, y)
    assert search.best_score_ > 0.8
    best = search.best_estimator_
    expected = best.predict_proba(X)
    copies = (clone(best).set_params(cut="stem").set_params(**search.best_params_) for _ in range(10))
    for fitted, said in Parallel(n_jobs=2)(delayed(_fitted_elsewhere)(copy, X, y) for copy in copies):
        assert (said == expected).all()
        assert fitted.get_params() == best.get_params()
        assert (fitted.predict_proba(X) == expected).all()
    computed = told.read_text().split()
    assert len(computed) == len(set(computed)) == len(X)


def _fitted_elsewhere(estimator: Classifier, X: Any, y: Any) -> tuple[Classifier, np.ndarray]:
    """In another process: what came back from it has been pickled twice."""
    said = estimator.fit(X, y).predict_proba(X)
    return estimator, said


class _Counting(Classifier):
    """Writes down, in whichever process, which rows are computed."""

    def fit(self, X: Any, y: Any, groups: Any = None) -> "_Counting":
        with _counted():
            super().fit(X, y, groups)
        return self

    def predict(self, X: Any) -> Any:
        with _counted():
            return super().predict(X)

    def predict_proba(self, X: Any) -> Any:
        with _counted():
            return super().predict_proba(X)


def _counted() -> Any:
    whole = stored_rows.StoredRows._computed

    told = Path(os.environ["WARMSTART_TEST_COMPUTED"])

    def counting(own: Any, todo: Any) -> int:
        with told.open("a") as file:
            file.writelines(f"{picture.digest.hex()}\n" for picture, _ in todo)
        # Both come here before either has stored a row, as far as the machine lets them; what is counted is the same if it does not.
        told.with_name(f"process-{os.getpid()}").touch()
        for _ in range(100):
            if len(list(told.parent.glob("process-*"))) > 1:
                break
            time.sleep(0.1)
        return whole(own, todo)

    return mock.patch.object(stored_rows.StoredRows, "_computed", counting)


def test_a_saved_model_says_what_the_estimator_says(
    warm_cache: Path, paths: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    X, y = paths
    fitted = small(taps="all").fit(X, y)
    fitted.save(tmp_path / "model")
    loaded = ws.load(tmp_path / "model")
    said = loaded.predict(X)
    assert [answer.class_name for answer in said] == fitted.predict(X).tolist()


def test_groups_and_pipelines(warm_cache: Path, paths: tuple[list[str], list[str]]) -> None:
    X, y = paths
    groups = [f"scene {i % 6}" for i in range(len(X))]
    scores = cross_val_score(Pipeline([("clf", small())]), X, y, cv=GroupKFold(3), groups=groups, error_score="raise")
    assert scores.mean() > 0.8
    assert small().fit(X, y, groups=groups).score(X, y) > 0.9


def test_a_cut_trains_the_network(warm_cache: Path, paths: tuple[list[str], list[str]]) -> None:
    X, y = paths
    fitted = small(cut="stage6", training={"epochs": 2}, batch_size=8, validation_fraction=0.25).fit(X, y)
    assert fitted.score(X, y) > 0.5
    assert fitted.model_.about["plan"]["cut"] == "stage6"


def test_numbers(warm_cache: Path, paths: tuple[list[str], list[str]]) -> None:
    X, names = paths
    random = np.random.default_rng(0)
    y = np.array([float(CLASSES.index(name)) for name in names]) + 0.05 * random.normal(size=len(X))
    one = Regressor(image_size_px=64).fit(X, y)
    assert one.predict(X).shape == y.shape
    assert one.score(X, y) > 0.5
    ends = one.predict_interval(X, 0.8)
    assert ends.shape == (len(X), 2)
    assert (ends[:, 0] <= one.predict(X)).all()
    both = Regressor(image_size_px=64, robust=True).fit(X, np.stack([y, -y], axis=1))
    assert both.predict(X).shape == (len(X), 2)
    assert both.predict_interval(X).shape == (len(X), 2, 2)
    assert is_regressor(one)
    assert is_classifier(small())


@pytest.mark.filterwarnings("ignore:of the pictures to learn from:UserWarning")  # that few have some label
def test_labels(warm_cache: Path, paths: tuple[list[str], list[str]]) -> None:
    X, names = paths
    y = np.array([[name == "circle", name != "stripes"] for name in names], float)
    y[0, 1] = np.nan  # unknown
    fitted = MultiLabelClassifier(image_size_px=64).fit(X, y)
    assert len(fitted.model_.about["trained_on"]) == len(X)  # none is kept back
    assert fitted.classes_.tolist() == ["y0", "y1"]
    shares, said = fitted.predict_proba(X), fitted.predict(X)
    assert shares.shape == said.shape == (len(X), 2)
    known = ~np.isnan(y)
    assert (said == y)[known].mean() > 0.9
    named = MultiLabelClassifier(image_size_px=64, recall=0.9).fit(
        X, [{name, "drawn"} if name != "circle" else {name} for name in names]
    )
    assert named.classes_.tolist() == ["circle", "drawn", "square", "stripes"]
    scores = cross_val_score(MultiLabelClassifier(image_size_px=64), X, np.nan_to_num(y).astype(int), cv=2, error_score="raise")
    assert scores.shape == (2,)
    for wrong, told in (
        ([1] * 24, "N collections of labels"),
        (np.full((24, 2), 3), "other than 0 and 1"),
        ([["a"], "b"] * 12, "nested unevenly"),
    ):
        with pytest.raises(DataError, match=told):
            MultiLabelClassifier().fit(X, wrong)


def test_what_cannot_be_learnt_from_is_said(warm_cache: Path, paths: tuple[list[str], list[str]], tmp_path: Path) -> None:
    X, y = paths
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.warns(UserWarning, match=r"broken\.jpg"):
        fitted = small().fit([*X, str(broken)], [*y, "circle"])
    assert fitted.problems_
    with pytest.raises(PictureError, match=r"broken\.jpg"):
        fitted.predict([*X, str(broken)])


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["circle"] * 3, "X has 24 pictures and y 3 entries"),
        ([[1, 0]] * 24, r"y has the shape \(24, 2\)"),
        ([[1], [1, 2]] * 12, "nested unevenly"),
        ([*["circle"] * 23, None], "no label at 23"),
        (np.linspace(0, 1, 24), "warmstart.Regressor"),
        (["circle"] * 24, "only the class 'circle'"),
    ],
)
def test_targets_that_are_none(warm_cache: Path, paths: tuple[list[str], list[str]], y: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        small().fit(paths[0], y)


def test_sparse_targets_one_picture_and_a_wrong_share(warm_cache: Path, paths: tuple[list[str], list[str]]) -> None:
    from scipy.sparse import csr_matrix

    X, y = paths
    with pytest.raises(DataError, match="sparse"):
        small().fit(X, csr_matrix(np.ones((24, 1))))
    with pytest.raises(DataError, match="X is one picture"):
        small().fit(X[0], y[:1])
    with pytest.raises(UsageError, match="here name a cut"):
        small(cut="auto").fit(X, y)
    with pytest.raises(UsageError, match="validation_fraction is 1"):
        small(validation_fraction=1).fit(X, y)
    with pytest.raises(DataError, match="no finite number at 1 "):
        Regressor().fit(X[:2], [1.0, float("nan")])
    with pytest.raises(DataError, match="Classifier learns classes"):
        Regressor().fit(X, y)
