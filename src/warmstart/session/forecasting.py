"""How long a plan will take here: speeds measured on a few of its pictures, work counted in the data set and in the store.

24 pictures → speed of decoding, engine, training │ rows that are not stored yet → forecast, before anything is computed
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from warmstart import machine
from warmstart.backbones.chain import Backbone
from warmstart.backbones.describe import parameters_right
from warmstart.engines.build import Proven
from warmstart.errors import PictureError
from warmstart.extraction.prefixes import cut_prefix
from warmstart.extraction.reader import Reader
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.rendering import render_views
from warmstart.inspection.speed import decoding_per_second, engine_per_second, measure
from warmstart.records import SPLITS, Picture
from warmstart.session.dataset import Dataset
from warmstart.session.run_state import Ready
from warmstart.session.session import Session
from warmstart.strategy.forecast import Forecast, Speed, Work, forecast, within
from warmstart.task_registry import part

MAPPED = 1000  # pictures on the map of a report: more are a smear to the eye, and each has a thumbnail
MEASURED_PICTURES = 24
# Converting and proving another network for the engine, as a share of what it took for the whole backbone, for which libraries are loaded
# as well: 0.6 for the part left of a cut, 0.3 for what a cut's training made.
OPENING_SHARE = 0.5
# When the model is there, on an idle machine of two cores with AVX-512: scores, parity, files; and for each picture on the map.
FINISH_S, MAP_S_PER_PICTURE = 1.8, 0.0015
LIBRARIES_BYTES = 600_000_000  # that a process with PyTorch and an engine holds, where the system does not tell
FORECAST_HEADS = ("linear", "svm")  # those fitted by `heads.lbfgs`
NOTHING_TO_COMPUTE = Speed(decode=1.0, engine=1.0, share_left={}, train={}, train_bytes_per_image={})


def foresee(ready: Ready, session: Session) -> Forecast | None:
    """What the plan of ``ready`` will take, all that the session has spent included, under its budget if there is one.

    None for heads whose fit has no forecast, and where no picture can be decoded.
    """
    plan, dataset, backbone = ready.plan, ready.dataset, ready.backbone
    fit_seconds = part(dataset.task, "forecast")
    if fit_seconds is None or plan.head not in FORECAST_HEADS:
        return None
    cuts = (*plan.unfreeze, plan.cut) if plan.trains_network else ()
    reader = session.reader(ready.recipe)
    missing = reader.missing(dataset.pictures)
    speed = measured_speed(dataset.pictures, backbone, reader, cuts) if missing or cuts else NOTHING_TO_COMPUTE
    if speed is None:
        return None
    layout = dict(ready.recipe.prefix.layout)
    with machine.calm_blas():
        fit_s = fit_seconds(
            len(dataset.positions("train")),
            [sum(layout[tap] for tap in taps) for taps in ready.tap_sets.values()],
            dataset.targets,
            dataset.targets.take(dataset.positions("val")),
        )
    work = counted_work(
        dataset,
        backbone,
        ready.recipe,
        ready.proven,
        missing_taps=missing,
        missing_activations={cut: _missing_activations(ready, cut, session) for cut in cuts if cut != "pixels"},
        start_s=session.clock.here(),
        fit_s=fit_s,
    )
    expected = forecast(plan, speed, work)
    return expected if session.clock.budget_s is None else within(expected, session.clock.budget_s)


def in_words(expected: Forecast | None) -> str:
    """One sentence."""
    if expected is None:
        return "no forecast of the time for this head"
    gigabytes = expected.memory_bytes / 1e9, expected.store_bytes / 1e9
    return f"expected: {expected.seconds['total']:.0f} s in all, {gigabytes[0]:.1f} GB of memory, {gigabytes[1]:.2f} GB more in the store"


def measured_speed(pictures: Sequence[Picture], backbone: Backbone, reader: Reader, cuts: Sequence[str]) -> Speed | None:
    """On a few pictures; training right of ``cuts``. None where none of them can be decoded."""
    preprocessing = reader.recipe.preprocessing
    sample = pictures[:: max(1, len(pictures) // MEASURED_PICTURES)][:MEASURED_PICTURES]
    readable, pixels = [], []
    for picture in sample:
        try:
            pixels += render_views(picture, ("plain",), preprocessing)
        except PictureError:
            continue
        readable.append(picture)
    if not readable:
        return None
    decode = decoding_per_second(readable, preprocessing)
    rows = np.stack(pixels)
    return measure(backbone, rows, cuts, decode=decode, engine=engine_per_second(reader.engine(), rows))


def counted_work(
    dataset: Dataset,
    backbone: Backbone,
    recipe: Recipe,
    proven: Proven,
    *,
    missing_taps: int,
    missing_activations: Mapping[str, int] | None = None,
    start_s: float,
    fit_s: float,
) -> Work:
    """What does not depend on speed."""
    return Work(
        images={split: len(dataset.positions(split)) for split in SPLITS},
        start_s=start_s,
        fit_s=fit_s,
        open_s=OPENING_SHARE * proven.seconds,
        finish_s=FINISH_S + MAP_S_PER_PICTURE * min(MAPPED, len(dataset.pictures)),
        missing_taps=missing_taps,
        missing_activations=missing_activations,
        activations={cut: math.prod(shape) for cut, shape in backbone.shapes(recipe.preprocessing.size_px).items()},
        features=recipe.width,
        params_right=parameters_right(backbone),
        base_bytes=machine.peak_bytes() or LIBRARIES_BYTES,
    )


def _missing_activations(ready: Ready, cut: str, session: Session) -> int:
    """Counted as if the engine for the whole backbone also served the part left of the cut: which one does is proved later."""
    from warmstart.training.tuned import split_taps

    plan, dataset, size_px = ready.plan, ready.dataset, ready.recipe.preprocessing.size_px
    names = session.view_names(plan, plan.augment_views)
    wanted: list[tuple[list[Picture], tuple[str, ...]]] = [
        ([dataset.pictures[i] for i in dataset.positions("train")], names),
        ([dataset.pictures[i] for i in dataset.positions("val")], names[:1]),
    ]
    counts = []
    for taps in ready.tap_sets.values():  # which set is taken is not known yet; the recipe hangs on it
        prefix = cut_prefix(ready.backbone, cut, split_taps(ready.backbone, cut, taps)[0], size_px)
        reader = session.reader(replace(ready.recipe, prefix=prefix))
        counts.append(sum(reader.missing(pictures, views) for pictures, views in wanted))
    return min(counts)
