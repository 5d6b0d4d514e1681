"""The verbs as Python calls, with a progress bar on stderr (also in notebooks) unless ``quiet``.

Options are keyword arguments, as `warmstart.keywords` has them. A model is given as a path, a `Run` or a `Model`; pictures as paths or in
memory.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.backbones.own import backbone_of
from warmstart.cli.terminal import Terminal
from warmstart.data.given import labelled
from warmstart.keywords import asked, documented
from warmstart.model.features import FeatureExtractor, activations_of
from warmstart.plan import ADVISED, Plan
from warmstart.session import outcome as _outcome
from warmstart.session.own_parts import handed_over
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings
from warmstart.tasks.classify import compare as _compare
from warmstart.tasks.classify.advice import advise as _advise
from warmstart.tasks.classify.doctor import examination as _doctor
from warmstart.tasks.classify.explain import explanation as _explain
from warmstart.training.events import Event
from warmstart.workflows import backbones as _backbones
from warmstart.workflows import cache as _cache
from warmstart.workflows import evaluate as _evaluate
from warmstart.workflows import export as _export
from warmstart.workflows import filters as _filters
from warmstart.workflows import inspect as _inspect
from warmstart.workflows import lr_find as _lr_find
from warmstart.workflows import predict as _predict
from warmstart.workflows import report as _report
from warmstart.workflows import show as _show
from warmstart.workflows import train as _train

OnEvent = Callable[[Event], object]


@documented(Plan, TrainSettings)
def train(
    data: Any,
    y: Any = None,
    plan: Plan | None = None,
    *,
    backbone: Any = None,
    head: Any = None,
    augment: Any = None,
    on_event: OnEvent | None = None,
    quiet: bool = False,
    **options: Any,
) -> _outcome.Run:
    """Train, test, save and report; returns a `Run`.

    data: a folder of class folders, a table (CSV file or data frame with columns path and label), pairs (picture, label), a torch Dataset
    of these, or, with ``y``, N pictures. A picture is a path, a PIL image or a uint8 array (H, W, 3).
    y: N labels or numbers, or (N, O) numbers. plan: a `Plan` instead of, or beside, its fields as keyword arguments.
    Without a plan and without fields that say how: a head on the frozen network, then what the advice has that fits ``budget_s`` (120).
    backbone: a name, an `nn.Module` of your own, or a `Backbone`; what was frozen of it with `freeze` stays frozen.
    head: a name, a scikit-learn classifier (of numbers, a regressor), which is saved as arrays, or an `nn.Module` of features (B, D) →
    scores (B, K), saved as its operations and tensors: fitted on the frozen network, and trained with it right of an earlier cut.
    augment: a name, or a callable that makes views to train on of uint8 (3, S, S) tensors, such as a torchvision v2 transform; with an
    attribute ``id`` its views are kept for later runs.
    on_event: called with everything that the training loop tells (`warmstart.training.events`); training ends, and its best epoch is
    kept, when it returns True. quiet: no progress bar.
    Raises DataError, UsageError, BackboneError or StoreError, each saying what to do.
    """
    if isinstance(y, Plan):  # train(data, plan)
        y, plan = plan, y
    if y is not None:
        data, names = labelled(data, y)
        options = {"target": names, **options} if names else options
    said, own = handed_over(backbone=backbone, head=head, augment=augment, on_event=on_event)
    options = {**said, **options}
    plan, settings = asked(options, plan, usual=Plan(cut=ADVISED))
    with _watched(quiet) as watcher:
        return _train.train(data, plan, settings, watcher=watcher, own=own)


def resume(
    folder: str | Path,
    *,
    data: Any = None,
    backbone: Any = None,
    head: Any = None,
    augment: Any = None,
    download: bool = False,
    quiet: bool = False,
) -> _outcome.Run:
    """Go on with a run whose training was interrupted, to the weights that it would have had.

    folder: of the run. data, backbone, head, augment: what it was started with, where that was more than a path or a name.
    """
    _, own = handed_over(backbone=backbone, head=head, augment=augment)
    with _watched(quiet) as watcher:
        return _train.resume(Path(folder), data=data, watcher=watcher, own=own, download=download)


@documented(Plan, TrainSettings)
def compare(
    data: Any,
    plans: Sequence[str] | Mapping[str, Plan] = (),
    plan: Plan | None = None,
    *,
    budget_s: float = 600.0,
    quiet: bool = False,
    **options: Any,
) -> _compare.Comparison:
    """Several plans by short names ('frozen', 'stage5', 'full@128') or as name → Plan, each in ``budget_s`` seconds.

    plan, options: what the plans that are named in short share.
    """
    plan, settings = asked({**options, "budget_s": budget_s}, plan, usual=Plan())
    with _watched(quiet) as watcher:
        return _compare.compare(data, plans, plan, settings, watcher=watcher)


@documented(Plan, TrainSettings)
def advise(
    data: Any, plan: Plan | None = None, *, backbones: Sequence[str] = (), quiet: bool = False, **options: Any
) -> _advise.Advised:
    """What to freeze and what to train on a data set, from evidence that takes seconds; ``.plan`` is what it recommends.

    plan, options: what is not to be decided. backbones: names of networks that are to compete.
    """
    plan, settings = asked(options, plan, usual=Plan())
    with _watched(quiet) as watcher:
        return _advise.advise(data, plan, settings, backbones=backbones, watcher=watcher)


@documented(Plan, TrainSettings)
def lr_find(
    data: Any, plan: Plan | None = None, *, steps: int = 100, quiet: bool = False, **options: Any
) -> _lr_find.LearningRateSearch:
    """Which learning rate the network right of a cut bears, as a curve and a suggestion. cut: 'stage5' if none is given."""
    plan, settings = asked(
        {"cut": "stage5", **options} if plan is None and not options.get("freeze") else options, plan, usual=Plan()
    )
    with _watched(quiet) as watcher:
        return _lr_find.lr_find(data, plan, settings, steps=steps, watcher=watcher)


def predict(
    model: Any,
    pictures: Any,
    *,
    coverage: float | None = None,
    sure: float | None = None,
    keep_damaged: bool | None = None,
    quiet: bool = False,
) -> _predict.Predictions:
    """What a model says of pictures: ``.predictions``, ``.frame`` (a data frame), ``.problems`` (pictures that have no answer).

    pictures: a file, a folder, a glob, or several of these; or pictures in memory. coverage: also what holds the truth this often.
    sure: also the deepest answer with this probability (above 0.5): a class, or where classes are nested what stands above several.
    """
    with _watched(quiet) as watcher:
        return _predict.predict(
            _named(model), _several(pictures), coverage=coverage, sure=sure, keep_damaged=keep_damaged, watcher=watcher
        )


def evaluate(
    model: Any,
    data: Any,
    y: Any = None,
    *,
    exclude: tuple[str, ...] = (),
    keep_damaged: bool | None = None,
    quiet: bool = False,
) -> _evaluate.Evaluation:
    """Score a model on labelled pictures, which may be given as `train` takes them."""
    if y is not None:
        data, _ = labelled(data, y)
    with _watched(quiet) as watcher:
        return _evaluate.evaluate(_named(model), data, exclude=exclude, keep_damaged=keep_damaged, watcher=watcher)


def explain(
    model: Any,
    picture: Any,
    *,
    class_name: str | None = None,
    method: str = "occlusion",
    layer: str | None = None,
    neighbours: int = 5,
    data: str | None = None,
    out: str | Path | None = None,
    download: bool = False,
    quiet: bool = False,
) -> _explain.Explanation:
    """Why a model says what it says of one picture, as arrays; drawn into the folder ``out`` too.

    class_name: what is to be explained; None: what the model says. method: 'occlusion' or 'grad-cam', at ``layer``. neighbours: how many
    of the most similar training pictures to show. data: where these are now, if not where the run found them.
    """
    settings = _explain.ExplainSettings(class_name=class_name, method=method, layer=layer, neighbours=neighbours, data=data)
    with _watched(quiet) as watcher:
        result = _explain.explain(_named(model), picture, settings, download=download, watcher=watcher)
    return result if out is None else _explain.draw(result, Path(out))


def filters(
    name: Any, *, weights: str = "default", out: str | Path | None = None, download: bool = False, quiet: bool = False
) -> _filters.FilterPicture:
    """The first convolution's filters of a backbone or a model, as an array; drawn into the folder ``out`` too."""
    with _watched(quiet) as watcher:
        result = _filters.filters(_named(name), weights=weights, download=download, watcher=watcher)
    return result if out is None else _filters.draw(result, Path(out))


@documented(Plan, TrainSettings)
def doctor(
    data: Any,
    plan: Plan | None = None,
    *,
    fix_list: str | Path | None = None,
    page: str | Path | None = None,
    force: bool = False,
    quiet: bool = False,
    **options: Any,
) -> _doctor.Diagnosis:
    """What is wrong with a data set: copies, doubtful labels, odd pictures. Writes a list of fixes and a page where their names are given.

    force: also over a list of fixes that was edited since it was written.
    """
    plan, settings = asked(options, plan, usual=Plan())
    with _watched(quiet) as watcher:
        diagnosis = _doctor.doctor(data, plan, settings, watcher=watcher)
        _doctor.write(
            diagnosis,
            fix_list=Path(fix_list) if fix_list else None,
            page=Path(page) if page else None,
            watcher=watcher,
            force=force,
        )
    return diagnosis


def export(
    model: Any,
    to: str = "onnx",
    precision: str = "fp32",
    *,
    resize_inside: bool = False,
    out: str | Path | None = None,
    pictures: str | Path | None = None,
    data: str | Path | None = None,
    proof_pictures: int = 1000,
    force: bool = False,
    download: bool = False,
    quiet: bool = False,
) -> _export.Export:
    """Write a model as one file for other programs, proved on held-out pictures.

    to: 'onnx', 'openvino' or 'torch'. precision: 'fp32', 'fp16' or 'int8'. resize_inside: the file takes pictures of any size. out: the
    folder to write to. pictures, data: what to prove it on, if not the run's test pictures; at most ``proof_pictures``. force: also where
    the proof fails.
    """
    with _watched(quiet) as watcher:
        settings = _export.ExportSettings(
            format=to,
            precision=precision,
            resize_inside=resize_inside,
            out=None if out is None else Path(out),
            pictures=None if pictures is None else str(pictures),
            data=None if data is None else str(data),
            proof_pictures=proof_pictures,
            force=force,
        )
        return _export.export(_named(model), settings, download=download, watcher=watcher)


def report(run: Any, *, heat_maps: bool = True) -> _report.Report:
    """Write a run's or a comparison's report.html again."""
    return _report.report(run.folder if isinstance(run, _outcome.Run) else Path(run), heat_maps=heat_maps)


def inspect(data: Any, *, exclude: tuple[str, ...] = (), nested: bool = False, quiet: bool = False) -> _inspect.Inspection:
    """Look at every picture of a data set: sizes, formats, copies, what cannot be read.

    nested: folders in class folders are classes too.
    """
    with _watched(quiet) as watcher:
        return _inspect.inspect(data, exclude=exclude, nested=nested, watcher=watcher)


@documented(Plan, TrainSettings)
def show(data: Any, y: Any = None, plan: Plan | None = None, *, n: int = 6, **options: Any) -> _show.Batch:
    """Some pictures as the network sees them: the window that is cut drawn onto each, and its views. For a notebook.

    data, y: as `train` takes them. n: how many. ``.pixels`` holds them, uint8 (n, views, 3, S, S).
    """
    if y is not None:
        data, names = labelled(data, y)
        options = {"target": names, **options} if names else options
    plan, settings = asked(options, plan, usual=Plan())
    return _show.show(data, plan, settings, n=n)


def features(
    pictures: Any,
    cut: str = "pooled",
    *,
    pooled: bool = True,
    backbone: Any = "efficientnet_lite0",
    weights: str = "default",
    image_size_px: int | None = None,
    resize: str = "crop",
    download: bool = False,
) -> np.ndarray:
    """What a frozen network computes of N pictures, from the store where it is: float32 (N, D), or activations (N, C, H, W).

    cut: 'pooled' or a stage. pooled: of a stage, mean and deviation of each channel; False: the whole map. backbone: a name, a module or a
    `Backbone`. resize: 'crop', 'full-crop', 'squash' or 'pad'; 'auto' is 'crop', because there are no labels to compare by. For a pipeline
    there is `FeatureExtractor`.
    """
    network = backbone_of(backbone, weights=weights, download=download)
    sources = _predict.pictures_in(_several(pictures))
    if pooled:
        taken = FeatureExtractor(network, cut=cut, image_size_px=image_size_px, resize=resize)
        return np.asarray(taken.fit_transform(sources))
    return activations_of(sources, network, cut, image_size_px=image_size_px, resize=resize)


def backbones(name: str | None = None, *, image_size_px: int | None = None) -> dict[str, Any]:
    """The catalogue of networks; or one of them, with its cuts and their shapes and costs."""
    return _backbones.catalogue() if name is None else _backbones.details(name, image_size_px)


def cache() -> dict[str, Any]:
    """What is stored, how big it is, for which recipe. `warmstart cache prune` removes some of it."""
    return _cache.contents()


def _watched(quiet: bool) -> Any:
    return nullcontext(NullProgress()) if quiet else Terminal()


def _several(pictures: Any) -> Any:
    return [pictures] if isinstance(pictures, str | Path) else pictures


def _named(model: Any) -> Any:
    """As workflows take it: a path or name as text, an opened model, a run's model."""
    if isinstance(model, _outcome.Run):
        return model.model
    return str(model) if isinstance(model, str | Path) else model
