"""explain: where in a picture the evidence for a class lies, what the stages say of it, and the training pictures most like it.

picture → prediction → network, every stage kept → heat-map, feature maps → neighbours        `draw` → pictures in a folder
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from warmstart.data.memory import one_or_many, understood
from warmstart.data.views import over_picture, seen_window
from warmstart.errors import DataError, PictureError, UnknownNameError
from warmstart.extraction.rendering import render, upright
from warmstart.model.predictor import Model
from warmstart.records import Prediction, ValueRange
from warmstart.session.progress import NullProgress, Watcher
from warmstart.session.run_folder import make_folder
from warmstart.tasks.classify.explain import grad_cam, occlusion
from warmstart.tasks.classify.explain.attribution_model import AttributionModel, ForwardPass, look
from warmstart.tasks.classify.explain.feature_maps import FeatureMaps, feature_maps
from warmstart.tasks.classify.explain.heat_map import HeatMap
from warmstart.tasks.classify.explain.nearest import Neighbour
from warmstart.tasks.classify.explain.neighbours import Neighbours, neighbours
from warmstart.tasks.classify.model import ClassModel, require_classifier
from warmstart.workflows.predict import open_trained, place_of

METHODS = (occlusion.METHOD, grad_cam.METHOD)
SHOWN_PX = 1024  # longer side of the picture that heat-maps are laid over
THUMBNAIL_PX = 256
LISTED_CHANNELS = 16


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """What to explain and how; None is a default that depends on the picture or the model."""

    class_name: str | None = None  # None: the predicted class
    method: str = occlusion.METHOD
    layer: str | None = None  # a stage or the library's path of it; None: the method's own choice
    neighbours: int = 5  # how many training pictures to show; 0: none, which also spares looking for them
    data: str | None = None  # where the training pictures are; None: where the run found them

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownNameError("method", self.method, METHODS)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What was found about one picture. H, W: the picture as it is shown, upright, at most `SHOWN_PX` long."""

    model: str
    prediction: Prediction
    class_name: str  # what is explained
    quantity: str  # what the heat-map is the evidence of, in words
    heat: HeatMap  # over the network's input, at the resolution of its stage
    picture: np.ndarray  # uint8 (H, W, 3)
    window: tuple[float, float, float, float]  # left, top, right, bottom of what the network saw of it, in its pixels
    heat_map: np.ndarray  # float32 (H, W): `heat.values` laid over the picture, 0 where the network saw nothing
    pixels: np.ndarray  # uint8 (3, S, S): what the network was given
    feature_maps: Mapping[str, FeatureMaps]  # 'pixels' and stages → what their channels say, from left to right
    layer: str  # the stage whose feature maps were asked for: that of the heat-map
    neighbours: tuple[Neighbour, ...]
    notes: tuple[str, ...]  # what could not be done and why
    seconds: float
    files: tuple[str, ...] = ()  # pictures that were written

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: without pixels and feature maps, which are in the files and in the object."""
        maps = self.feature_maps[self.layer]
        return {
            "model": self.model,
            "prediction": self.prediction.to_dict(),
            "class": self.class_name,
            "method": self.heat.method,
            "layer": self.layer,
            "quantity": self.quantity,
            "heat_map": self.heat.values.tolist(),
            "picture_px": [self.picture.shape[1], self.picture.shape[0]],
            "window_px": list(self.window),
            "strongest_channels": maps.strongest[:LISTED_CHANNELS].tolist(),
            "stages": {name: list(maps.activations.shape) for name, maps in self.feature_maps.items()},
            "neighbours": [asdict(neighbour) for neighbour in self.neighbours],
            "notes": list(self.notes),
            "files": list(self.files),
            "seconds": self.seconds,
        }


def explain(
    model: str | Model,
    picture: Any,
    settings: ExplainSettings | None = None,
    *,
    download: bool = False,
    watcher: Watcher | None = None,
) -> Explanation:
    """Explain what a model (model folder, run folder or 'imagenet:BACKBONE') says of one picture. `draw` makes pictures of it.

    picture: as `Model.predict` takes one. Raises DataError for several, ModelFileError for the model, PictureError for the picture,
    UnknownNameError for a class, a layer or a method that is not there, UsageError for a head without gradient under Grad-CAM.
    """
    settings, watcher = settings or ExplainSettings(), watcher or NullProgress()
    begin = time.perf_counter()
    predictor = require_classifier(open_trained(model, download=download), "explain")
    if settings.class_name is not None and settings.class_name not in predictor.class_names:
        raise UnknownNameError("class", settings.class_name, predictor.class_names)
    subject = subject_of(predictor)
    if settings.layer is not None:
        subject.backbone.resolve_cut(settings.layer)  # before anything is computed
    picture = _one(picture, predictor.preprocessing.values)
    prediction = predictor.predict(picture)
    assert isinstance(prediction, Prediction)
    class_name = settings.class_name or prediction.class_name
    pixels = render(picture, predictor.preprocessing)
    seen = look(subject, pixels, gradients=settings.method == grad_cam.METHOD)
    heat = heat_map(subject, seen, predictor.class_names.index(class_name), method=settings.method, layer=settings.layer)
    shown = upright(picture, SHOWN_PX)
    mode = predictor.preprocessing.resize
    close = Neighbours(nearest=(), notes=())
    if settings.neighbours > 0:
        close = neighbours(predictor, place_of(model), picture, count=settings.neighbours, data=settings.data, watcher=watcher)
    return Explanation(
        model=place_of(model),
        prediction=prediction,
        class_name=class_name,
        quantity=subject.quantity,
        heat=heat,
        picture=np.asarray(shown),
        window=seen_window(shown.size, mode=mode),
        heat_map=over_picture(heat.values, shown.size, mode=mode),
        pixels=pixels,
        feature_maps={name: feature_maps(subject, seen, name) for name in subject.layers(seen.maps)},
        layer=heat.layer,
        neighbours=close.nearest,
        notes=(*_remarks(heat, class_name), *close.notes),
        seconds=time.perf_counter() - begin,
    )


def draw(result: Explanation, folder: Path) -> Explanation:
    """Write heat-map, feature maps, depth and neighbours into ``folder``, each as PNG and SVG; the result names them.

    Raises DataError when the folder cannot be made.
    """
    from warmstart.tasks.classify.report.feature_maps import draw_depth, draw_feature_maps
    from warmstart.tasks.classify.report.heat_maps import draw_heat_map, draw_neighbours

    make_folder(folder)
    prediction = result.prediction
    title = f"{result.class_name} {prediction.probabilities[result.class_name]:.1%} · {result.heat.method} at {result.layer}"
    if result.class_name != prediction.class_name:
        title += f" · predicted: {prediction.class_name} {prediction.probability:.1%}"
    stages = [maps for name, maps in result.feature_maps.items() if name != "pixels"]
    written = [
        *draw_heat_map(result.picture, result.heat_map, result.window, title=title, folder=folder),
        *draw_feature_maps(result.feature_maps[result.layer], folder=folder),
        *draw_depth(result.pixels.transpose(1, 2, 0), stages, folder=folder),
    ]
    if result.neighbours:
        close = [(_thumbnail(n.path), n.class_name, n.distance) for n in result.neighbours]
        written += draw_neighbours(result.picture, prediction.class_name, close, folder=folder)
    return replace(result, files=tuple(str(path) for path in written))


def _one(picture: Any, values: ValueRange) -> Any:
    """The picture, for it is looked at several times: an open file can be read once. Raises DataError for several, PictureError."""
    pictures, one = one_or_many(picture)
    if not one:
        raise DataError(f"one picture is explained at a time, and a list of {len(pictures)} was given: call it for each")
    given = understood(picture, values)
    return str(given) if isinstance(given, Path) else given


def subject_of(model: ClassModel) -> AttributionModel:
    """A model taken apart."""
    return AttributionModel(
        backbone=model.network(),
        head=model.head,
        layout=model.layout,
        taps=model.taps,
        temperature=model.temperature,
        views=model.preprocessing.views,
    )


def heat_map(subject: AttributionModel, seen: ForwardPass, label: int, *, method: str, layer: str | None = None) -> HeatMap:
    """By one of `METHODS`, at a stage or at the method's own choice of one. ``seen`` with gradients for Grad-CAM."""
    if method == grad_cam.METHOD:
        at = subject.layer(layer, seen.maps) if layer is not None else grad_cam.last_layer_read(subject, seen)
        return grad_cam.grad_cam(subject, seen, label, at)
    at = subject.layer(layer, seen.maps) if layer is not None else occlusion.default_layer(subject, seen)
    return occlusion.occlusion(subject, seen, label, at)


def _remarks(heat: HeatMap, class_name: str) -> tuple[str, ...]:
    if heat.values.any():
        return ()
    return (f"nothing at {heat.layer} speaks for {class_name!r}: the heat-map is empty",)


def _thumbnail(path: str) -> np.ndarray | None:
    try:
        return np.asarray(upright(path, THUMBNAIL_PX))
    except PictureError:
        return None
