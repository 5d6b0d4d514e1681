"""Which of several backbones to take: measured on the user's train pictures, with price and pedigree beside it.

    names → weights here? → rows of ever more train pictures → probes (successive halving) → places, speeds

The static baseline, "take the one that is best on ImageNet, or the largest", stands beside: it was found hard to beat (arXiv 2510.06448).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart import machine
from warmstart.backbones.catalog import find
from warmstart.backbones.chain import Backbone
from warmstart.data.drawing import ranking
from warmstart.errors import BackboneError, UsageError
from warmstart.extraction.features import Extraction, columns
from warmstart.extraction.recipe import Recipe
from warmstart.heads.standardising import Array
from warmstart.plan import Plan
from warmstart.records import Picture
from warmstart.session.dataset import Dataset
from warmstart.session.probe import loaded, preprocessing_of, prove
from warmstart.session.session import Session
from warmstart.strategy.taps import tap_sets
from warmstart.tasks.classify.evidence.backbone_ranking import FIRST_PICTURES, MOST_PICTURES, Place, compete
from warmstart.tasks.classify.evidence.knn_accuracy import knn_accuracy

RANDOM = "@random"  # 'lite0@random': the same network with random weights, as a check that the ranking sees anything


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One backbone: its place, its price, and its neighbours among the pictures of the first round."""

    name: str
    place: Place
    size_px: int
    images_per_second: float | None  # through the engine here, decoding included; None where all rows came from the store
    params_millions: float
    licence: str | None
    scores: dict[str, float]  # knn: share of pictures whose nearest others name their class, by the pooled features


@dataclass(frozen=True, kw_only=True)
class Competition:
    """Candidates, best first, and those that could not take part."""

    places: tuple[Candidate, ...]
    absent: dict[str, str]  # name → why: its weights are not on this machine
    by_size: tuple[str, ...]  # the static baseline: most parameters first
    pictures: int
    seconds: float

    @property
    def recommended(self) -> str:
        """Of those that the best is not ahead of, the one with the fewest parameters; random weights are a check and never taken."""
        taught = [candidate for candidate in self.places if RANDOM not in candidate.name]
        tied = [candidate for candidate in taught if candidate.place.tied_with_best]
        return min(tied, key=lambda candidate: candidate.params_millions).name if tied else taught[0].name

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"recommended": self.recommended}


@dataclass(frozen=True, kw_only=True)
class _Entry:
    backbone: Backbone
    pretrained: bool
    recipe: Recipe


def check_names(names: Sequence[str]) -> None:
    """Raises UnknownNameError, or UsageError where none of them could be recommended."""
    for name in names:
        find(name.removesuffix(RANDOM))
    if names and all(name.endswith(RANDOM) for name in names):
        raise UsageError(f"{', '.join(names)}: random weights are there as a check; name a pretrained backbone beside them")


def competition(
    names: Sequence[str],
    dataset: Dataset,
    plan: Plan,
    session: Session,
    *,
    size_of: Callable[[int], int],
) -> Competition:
    """Rank ``names`` on train pictures of ``dataset``. ``size_of``: a backbone's own input size → the size that suits these pictures.

    Raises BackboneError when none of those with pretrained weights can be loaded.
    """
    begin = time.perf_counter()
    entries, absent = _entries(names, dataset, plan, session, size_of)
    if not any(entry.pretrained for entry in entries.values()):
        raise BackboneError(
            f"none of the backbones {', '.join(names)} has weights on this machine: " + "; ".join(absent.values())
        )
    train = dataset.positions("train")
    order = train[np.argsort(ranking([dataset.pictures[i] for i in train], plan.seed))]
    speeds: dict[str, list[tuple[int, float]]] = {name: [] for name in entries}
    seen: dict[str, tuple[NDArray[np.int64], np.ndarray]] = {}

    def rows_of(name: str, positions: NDArray[np.int64]) -> Extraction:
        extraction = session.reader(entries[name].recipe).rows([dataset.pictures[i] for i in positions])
        if extraction.misses:
            speeds[name].append((extraction.misses, extraction.seconds))
        return extraction

    def features(name: str, positions: NDArray[np.int64]) -> Array:
        session.watcher.say(f"{name}: {len(positions)} pictures")
        extraction = rows_of(name, positions)
        seen.setdefault(name, (positions, extraction.rows))
        return columns(extraction.rows, extraction.layout, tap_sets(entries[name].backbone.tap_names)["all"])

    # What cannot be decoded is found with the backbone that costs least.
    order = order[:MOST_PICTURES]
    cheapest = min(entries, key=lambda name: entries[name].backbone.spec.params_millions)
    order = np.delete(order, list(rows_of(cheapest, order).broken))
    with machine.calm_blas():
        places = compete(
            list(entries),
            features,
            dataset.targets.labels,
            order,
            n_classes=len(dataset.targets.class_names),
            seed=plan.seed,
            units=dataset.units,
        )
        candidates = tuple(
            _candidate(place, entries[place.name], speeds[place.name], seen[place.name], dataset) for place in places
        )
    return Competition(
        places=candidates,
        absent=absent,
        by_size=tuple(sorted(entries, key=lambda name: -entries[name].backbone.spec.params_millions)),
        pictures=max(place.pictures for place in places),
        seconds=time.perf_counter() - begin,
    )


def _entries(
    names: Sequence[str],
    dataset: Dataset,
    plan: Plan,
    session: Session,
    size_of: Callable[[int], int],
) -> tuple[dict[str, _Entry], dict[str, str]]:
    entries: dict[str, _Entry] = {}
    absent: dict[str, str] = {}
    proof: list[Picture] = [dataset.pictures[i] for i in dataset.positions("train")[:FIRST_PICTURES]]
    for given in dict.fromkeys(names):
        bare, at, _ = given.partition(RANDOM)
        spec = find(bare)
        name = spec.name + at
        try:
            backbone = loaded(replace(plan, backbone=spec.name, weights="random" if at else "default"), session)
        except BackboneError as reason:
            absent[name] = str(reason)
            continue
        preprocessing = preprocessing_of(
            replace(plan, image_size_px=plan.image_size_px or size_of(spec.input_size_px), views="none"), dataset.values
        )
        recipe, _ = prove(proof, backbone, preprocessing, plan, session)
        entries[name] = _Entry(backbone=backbone, pretrained=not at, recipe=recipe)
    return entries, absent


def _candidate(
    place: Place,
    entry: _Entry,
    speeds: Sequence[tuple[int, float]],
    seen: tuple[NDArray[np.int64], np.ndarray],
    dataset: Dataset,
) -> Candidate:
    positions, rows = seen
    spec = entry.backbone.spec
    pooled = columns(rows, entry.recipe.prefix.layout, ["pooled"])
    images, seconds = sum(n for n, _ in speeds), sum(s for _, s in speeds)
    return Candidate(
        name=place.name,
        place=place,
        size_px=entry.recipe.preprocessing.size_px,
        images_per_second=images / seconds if images else None,
        params_millions=spec.params_millions,
        licence=spec.licence,
        scores={"knn": knn_accuracy(pooled, dataset.targets.labels[positions], units=dataset.units[positions])},
    )
