"""How long a plan will take here: speeds measured on a few of its pictures, work counted in the data set and in the store.

24 pictures → speed of decoding, engine, training │ rows that are not stored yet → forecast, before anything is computed
"""

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from warmstart import machine
from warmstart.backbones.chain import Backbone
from warmstart.backbones.describe import parameters_right
from warmstart.data.augmentation import view_names
from warmstart.engines.build import Proven, open_engine
from warmstart.errors import PictureError
from warmstart.extraction.prefixes import cut_prefix, tapped_prefix
from warmstart.extraction.rendering import render_views
from warmstart.extraction.stored_rows import count_missing
from warmstart.heads.selection import ENOUGH_VAL, FOLDS
from warmstart.inspection.speed import decoding_per_second, engine_per_second, fit_seconds, measure
from warmstart.records import SPLITS, Picture, Preprocessing
from warmstart.store.cache import Store
from warmstart.strategy.forecast import Forecast, Speed, Work, forecast, within
from warmstart.workflows.dataset import Dataset
from warmstart.workflows.portrait import MAPPED
from warmstart.workflows.probe import Ready

MEASURED_PICTURES = 24
# Converting and proving another network for the engine, as a share of what it took for the whole backbone, for which libraries are loaded
# as well: 0.6 for the part left of a cut, 0.3 for what a cut's training made.
OPENING_SHARE = 0.5
# When the model is there, on an idle machine of two cores with AVX-512: scores, parity, files; and for each picture on the map.
FINISH_S, MAP_S_PER_PICTURE = 1.8, 0.0015
LIBRARIES_BYTES = 600_000_000  # that a process with PyTorch and an engine holds, where the system does not tell
FORECAST_HEADS = ("linear", "svm")  # those fitted by `heads.lbfgs`
NOTHING_TO_COMPUTE = Speed(decode=1.0, engine=1.0, share_left={}, train={}, train_bytes_per_image={})


def foresee(ready: Ready, store: Store, *, begin: float, budget_s: float | None = None) -> Forecast | None:
    """What the plan of ``ready`` will take, itself included from ``begin`` (by `time.perf_counter`) on, under a budget if there is one.

    None for heads whose fit has no forecast, and where no picture can be decoded.
    """
    plan, dataset, backbone, preprocessing = ready.plan, ready.dataset, ready.backbone, ready.preprocessing
    if plan.head not in FORECAST_HEADS:
        return None
    cuts = (*plan.unfreeze, plan.cut) if plan.trains_network else ()
    missing = missing_taps(ready, dataset.pictures, store)
    speed = (
        measured_speed(dataset.pictures, backbone, preprocessing, ready.proven, cuts) if missing or cuts else NOTHING_TO_COMPUTE
    )
    if speed is None:
        return None
    by_class = np.bincount(dataset.labels[dataset.positions("val")], minlength=len(dataset.class_names))
    layout = dict(backbone.tap_layout(preprocessing.size_px))
    with machine.calm_blas():
        fit_s = fit_seconds(
            len(dataset.positions("train")),
            [sum(layout[tap] for tap in taps) for taps in ready.tap_sets.values()],
            n_classes=len(dataset.class_names),
            folds=1 if by_class.min() >= ENOUGH_VAL else FOLDS,
        )
    work = counted_work(
        dataset,
        backbone,
        preprocessing,
        ready.proven,
        missing_taps=missing,
        missing_activations={cut: _missing_activations(ready, cut, store) for cut in cuts if cut != "pixels"},
        start_s=time.perf_counter() - begin,
        fit_s=fit_s,
    )
    expected = forecast(plan, speed, work)
    return expected if budget_s is None else within(expected, budget_s)


def in_words(expected: Forecast | None) -> str:
    """One sentence."""
    if expected is None:
        return "no forecast of the time for this head"
    gigabytes = expected.memory_bytes / 1e9, expected.store_bytes / 1e9
    return f"expected: {expected.seconds['total']:.0f} s in all, {gigabytes[0]:.1f} GB of memory, {gigabytes[1]:.2f} GB more in the store"


def missing_taps(ready: Ready, pictures: Sequence[Picture], store: Store) -> int:
    """Rows of the whole backbone that the store has not, views counted."""
    preprocessing = ready.preprocessing
    return count_missing(
        pictures,
        preprocessing.views,
        store=store,
        prefix=tapped_prefix(ready.backbone, preprocessing.size_px),
        engine=ready.proven.engine,
        precision=ready.proven.precision,
        preprocessing=preprocessing,
    )


def measured_speed(
    pictures: Sequence[Picture], backbone: Backbone, preprocessing: Preprocessing, proven: Proven, cuts: Sequence[str]
) -> Speed | None:
    """On a few pictures; training right of ``cuts``. None where none of them can be decoded."""
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
    prefix = tapped_prefix(backbone, preprocessing.size_px)
    engine = open_engine(prefix, proven.engine, proven.precision, folder=machine.graphs_folder())
    rows = np.stack(pixels)
    return measure(backbone, rows, cuts, decode=decode, engine=engine_per_second(engine, rows))


def counted_work(
    dataset: Dataset,
    backbone: Backbone,
    preprocessing: Preprocessing,
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
        activations={cut: math.prod(shape) for cut, shape in backbone.shapes(preprocessing.size_px).items()},
        features=sum(width for _, width in backbone.tap_layout(preprocessing.size_px)),
        params_right=parameters_right(backbone),
        base_bytes=machine.peak_bytes() or LIBRARIES_BYTES,
    )


def _missing_activations(ready: Ready, cut: str, store: Store) -> int:
    """Counted as if the engine for the whole backbone also served the part left of the cut: which one does is proved later."""
    from warmstart.training.tuned import split_taps

    plan, dataset = ready.plan, ready.dataset
    preprocessing = ready.preprocessing
    names = view_names(plan.augment, plan.augment_views)
    wanted: list[tuple[list[Picture], tuple[str, ...]]] = [
        ([dataset.pictures[i] for i in dataset.positions("train")], names),
        ([dataset.pictures[i] for i in dataset.positions("val")], names[:1]),
    ]
    counts = []
    for taps in ready.tap_sets.values():  # which set is taken is not known yet; the recipe hangs on it
        prefix = cut_prefix(ready.backbone, cut, split_taps(ready.backbone, cut, taps)[0], preprocessing.size_px)
        missing = [
            count_missing(
                pictures,
                views,
                store=store,
                prefix=prefix,
                engine=ready.proven.engine,
                precision=ready.proven.precision,
                preprocessing=preprocessing,
            )
            for pictures, views in wanted
        ]
        counts.append(sum(missing))
    return min(counts)
