"""Heat-maps of a handful of test pictures, for the report: Grad-CAM where the head has a gradient, occlusion where not.

    predictions.csv → pictures worth a look → network in PyTorch → heat-map of each class concerned → JPEG

Eight pictures, four of them with two maps, take 2.5 s of processor time by Grad-CAM (Lite0 at 224 px), by occlusion about three times as
much; taking the model apart takes 0.2 s, and some seconds in a process that has not loaded PyTorch. So the time for pictures is limited,
and what was not reached is said.
"""

import time
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from warmstart.data.views import over_picture, seen_window
from warmstart.errors import PictureError, UsageError, WarmstartError
from warmstart.extraction.rendering import render, upright
from warmstart.model.predictor import Model, load
from warmstart.report.overlay import overlay
from warmstart.report.thumbnails import as_jpeg
from warmstart.tasks.classify.explain.heat_map import HeatMap
from warmstart.tasks.classify.model import ClassModel, require_classifier
from warmstart.tasks.classify.report.run_files import Judged, RunFiles
from warmstart.tasks.classify.report.saliency_examples import Look, Looks, worth_a_look

if TYPE_CHECKING:
    from warmstart.tasks.classify.explain.attribution_model import AttributionModel

LIMIT_S = 1.5  # at the end of a run, for the pictures: the first is always made, and none is begun after that
LIMIT_AGAIN_S = 20.0  # when nothing but the report is made
SAID = {"grad-cam": "Grad-CAM", "occlusion": "occlusion"}
SIDE_PX = 176  # of a picture, the longer side; sharp enough where it stands at half of that


def look_again(run: RunFiles, model: Model | None = None, *, limit_s: float) -> Looks:
    """Of a run, as it lies there. ``model``: its own, if it is in memory. What cannot be had is said in the notes; nothing is raised."""
    try:
        model = require_classifier(model or load(run.folder), "a heat-map")
        subject = _taken_apart(model)
    except (WarmstartError, ImportError) as reason:
        return Looks(notes=(f"no heat-maps, for the network cannot be rebuilt in PyTorch: {reason}",))
    chosen = worth_a_look([p for p in run.judged if {p.true, p.predicted} <= set(model.class_names)])
    if not chosen:
        return Looks(notes=("no heat-maps, for there is no test picture to show them on",))
    begin = time.perf_counter()
    looks: list[Look] = []
    how: dict[str, None] = {}
    gone = 0
    for judged in chosen:
        if looks and time.perf_counter() - begin > limit_s:
            break
        try:
            heat, shown = _heat(subject, model, judged, run.located(judged.path))
        except PictureError:
            gone += 1
            continue
        maps = tuple((name, _drawn(shown, each, model.preprocessing.resize)) for name, each in heat.items())
        looks.append(Look(judged=judged, picture=as_jpeg(shown), maps=maps))
        how |= {f"{SAID[each.method]} at {each.layer}": None for each in heat.values()}
    notes = []
    if gone:
        notes.append(f"{gone} of the {len(chosen)} pictures chosen for heat-maps could not be read when this was written")
    if left := len(chosen) - len(looks) - gone:
        notes.append(
            f"the time for heat-maps was over before {left} of the {len(chosen)} pictures chosen for them; "
            "warmstart report RUN makes all"
        )
    looks.sort(key=lambda look: look.judged.right)  # mistakes first; each kind stays in order
    return Looks(looks=tuple(looks), how=" and ".join(how), notes=tuple(notes))


def _taken_apart(model: ClassModel) -> "AttributionModel":
    from warmstart.tasks.classify.explain.explanation import subject_of  # and with it torch

    return subject_of(model)


def _heat(
    subject: "AttributionModel", model: ClassModel, judged: Judged, source: str
) -> tuple[dict[str, HeatMap], Image.Image]:
    """Class → heat-map, of what was said and of what is true; and the picture for people to look at. Raises PictureError."""
    from warmstart.tasks.classify.explain import grad_cam, occlusion
    from warmstart.tasks.classify.explain.attribution_model import look
    from warmstart.tasks.classify.explain.explanation import heat_map

    pixels = render(source, model.preprocessing)
    labels = {name: model.class_names.index(name) for name in (judged.predicted, judged.true)}
    try:
        seen = look(subject, pixels, gradients=True)
        heat = {name: heat_map(subject, seen, label, method=grad_cam.METHOD) for name, label in labels.items()}
    except UsageError:  # a head without gradient, or a stage where it has none
        seen = look(subject, pixels)
        heat = {name: heat_map(subject, seen, label, method=occlusion.METHOD) for name, label in labels.items()}
    return heat, upright(source, SIDE_PX)


def _drawn(picture: Image.Image, heat: HeatMap, mode: str) -> str | None:
    if not heat.values.any():
        return None
    laid = over_picture(heat.values, picture.size, mode=mode)
    return as_jpeg(Image.fromarray(overlay(np.asarray(picture), laid, seen_window(picture.size, mode=mode))))
