"""The picture of the evidence: what a linear probe knows of the class at each stage, and how far the pictures are from the source's."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from warmstart.report.canvas import INK, PALE, new_figure, save, style
from warmstart.report.printable import printable
from warmstart.tasks.classify.evidence.depth import StageProbe
from warmstart.tasks.classify.report.curves import COLOURS, DASHES, MARKER, MARKERS

TWO_LINES = 0.04  # of the height: a name and a distance below each place


def draw_depth_profile(
    stages: Sequence[StageProbe], *, majority_accuracy: float, distances: Mapping[str, float], title: str, folder: Path
) -> tuple[Path, Path]:
    """Write folder/depth-profile.png and .svg, 1200 × 700 px.

    ``distances``: stage → distance of the pictures' statistics from the source's (0 the same, about 1 a blank picture); written
    below the names of stages that have one. Raises ValueError for no stages.
    """
    if not stages:
        raise ValueError("no stages to draw")
    with style():
        figure, axes = new_figure()
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((left, bottom + TWO_LINES, width, height - TWO_LINES))
        axes.set_title("\n".join(textwrap.wrap(printable(title), 90)))
        places = range(len(stages))
        low, high = ([100 * stage.accuracy_ci95[end] for stage in stages] for end in (0, 1))
        axes.fill_between(places, low, high, color=COLOURS[1], alpha=0.15, linewidth=0)
        for number, (name, values) in enumerate(
            {
                "linear probe (band: 95 % interval)": [100 * stage.accuracy for stage in stages],
                "nearest neighbours": [100 * stage.knn_accuracy for stage in stages],
            }.items(),
            1,
        ):
            axes.plot(
                places, values, color=COLOURS[number], linestyle=DASHES[number - 1], marker=MARKERS[number], linewidth=2.2,
                label=name, **MARKER,
            )  # fmt: skip
        axes.axhline(100 * majority_accuracy, color=PALE, linewidth=1.2)
        axes.annotate(
            f"majority class {majority_accuracy:.1%}", (1, 100 * majority_accuracy), (0, 4), ("axes fraction", "data"),
            "offset points", ha="right", color=PALE,
        )  # fmt: skip
        axes.set_xticks(
            list(places),
            [stage.tap + (f"\n{distances[stage.tap]:.2f}" if stage.tap in distances else "") for stage in stages],
        )
        axes.set_xlabel(
            "stage, from the pixels to the classifier" + ("; below it the distance from the source" if distances else "")
        )
        axes.set_ylabel("accuracy on held-out folds of train, %")
        axes.legend(loc="best", frameon=False, labelcolor=INK)
        return save(figure, folder, "depth-profile")
