"""What a run can say of its data from the rows that it holds in memory: doctor.json, for its report.

    rows of the frozen backbone → neighbours → copies, outliers → a probe by folds → labels

This is a shorter examination than `doctor`'s: no picture is decoded but candidates for near copies, and labels are judged by one
probe, on the middle taps. It is made after the model is trained, tested and written, and nothing but the report reads it. So the
contract that test labels are read once, by what writes the record, stands where it matters: labels of test that are looked at
here, as doubtful as any, can no longer change a choice, a weight or a score of this run.

N pictures, D features, K classes.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmstart import machine
from warmstart.atomic import write_json
from warmstart.data.views import needed_shorter_side_px
from warmstart.extraction.features import columns
from warmstart.inspection.findings import Finding
from warmstart.inspection.image_stats import image_stats, pixels_of
from warmstart.inspection.near_copies import find_near_copies
from warmstart.inspection.neighbours import directions, nearest, standardised
from warmstart.inspection.outliers import K
from warmstart.records import Example
from warmstart.session.near_copies import UNASKED_ALIKE
from warmstart.session.progress import Watcher
from warmstart.session.run_state import Probe
from warmstart.strategy.taps import tap_sets
from warmstart.tasks.classify.doctor import findings
from warmstart.tasks.classify.doctor.examination import copies_of, judged_labels
from warmstart.tasks.classify.doctor.findings import Seen
from warmstart.tasks.classify.report.run_files import FINDINGS

# Multiplications, so that the same run says the same on every machine. 3,781 pictures in 10 classes take 4e10 and 6e7 of them, together
# 2.2 s on two cores; each is twice that at most, and a run of so many pictures takes half a minute.
SEARCH_MOST = 8e10  # N² D
LABELS_MOST = 1.2e8  # N D K


def examine(seen: Probe, folder: Path, watcher: Watcher) -> None:
    """Write doctor.json into a run folder."""
    begin = time.perf_counter()
    watcher.say("looking for what is wrong with the data")
    picture_set = _seen(seen)
    with machine.calm_blas():
        found, notes = _found(picture_set, seen, watcher)
    document = {
        "findings": [_entry(finding) for finding in found],
        "notes": notes,
        "seconds": time.perf_counter() - begin,
    }
    write_json(folder / FINDINGS, document)


def _found(seen: Seen, probe: Probe, watcher: Watcher) -> tuple[list[Finding], list[str]]:
    """In the order in which they are worth settling; and what was not looked for, and why."""
    found = [*findings.exact_copies(seen)]
    notes = ["odd shapes, colours and sizes were not looked for: that takes a look at every picture"]
    copy_of = seen.original
    n = len(seen.unique)
    if probe.plan.weights == "random":
        notes.insert(
            0, "only exact copies and the sizes of classes were looked at: a network with random weights knows no likeness"
        )
        return [*found, *findings.odd_classes(seen)], notes
    widths = {name: seen.features[name](seen.unique[:1]).shape[1] for name in ("middle", "pooled")}
    strange: list[Finding] = []
    if n < 3:
        pass
    elif n * n * sum(widths.values()) > SEARCH_MOST:
        notes.insert(0, f"near copies and outliers were not looked for: among {n:,} pictures that takes longer")
    else:
        textures = nearest(standardised(seen.features["middle"](seen.unique)), K)
        content = nearest(directions(standardised(seen.features["pooled"](seen.unique))), K)
        looks = dict[int, Any]()

        def look(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
            sources = [seen.examples[seen.unique[i]].source for i in positions]
            looks.update(zip(positions.tolist(), image_stats(sources, on_progress=watcher.progress), strict=True))
            return np.stack([pixels_of(looks[i]) for i in positions.tolist()])

        near = find_near_copies(textures, look, alike=UNASKED_ALIKE)
        found += findings.near_copies(seen, near, [looks.get(i) for i in range(n)])
        strange += findings.outliers(seen, textures, content)
        copy_of = copies_of(seen, near)
    if len(seen.labels) * widths["middle"] * len(seen.class_names) > LABELS_MOST:
        notes.insert(0, f"labels were not judged: {n:,} pictures in {len(seen.class_names)} classes take longer")
    else:
        judged, why_not = judged_labels(seen, copy_of, probe.plan.seed, sets=("middle",))
        notes += [why_not] if why_not else []
        found += findings.doubtful_labels(seen, judged) if judged else ()
    return [*found, *strange, *findings.odd_classes(seen)], notes


def _seen(probe: Probe) -> Seen:
    """The pictures of a run as the doctor sees them; where the split is the run's own, too."""
    dataset, layout = probe.dataset, probe.layout
    sets = tap_sets([name for name, _ in layout])
    everything = tuple(name for name, _ in layout)

    def reader(taps: tuple[str, ...]) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
        return lambda positions: columns(probe.rows[positions], layout, taps)

    first: dict[bytes, int] = {}
    preprocessing = probe.recipe.preprocessing
    return Seen(
        examples=tuple(
            Example(path=picture.path, class_name=dataset.targets.class_names[label], split=split, content=picture.content)
            for picture, label, split in zip(dataset.pictures, dataset.targets.labels, dataset.splits, strict=True)
        ),
        class_names=dataset.targets.class_names,
        labels=dataset.targets.labels,
        original=np.array([first.setdefault(picture.digest, i) for i, picture in enumerate(dataset.pictures)], np.int64),
        features={name: reader(sets.get(name, everything)) for name in ("all", "middle", "pooled")},
        needed_px=needed_shorter_side_px(preprocessing.size_px, preprocessing.resize),
    )


def _entry(finding: Finding) -> dict[str, Any]:
    """For the report, whose picture table tells the class: what was found, and what to do."""
    return {
        "kind": finding.kind,
        "message": finding.detail,
        "suggestion": finding.suggestion,
        "paths": list(finding.paths),
        "score": finding.score,
    }
