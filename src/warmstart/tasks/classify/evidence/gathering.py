"""Everything measured before advice is given, apart from the advice: plain data, made from train pictures alone.

    taps of train pictures, at most 1,200 ────────┬→ depth profile → sets of taps → learning curve → nearest neighbours
    the source's classifier                       ├→ its names for the target's classes
    a few pictures again, decoded                 ├→ shift of statistics, signs of difficulty
    a few pictures again, turned                  └→ whether they keep their class

N train pictures that were drawn, D features of all taps, K classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart.backbones.chain import Backbone
from warmstart.backbones.imagenet import imagenet_class_names
from warmstart.data.drawing import drawn
from warmstart.errors import PictureError
from warmstart.extraction.features import columns
from warmstart.extraction.rendering import render_views
from warmstart.heads.standardising import Array
from warmstart.records import Picture, Preprocessing
from warmstart.strategy.taps import tap_sets
from warmstart.tasks.classify.advice.rules import Measured
from warmstart.tasks.classify.evidence.depth import DepthProfile, class_entropy, depth_profile
from warmstart.tasks.classify.evidence.knn_accuracy import knn_accuracy
from warmstart.tasks.classify.evidence.learning_curve import LearningCurve, learning_curve
from warmstart.tasks.classify.evidence.pictures import PictureSigns, Turned, picture_signs, turned
from warmstart.tasks.classify.evidence.probing import HeldOut, cross_validated
from warmstart.tasks.classify.evidence.shift import SAMPLE, Shift, shift
from warmstart.tasks.classify.evidence.source_classes import SourceNames, source_names
from warmstart.tasks.classify.heads.protocol import Labels

MOST_PICTURES = 1200  # of train that are looked at: intervals are then ± 2 points, and more would decide nothing else
TURNED_PICTURES = 200  # the standard error of a change is then about 2 points
TURNS = ("flip", "rot180", "rot90")
STEPS = 4

RowsOf = Callable[[Sequence[Picture], str], np.ndarray]  # pictures, view → rows (M, D), from the store or computed


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The train pictures that were `drawn`, as a frozen backbone sees them, and how many they stand for."""

    backbone: Backbone
    pretrained: bool  # weights are the source's, so its classifier means something
    preprocessing: Preprocessing
    pictures: tuple[Picture, ...]  # N
    labels: Labels  # (N,)
    class_names: tuple[str, ...]  # K
    rows: np.ndarray  # (N, D)
    layout: tuple[tuple[str, int], ...]
    units: NDArray[np.int64]  # (N,), the same number for copies and groups, which are held out together
    counts: Labels  # (K,), train pictures by class: all that there are, and
    duplicates: int  # of all those, copies of another


@dataclass(frozen=True, kw_only=True)
class TapSetProbe:
    """One set of taps, read by a probe that has not seen the picture."""

    accuracy: float
    accuracy_ci95: tuple[float, float]
    information_bits: float
    penalty: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """See the top. Accuracies are 0 … 1 and held out by folds of train."""

    train_images: int
    probed_images: int  # of them, N
    classes: dict[str, int]  # train pictures by class
    smallest_class: str
    imbalance: float  # largest class over smallest
    duplicates: int  # train pictures that are a copy of another
    majority_accuracy: float
    depth: DepthProfile
    tap_sets: dict[str, TapSetProbe]
    learning_curve: LearningCurve | None
    scores: dict[str, float]  # knn: share of pictures whose nearest others name their class, by the pooled features
    source_names: SourceNames | None
    shift: Shift | None
    pictures: PictureSigns
    turned: tuple[Turned, ...]
    input_px: int
    notes: tuple[str, ...]  # what could not be measured, and why

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def measured(self, stages: tuple[str, ...], *, val_images: int) -> Measured:
        """What the table of advice looks at; ``stages``: the cuts between pixels and pooled."""
        return Measured(
            train_images=self.train_images,
            val_images=val_images,
            classes=len(self.classes),
            smallest_class=self.classes[self.smallest_class],
            imbalance=self.imbalance,
            early_share=self.depth.early_share,
            shift=self.shift.mean if self.shift else None,
            best_stage=self.depth.best,
            first_as_good=self.depth.first_as_good,
            tap_set_information={name: probe.information_bits for name, probe in self.tap_sets.items()},
            tap_set_accuracy={name: probe.accuracy for name, probe in self.tap_sets.items()},
            majority_accuracy=self.majority_accuracy,
            turned_change={turn.view: turn.change for turn in self.turned},
            median_side_px=self.pictures.shorter_side_px[1],
            input_px=self.input_px,
            stages=stages,
        )


def gather(seen: Seen, rows_of: RowsOf, *, seed: int, on_progress: Callable[[str, int, int], None]) -> Evidence:
    """Measure everything; some seconds for a thousand pictures."""
    counts, y, k = seen.counts, seen.labels, len(seen.class_names)

    def read(*taps: str) -> Array:
        return columns(seen.rows, seen.layout, taps)

    on_progress("probing", 0, STEPS)
    names = tuple(tap for tap, _ in seen.layout)
    depth = depth_profile(read, [tap for tap in names if tap != "max"], y, n_classes=k, seed=seed, units=seen.units)
    on_progress("probing", 1, STEPS)
    sets = tap_sets(names)
    probes = {name: cross_validated(read(*taps), y, n_classes=k, seed=seed, units=seen.units) for name, taps in sets.items()}
    best = min(probes, key=lambda name: probes[name].losses.mean())
    on_progress("probing", 2, STEPS)
    curve = learning_curve(
        read(*sets[best]),
        y,
        n_classes=k,
        penalty=probes[best].penalty,
        seed=seed,
        there_are=int(counts.sum()),
        units=seen.units,
    )
    on_progress("probing", 3, STEPS)
    pooled = read("pooled")
    signs = picture_signs(
        [picture.path for picture in seen.pictures],
        size_px=seen.preprocessing.size_px,
        resize=seen.preprocessing.resize,
        seed=seed,
    )
    assert signs is not None  # they could be read when their rows were computed
    turns = _turned(seen, probes[best], sets[best], rows_of, seed)
    evidence = Evidence(
        train_images=int(counts.sum()),
        probed_images=len(y),
        classes={name: int(count) for name, count in zip(seen.class_names, counts, strict=True)},
        smallest_class=seen.class_names[int(counts.argmin())],
        imbalance=float(counts.max() / counts.min()),
        duplicates=seen.duplicates,
        majority_accuracy=float(counts.max() / counts.sum()),
        depth=depth,
        tap_sets={name: _probe(probe, y) for name, probe in probes.items()},
        learning_curve=curve,
        scores={"knn": knn_accuracy(pooled, y, units=seen.units)},
        source_names=_source_names(seen, pooled, y, seed),
        shift=_shift(seen, seed) if seen.pretrained else None,
        pictures=signs,
        turned=turns,
        input_px=seen.preprocessing.size_px,
        notes=_notes(seen, counts, curve),
    )
    on_progress("probing", STEPS, STEPS)
    return evidence


def _probe(held_out: HeldOut, y: Labels) -> TapSetProbe:
    return TapSetProbe(
        accuracy=held_out.accuracy,
        accuracy_ci95=held_out.accuracy_ci95,
        information_bits=max(0.0, float((class_entropy(y) - held_out.losses.mean()) / np.log(2))),
        penalty=held_out.penalty,
    )


def _turned(seen: Seen, probe: HeldOut, taps: tuple[str, ...], rows_of: RowsOf, seed: int) -> tuple[Turned, ...]:
    places = drawn(seen.pictures, seen.labels, TURNED_PICTURES, seed)
    pictures = [seen.pictures[i] for i in places]
    y = seen.labels[places]
    return tuple(turned(view, probe, places, y, columns(rows_of(pictures, view), seen.layout, taps)) for view in TURNS)


def _shift(seen: Seen, seed: int) -> Shift | None:
    pixels = []
    for i in np.random.default_rng(seed).permutation(len(seen.pictures))[:SAMPLE]:
        try:
            pixels += render_views(seen.pictures[i], ("plain",), seen.preprocessing)
        except PictureError:  # it could be read a moment ago, when its row was computed
            continue
    return shift(seen.backbone, np.stack(pixels)) if pixels else None


def _source_names(seen: Seen, pooled: Array, y: Labels, seed: int) -> SourceNames | None:
    classifier = seen.backbone.classifier.module
    names = imagenet_class_names()
    if not seen.pretrained or classifier.out_features != len(names):
        return None
    return source_names(
        pooled,
        y,
        weight=classifier.weight.detach().cpu().numpy(),
        bias=classifier.bias.detach().cpu().numpy(),
        source_class_names=names,
        class_names=seen.class_names,
        seed=seed,
        units=seen.units,
    )


def _notes(seen: Seen, counts: NDArray[np.int64], curve: LearningCurve | None) -> tuple[str, ...]:
    notes = []
    single = [name for name, count in zip(seen.class_names, counts, strict=True) if count == 1]
    if single:
        notes.append(
            f"{', '.join(single)}: one train picture each, so they cannot be learnt while held out; intervals are widened by their share"
        )
    few = [name for name, count in zip(seen.class_names, counts, strict=True) if 1 < count < 5]
    if few:
        notes.append(f"{', '.join(few)}: fewer than 5 train pictures, fewer than there are folds; figures for them are rough")
    if curve is None:
        notes.append("too few pictures per class for a learning curve")
    return tuple(notes)
