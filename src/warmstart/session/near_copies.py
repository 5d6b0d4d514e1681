"""Near copies on one side of the split: found among the rows of a run, they become groups of its listing.

N pictures, D features.
"""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from warmstart import machine
from warmstart.data.decoding import DECODER_ID
from warmstart.extraction.features import Extraction, columns
from warmstart.inspection.image_stats import ImageStats, image_stats, pixels_of
from warmstart.inspection.near_copies import CROWD, NEAREST_ALIKE, OTHERS, OTHERS_ALIKE, find_near_copies, groups
from warmstart.inspection.neighbours import nearest, standardised
from warmstart.inspection.registration import LARGEST_RESIDUAL, LEAST_DETAIL, SIDE_PX, WORTH_A_CLOSER_LOOK
from warmstart.records import Listing
from warmstart.session.dataset import Dataset
from warmstart.session.session import Session
from warmstart.store.memo import remembered
from warmstart.strategy.taps import tap_sets

# Unasked, only pictures are compared that are very close: that finds copies saved anew or resized (at least 0.86 of those that
# were planted among photographs) and most cropped ones, and decodes hardly any picture of data without copies.
UNASKED_ALIKE = 0.85
UNASKED_MOST = 20_000  # pictures; the search grows with their square


@dataclass(frozen=True, kw_only=True)
class Together:
    """A listing whose near copies are groups."""

    listing: Listing
    pictures: int  # in groups of near copies


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Groups of near copies, by the digests of their pictures."""

    groups: tuple[tuple[str, ...], ...]


def near_copies_together(listing: Listing, dataset: Dataset, extraction: Extraction, session: Session) -> Together | None:
    """None where nothing changes. Unasked, only where the data brings neither splits nor groups, and some copies would be divided."""
    wanted, watcher = session.settings.group_duplicates, session.watcher
    unasked = wanted is None
    if wanted is False or (unasked and _brings_its_own(listing)) or (unasked and len(dataset.pictures) > UNASKED_MOST):
        return None
    first: dict[bytes, int] = {}
    for i, picture in enumerate(dataset.pictures):
        if i not in extraction.broken:
            first.setdefault(picture.digest, i)
    unique = np.array(sorted(first.values()), np.int64)
    if len(unique) < 3:
        return None
    taps = tap_sets([name for name, _ in extraction.layout]).get("middle") or [name for name, _ in extraction.layout]
    sources = [picture.source for picture in dataset.pictures]

    out_of_reach: list[int] = []

    def look(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        looks: list[ImageStats | None] = image_stats([sources[unique[i]] for i in positions], on_progress=watcher.progress)
        out_of_reach.extend(int(i) for i, seen in zip(positions, looks, strict=True) if seen is None)
        return np.stack([pixels_of(seen) for seen in looks])

    features = columns(extraction.rows[unique], extraction.layout, taps)
    alike = UNASKED_ALIKE if unasked else NEAREST_ALIKE

    def find() -> _Found:
        with machine.calm_blas():
            neighbours = nearest(standardised(features), 1 + OTHERS)
            found = find_near_copies(neighbours, look, alike=alike)
        digests = [dataset.pictures[i].digest.hex() for i in unique]
        return _Found(groups=tuple(tuple(digests[i] for i in group) for group in found.groups))

    pictures = [dataset.pictures[i].digest for i in unique]
    question = {
        "features": hashlib.sha256(np.ascontiguousarray(features).data).hexdigest(),
        "pictures": hashlib.sha256(b"".join(pictures)).hexdigest(),
        "decoder": DECODER_ID,  # of the pixels that are laid over one another
        "alike": alike,
        "others": [OTHERS, OTHERS_ALIKE],
        "crowd": CROWD,
        "side_px": SIDE_PX,
        "correlation": WORTH_A_CLOSER_LOOK,
        "residual": LARGEST_RESIDUAL,
        "detail": LEAST_DETAIL,
        "versions": machine.versions("numpy", "scipy", "pillow"),
    }
    found = remembered(session.workspace.evidence, question, _Found, find, lasting=lambda: not out_of_reach)
    copies = [[first[bytes.fromhex(digest)] for digest in group] for group in found.groups]
    divided = [group for group in copies if len({dataset.splits[i] for i in group}) > 1]
    if not copies or (unasked and not divided):
        return None
    watcher.say(
        f"{sum(map(len, divided)):,} near copies of one another would fall into different splits; each group is kept on one side "
        "(--no-group-duplicates divides them)"
        if unasked
        else f"{sum(map(len, copies)):,} pictures are near copies of one another; each of the {len(copies):,} groups is kept on one side"
    )
    return Together(listing=_grouped(listing, copies, dataset), pictures=sum(map(len, copies)))


def _brings_its_own(listing: Listing) -> bool:
    return any(example.split is not None or example.group is not None for example in listing.examples)


def _grouped(listing: Listing, copies: Sequence[Sequence[int]], dataset: Dataset) -> Listing:
    """Groups named after the smallest digest in them, so that a split does not depend on order; the user's own groups grow together."""
    position = {example.path: i for i, example in enumerate(listing.examples)}
    joined = [[position[dataset.pictures[i].path] for i in group] for group in copies]
    own: dict[str, list[int]] = {}
    for i, example in enumerate(listing.examples):
        if example.group is not None:
            own.setdefault(example.group, []).append(i)
    chains = [pair for members in (*joined, *own.values()) for pair in itertools.pairwise(members)]
    digests = {picture.path: picture.digest.hex() for picture in dataset.pictures}
    examples = list(listing.examples)
    near = {i for members in joined for i in members}
    for group in groups(chains, len(examples)):
        if near.isdisjoint(group):
            continue
        names = [digests[examples[i].path] for i in group if examples[i].path in digests]
        for i in group:
            examples[i] = replace(examples[i], group=f"near copies {min(names)}")
    return replace(listing, examples=tuple(examples))
