"""What the doctor saw → findings, in words. One function a kind.

N pictures, U different ones, K classes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from warmstart.inspection import anomalous_attributes
from warmstart.inspection.findings import Finding, Kind
from warmstart.inspection.image_stats import ImageStats
from warmstart.inspection.near_copies import NearCopies
from warmstart.inspection.neighbours import Neighbours
from warmstart.inspection.outliers import STRANGE, K, strangeness
from warmstart.records import Example, Problem
from warmstart.tasks.classify.doctor.label_errors import FEWEST, LabelErrors

DOUBTFUL = 0.10  # probability of its own label below which a picture is worth a look
BROKEN = ("missing", "permission", "empty", "not-a-picture", "truncated", "too-large", "unsupported", "unreadable-name")
HELD_OUT_FIRST = ("test", "val", "train", None)  # of copies, which one stays: a test set should not change by mending train


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """The readable pictures of a data set and what the backbone says of them. N pictures, U different ones."""

    examples: tuple[Example, ...]  # N
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]  # (N,)
    original: NDArray[np.int64]  # (N,): where the first picture with the same bytes stands
    features: Mapping[str, Callable[[NDArray[np.int64]], NDArray[np.float32]]]  # tap set → reader of rows
    needed_px: int

    @property
    def unique(self) -> NDArray[np.int64]:
        """(U,): the first of each set of equal pictures."""
        return np.flatnonzero(self.original == np.arange(len(self.original)))


def broken(problems: Sequence[Problem]) -> Iterator[Finding]:
    """Files that no run can use."""
    for problem in problems:
        if problem.kind not in BROKEN:
            continue
        suggestion = "mend it or leave it out"
        yield Finding(kind="broken", paths=(problem.path,), detail=problem.message, suggestion=suggestion, drop=(problem.path,))


def exact_copies(seen: Seen) -> Iterator[Finding]:
    """Groups of equal bytes."""
    for group in _by_key(seen.original.tolist()):
        yield _group_of_copies("copy", [seen.examples[i] for i in group], "the same bytes", score=None, certain=True)


def near_copies(seen: Seen, near: NearCopies, looks: Sequence[ImageStats | None]) -> Iterator[Finding]:
    """Groups of the same photograph, the largest picture of a split first."""
    for group in near.groups:
        residual = max(values[0] for pair, values in near.pairs.items() if pair[0] in group)
        largest_first = sorted(group, key=lambda i: -_area(looks[i]))
        sizes = " and ".join(f"{g.width} × {g.height}" for i in largest_first if (g := looks[i]) is not None)
        detail = f"the same photograph, {sizes} px; laid over one another, colours differ by {residual:.1%}"
        examples = [seen.examples[seen.unique[i]] for i in largest_first]
        yield _group_of_copies("near-copy", examples, detail, score=residual, certain=False)


def _group_of_copies(kind: Kind, members: Sequence[Example], detail: str, *, score: float | None, certain: bool) -> Finding:
    """The picture that is to stay stands first."""
    ordered = sorted(members, key=lambda e: HELD_OUT_FIRST.index(e.split))
    splits = sorted({e.split for e in ordered if e.split}, key=HELD_OUT_FIRST.index)
    classes = sorted({e.class_name for e in ordered})
    if len(splits) > 1:
        detail += f"; in {' and '.join(splits)}"
    paths = tuple(e.path for e in ordered)
    if len(classes) > 1:
        detail += f"; under {' and '.join(classes)}"
        suggestion = "keep the one with the right class, drop the others"
    else:
        suggestion = f"drop all but {Path(paths[0]).name}"
    return Finding(
        kind=kind,
        paths=paths,
        detail=detail,
        suggestion=suggestion,
        score=score,
        across=(*(("splits",) if len(splits) > 1 else ()), *(("classes",) if len(classes) > 1 else ())),
        drop=paths[1:] if certain and len(classes) == 1 else (),
    )


def doubtful_labels(seen: Seen, judged: LabelErrors) -> Iterator[Finding]:
    """The least believed first; of classes that are large enough to be judged."""
    counts = np.bincount(seen.labels)
    for i in judged.ranked:
        if (judged.given[i] >= DOUBTFUL and not judged.suspect[i]) or counts[seen.labels[i]] < FEWEST:
            continue
        likely = seen.class_names[judged.likely[i]]
        yield Finding(
            kind="label",
            paths=(seen.examples[i].path,),
            detail=f"called {seen.class_names[seen.labels[i]]} (probability {judged.given[i]:.3f}), looks like {likely} "
            f"({judged.probabilities[i, judged.likely[i]]:.2f})",
            suggestion=f"look; relabel as {likely} if that is what it is",
            score=float(judged.given[i]),
            new_label=likely,
        )


def outliers(seen: Seen, textures: Neighbours, content: Neighbours) -> Iterator[Finding]:
    """The strangest first."""
    if len(seen.unique) <= 2 * K:
        return
    strange = strangeness([textures.distance[:, -1], content.distance[:, -1]])
    for i in np.argsort(-strange, kind="stable"):
        if strange[i] < STRANGE:
            return
        yield Finding(
            kind="outlier",
            paths=(seen.examples[seen.unique[i]].path,),
            detail=f"{strange[i]:.1f} robust deviations farther from its neighbours than pictures usually are",
            suggestion="drop it if it does not belong here",
            score=float(strange[i]),
        )


def odd_pictures(seen: Seen, looks: Sequence[ImageStats | None]) -> Iterator[Finding]:
    """Grey among colour and the reverse, odd shapes, very small ones."""
    there = [(seen.examples[seen.unique[i]].path, glance) for i, glance in enumerate(looks) if glance is not None]
    if not there:
        return
    chroma = np.array([glance.chroma for _, glance in there])
    width, height = np.array([glance.width for _, glance in there]), np.array([glance.height for _, glance in there])
    grey, colour = anomalous_attributes.odd_colours(chroma)
    found: dict[Kind, dict[int, str]] = {
        "grey": {int(i): f"chroma {chroma[i]:.1f} of 255, the median is {np.median(chroma):.0f}" for i in grey},
        "colour": {int(i): f"chroma {chroma[i]:.1f} of 255, the median is {np.median(chroma):.1f}" for i in colour},
        "shape": anomalous_attributes.odd_shapes(width, height),
        "small": anomalous_attributes.very_small(width, height, needed_px=seen.needed_px),
    }
    for kind, positions in found.items():
        for i, detail in positions.items():
            yield Finding(kind=kind, paths=(there[i][0],), detail=detail, suggestion="keep it if new pictures may be like this")


def odd_classes(seen: Seen) -> Iterator[Finding]:
    """About the sizes of classes."""
    counts = {name: int(np.sum(seen.labels == i)) for i, name in enumerate(seen.class_names)}
    for detail, suggestion in anomalous_attributes.odd_classes(counts):
        yield Finding(kind="class", paths=(), detail=detail, suggestion=suggestion)


def _by_key(keys: Sequence[int]) -> list[list[int]]:
    """Positions with the same key, where there are several."""
    found: dict[int, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return [positions for positions in found.values() if len(positions) > 1]


def _area(glance: ImageStats | None) -> int:
    return 0 if glance is None else glance.width * glance.height
