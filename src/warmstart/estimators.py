"""scikit-learn estimators: pictures and targets in, predictions out; for cross-validation, searches and pipelines that are the user's own.

    X, y → listing → `workflows.fit` → Model → rows → answers → predictions

What is frozen is computed once and kept in the store, so folds and candidates of a search over the same pictures share it, between
processes too. Nothing is kept back for a test: `cross_val_score` and friends measure.

N pictures, K classes, O targets.
"""

import inspect
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from warmstart.data.given import array_of, pictures_of, require_length, target_names
from warmstart.data.memory import named
from warmstart.errors import DataError, PictureError, UsageError
from warmstart.extraction.reader import Reader
from warmstart.extraction.rendering import geometry_of
from warmstart.extraction.workspace import Workspace
from warmstart.model.features import pictures_given
from warmstart.model.predictor import Model
from warmstart.options import fields_of, told
from warmstart.plan import Plan
from warmstart.records import Example, Listing, Problem
from warmstart.session.own_parts import handed_over
from warmstart.task_protocol import Answer, Original
from warmstart.workflows.fit import fit

NAMED = 3  # problems that a warning quotes


E = TypeVar("E", bound=type)


def _documented(estimator: E) -> E:
    """Decorator: the docstring says every parameter, those of the plan in its words."""
    known = fields_of(Plan)
    of_plan = [told(known[name]) for name in inspect.signature(estimator).parameters if name in known and name not in _SAID]
    lines = [inspect.cleandoc(estimator.__doc__ or ""), "", inspect.cleandoc(_COMMON), "", "Fields of a plan:", "", *of_plan]
    estimator.__doc__ = "\n".join(lines)
    return estimator


_SAID = ("backbone", "augment", "head", "training")
_COMMON = """
    backbone: a name, an `nn.Module` of your own, or a `Backbone` (`Backbone.from_module` says what such a network eats).
    resize: 'crop', 'full-crop', 'squash', 'pad', or 'auto': these are compared on what is learnt from, where 'crop' shows little of it.
    augment: a name, or a callable of uint8 (3, S, S) tensors such as a torchvision v2 transform; with an ``id`` its views are kept.
    validation_fraction: of the pictures, to choose the best epoch by where ``cut`` trains the network; otherwise all are learnt from.
    training: settings of training as docs/training.md lists them, such as {"epochs": 10}. download: whether weights may be fetched.
"""


@dataclass(eq=False, repr=False)
class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What all have."""

    backbone: Any = "efficientnet_lite0"
    _: KW_ONLY
    cut: str = "pooled"
    taps: str = "auto"
    weights: str = "default"
    image_size_px: int | None = None
    resize: str = "auto"
    views: str = "none"
    freeze: Sequence[str] = ()
    unfreeze: Sequence[str] = ()
    augment: Any = "none"
    augment_views: int = 4
    batch_size: int = 32
    training: Mapping[str, Any] | None = None
    engine: str = "auto"
    precision: str = "auto"
    keep_damaged: bool = False
    seed: int = 0
    validation_fraction: float = 0.2
    download: bool = False

    def save(self, folder: str | Path) -> None:
        """Write the model folder, which `warmstart.load` opens, `warmstart.export` makes one file of, and `warmstart serve` serves."""
        check_is_fitted(self, "model_")
        self.model_.save(folder)

    def _fit(self, listing: Listing, task: str, options: Mapping[str, Any]) -> Model:
        if not 0 < self.validation_fraction < 1:
            raise UsageError(
                f"validation_fraction is {self.validation_fraction}; expected a share between 0 and 1, such as 0.2"
            )
        wanted = {name: value for name, value in self.get_params(deep=False).items() if name in _PLANNED}
        said, own = handed_over(backbone=self.backbone, head=wanted.get("head"), augment=self.augment)
        wanted |= said | ({"freeze": self.freeze} if self.freeze else {})
        plan = Plan(**wanted | {"training": self.training or {}, "task": task, "options": options, "target": listing.columns})
        made = fit(listing, plan, own=own, val_share=self.validation_fraction, download=self.download)
        self.model_: Model = made.model
        self.problems_: tuple[Problem, ...] = made.problems
        if made.problems:
            told = "; ".join(problem.message for problem in made.problems[:NAMED])
            more = f" … and {len(made.problems) - NAMED} more, in problems_" if len(made.problems) > NAMED else ""
            warnings.warn(f"of the pictures to learn from: {told}{more}", stacklevel=3)
        return made.model

    def _answers(self, X: Sequence[Any], coverage: float | None = None) -> Sequence[Answer]:
        """One for each picture. Raises PictureError naming the first that cannot be used: a row cannot be left out here."""
        check_is_fitted(self, "model_")
        model = self.model_
        with Workspace.opened() as workspace:
            pictures = pictures_given(X, workspace.store)
            extraction = Reader(recipe=model.recipe(), workspace=workspace).rows(pictures, apart=model.apart)
        if extraction.broken:
            first = extraction.broken[min(extraction.broken)]
            raise PictureError(first.kind, f"{len(extraction.broken)} pictures cannot be used, the first: {first.message}")
        how = model.preprocessing
        places = [geometry_of(picture, view, how) for picture in pictures for view in how.views] if model.places else None
        found = model.outputs(extraction.rows, places)
        return model.fitted.answers(found, [Original(source=picture.path) for picture in pictures], coverage=coverage)

    def __sklearn_tags__(self) -> Any:
        """Pictures are neither a table nor numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.non_deterministic = False
        return tags


_PLANNED = {field.name for field in fields(Plan)} - {"training"}


@_documented
@dataclass(eq=False, repr=False)
class Classifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """One class a picture, by a pretrained network.

    head: a name, a scikit-learn classifier (`tasks.classify.heads.from_sklearn` says which can be saved), or an `nn.Module` of
    features (B, D) → scores (B, K). After `fit`: ``classes_``, ``model_`` (a `Model`), and
    ``problems_`` (what could not be learnt from).
    """

    head: Any = "linear"
    class_weight: str = "none"

    def fit(self, X: Sequence[Any], y: Any, groups: Any = None) -> Self:
        """X: N paths, PIL images or uint8 arrays (N, H, W, 3). y: N labels. groups: N, pictures that belong together.

        Pictures that cannot be read are left out, with a warning. Raises DataError, UsageError, BackboneError or StoreError.
        """
        labels = _labels(y)
        classes, numbers = np.unique(labels, return_inverse=True)
        names = tuple(str(name) for name in classes)
        listing = _listing(X, [{"class_name": names[i]} for i in numbers], groups, class_names=names)
        model = self._fit(listing, "classify", {})
        kept = model.fitted.class_names  # type: ignore[attr-defined]
        self.classes_ = classes[[names.index(name) for name in kept]]
        return self

    def predict(self, X: Sequence[Any]) -> np.ndarray:
        """(N,) labels as `fit` was given them."""
        label_of = dict(zip(self._names(), self.classes_, strict=True))
        return np.array([label_of[answer.class_name] for answer in self._answers(X)], dtype=self.classes_.dtype)  # type: ignore[attr-defined]

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """float64 (N, K), calibrated, in the order of ``classes_``; rows sum to 1."""
        names = self._names()
        found = [[answer.probabilities[name] for name in names] for answer in self._answers(X)]  # type: ignore[attr-defined]
        return np.array(found, np.float64).reshape(-1, len(names))

    def predict_set(self, X: Sequence[Any], coverage: float = 0.95) -> list[tuple[Any, ...]]:
        """N sets of labels, the most probable first, that hold the true one as often as ``coverage`` says (docs/trust.md)."""
        label_of = dict(zip(self._names(), self.classes_, strict=True))
        return [
            tuple(label_of[name] for name in answer.classes or ())  # type: ignore[attr-defined]
            for answer in self._answers(X, coverage)
        ]

    def _names(self) -> tuple[str, ...]:
        check_is_fitted(self, "model_")
        names: tuple[str, ...] = self.model_.fitted.class_names  # type: ignore[attr-defined]
        return names


@_documented
@dataclass(eq=False, repr=False)
class Regressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """One or several numbers of a picture, by a pretrained network.

    head: 'linear' (ridge), or a scikit-learn regressor
    (`tasks.regress.given` says which can be saved). robust: pictures whose numbers are far off weigh less, by Huber's loss. After `fit`:
    ``model_`` (a `Model`) and ``problems_`` (what could not be learnt from).
    """

    head: Any = "linear"
    robust: bool = False

    def fit(self, X: Sequence[Any], y: Any, groups: Any = None) -> Self:
        """X: N paths, PIL images or uint8 arrays (N, H, W, 3). y: (N,) or (N, O) numbers. groups: N, pictures that belong together.

        Pictures that cannot be read are left out, with a warning. Raises DataError, UsageError, BackboneError or StoreError.
        """
        values, names = _numbers(y)
        self._is_flat = np.ndim(y) == 1
        cells = [{"cells": dict(zip(names, row, strict=True))} for row in values.tolist()]
        self._fit(_listing(X, cells, groups, columns=names), "regress", {"robust": self.robust})
        return self

    def predict(self, X: Sequence[Any]) -> np.ndarray:
        """float64 (N,) or (N, O), as ``y`` was."""
        answers = self._answers(X)
        found = np.array([list(answer.values.values()) for answer in answers], np.float64)  # type: ignore[attr-defined]
        return found[:, 0] if self._is_flat and len(found) else found

    def predict_interval(self, X: Sequence[Any], coverage: float = 0.9) -> np.ndarray:
        """float64 (N, 2) or (N, O, 2): between which numbers the truth lies as often as ``coverage`` says (docs/numbers.md)."""
        answers = self._answers(X, coverage)
        found = np.array([list(answer.intervals.values()) for answer in answers], np.float64)  # type: ignore[attr-defined]
        return found[:, 0] if self._is_flat and len(found) else found


@_documented
@dataclass(eq=False, repr=False)
class MultiLabelClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """Any number of labels a picture, by a pretrained network.

    recall: which share of a picture's labels is to be found on
    average; None: what gives the best F1. loss: 'bce' or 'asymmetric', where a cut trains the network. After `fit`: ``classes_`` (names of
    the labels), ``model_`` (a `Model`) and ``problems_`` (what could not be learnt from).
    """

    recall: float | None = None
    loss: str = "bce"

    def fit(self, X: Sequence[Any], y: Any, groups: Any = None) -> Self:
        """X: N paths, PIL images or uint8 arrays (N, H, W, 3). y: (N, O) of 1, 0 and NaN (unknown), or N collections of labels.

        groups: N, pictures that belong together. Pictures that cannot be read are left out, with a warning. Raises DataError, UsageError,
        BackboneError or StoreError.
        """
        flags, names = _flags(y)
        cells = [
            {"cells": {name: None if math.isnan(flag) else int(flag) for name, flag in zip(names, row, strict=True)}}
            for row in flags.tolist()
        ]
        options = {"loss": self.loss} | ({} if self.recall is None else {"recall": self.recall})
        model = self._fit(_listing(X, cells, groups, columns=names), "multilabel", options)
        learnt = set(model.fitted.reading.names)  # type: ignore[attr-defined]
        self.classes_ = np.array(names)
        # What all pictures have, or none, cannot be learnt, and is said of every picture, or of none.
        self._usual = {
            name: float(np.nanmean(column)) for name, column in zip(names, flags.T, strict=True) if name not in learnt
        }
        return self

    def predict(self, X: Sequence[Any]) -> np.ndarray:
        """int64 (N, O): 1 for a label that is said."""
        always = {name for name, share in self._usual.items() if share > 0.5}
        said = [always | set(answer.labels) for answer in self._answers(X)]  # type: ignore[attr-defined]
        return np.array([[int(name in labels) for name in self.classes_] for labels in said], np.int64).reshape(len(said), -1)

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """float64 (N, O), calibrated, each label by itself."""
        answers = self._answers(X)
        told = [{**self._usual, **answer.probabilities} for answer in answers]  # type: ignore[attr-defined]
        return np.array([[one[name] for name in self.classes_] for one in told], np.float64).reshape(len(answers), -1)

    def __sklearn_tags__(self) -> Any:
        """Several labels a picture, and no single one."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags


def _flags(y: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """float64 (N, O) of 1, 0 and NaN, and the names of the labels."""
    if _are_collections(y):
        names = tuple(sorted({str(label) for labels in y for label in labels}))
        return np.array([[float(name in set(map(str, labels))) for name in names] for labels in y]), names
    given = array_of(y)
    try:
        values = given.astype(np.float64)
    except (TypeError, ValueError) as reason:
        raise DataError(f"y holds what is neither 0 nor 1 ({reason}); expected (N, labels) of 1, 0 and NaN") from reason
    if values.ndim != 2:
        raise DataError(f"y has the shape {values.shape}; expected (N, labels) of 1, 0 and NaN, or N collections of labels")
    if not np.isin(values[~np.isnan(values)], (0, 1)).all():
        raise DataError("y holds numbers other than 0 and 1: warmstart.Regressor estimates numbers")
    return values, target_names(y, given)


def _are_collections(y: Any) -> bool:
    """Whether each picture has a collection of labels, and not a row of numbers."""
    kinds = (list, tuple, set, frozenset)
    if not isinstance(y, Sequence) or isinstance(y, str) or not all(isinstance(one, kinds) for one in y):
        return False
    as_long = len({len(row) for row in y}) == 1
    return not (as_long and all(flag is None or isinstance(flag, int | float | np.number) for row in y for flag in row))


def _listing(
    X: Sequence[Any],
    targets: Sequence[Mapping[str, Any]],
    groups: Any,
    *,
    class_names: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
) -> Listing:
    """``targets``: of each picture, what an `Example` says of it."""
    sources = pictures_of(X)
    together: list[Any] = [None] * len(sources) if groups is None else np.asarray(groups).tolist()
    require_length("y", targets, sources)
    require_length("groups", together, sources)
    examples = []
    for i, (source, target, group) in enumerate(zip(sources, targets, together, strict=True)):
        path, content = named(source, i)
        said: dict[str, Any] = {"class_name": "", **target}
        examples.append(Example(path=path, content=content, group=None if group is None else str(group), **said))
    return Listing(
        source=f"{len(examples):,} pictures",
        examples=tuple(examples),
        class_names=class_names,
        columns=columns,
        is_table=True,
    )


def _labels(y: Any) -> np.ndarray:
    """(N,) of one type that can be sorted."""
    labels = array_of(y)
    if labels.ndim != 1:
        raise DataError(f"y has the shape {labels.shape}; expected one label for each picture, (N,)")
    if labels.dtype.kind == "O":
        empty = [i for i, label in enumerate(labels) if label is None or label != label]
        if empty:
            raise DataError(f"y has no label at {empty[0]} ({len(empty)} in all): leave these pictures out")
        if len({type(label) for label in labels}) > 1:
            labels = labels.astype(str)
    if labels.dtype.kind == "f" and type_of_target(labels) == "continuous":
        raise DataError("y holds numbers with fractions, which are no classes: warmstart.Regressor estimates numbers")
    return labels


def _numbers(y: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """float64 (N, O), and the names of the targets."""
    given = array_of(y)
    try:
        values = given.astype(np.float64).reshape(len(given), -1)
    except (TypeError, ValueError) as reason:
        raise DataError(f"y holds what is no number ({reason}): warmstart.Classifier learns classes") from reason
    if wrong := [i for i, row in enumerate(values) if not all(map(math.isfinite, row))]:
        raise DataError(f"y has no finite number at {wrong[0]} ({len(wrong)} in all): leave these pictures out")
    return values, target_names(y, given)
