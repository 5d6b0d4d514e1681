"""The picture of `warmstart compare`: accuracy on val over wall-clock time, a line a plan, named at its end.

Lines differ in colour, dashes and marker, and the marker stands beside the name, so that a black-and-white printer loses
nothing. Dots lead from where a plan ended to its name.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmstart.evaluation.learning_curves import LearningCurve
from warmstart.report.canvas import HEIGHT_PX, PALE, new_figure, save, style
from warmstart.report.drawing import Axes, Figure, FuncFormatter, Line2D, LineStyleType, MaxNLocator
from warmstart.report.labels import spread
from warmstart.report.printable import printable

# M. Okabe, K. Ito, "Color Universal Design", 2008, without yellow, which vanishes on white, but with grey.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8A8A")
DASHES = ("-", (0, (7, 2)), (0, (7, 2, 1.5, 2)), (0, (3.5, 1.5)), (0, (7, 2, 1.5, 2, 1.5, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h", "<")  # 8, 5 and 9 have no common factor: 360 lines before two are alike

MARKER: dict[str, Any] = {"markersize": 8, "markeredgecolor": "white"}
DOTS = (0, (1, 2.5))

LINE_PX = 25.0  # height of a line of a label
LETTERS = 24  # a longer name is broken
LEADER_PX = 50


def draw_curves(
    curves: Sequence[LearningCurve], *, majority_accuracy: float, budget_s: float | None, title: str, folder: Path
) -> tuple[Path, Path]:
    """Write folder/curves.png and folder/curves.svg, 1200 × 700 px, higher where there are very many plans.

    ``majority_accuracy`` (0 … 1) is that of always naming the most frequent class, ``budget_s`` the time each plan had. Time
    is not drawn logarithmically, although plans may end far apart: a slope should look like one, and the ends of plans that
    share a budget would be squeezed. Raises ValueError for no curves.
    """
    if not curves:
        raise ValueError("no curves to draw")
    with style():
        labels = [_label(curve, number) for number, curve in enumerate(curves)]
        majority = _Label(text=f"majority class  {majority_accuracy:.1%}", accuracy=majority_accuracy, colour=PALE, marker="")
        column_px = sum(label.height_px for label in [*labels, majority])
        figure, axes = new_figure(height_px=max(HEIGHT_PX, round(column_px) + 200))
        axes.set_title("\n".join(textwrap.wrap(printable(title), 90)))
        _scale_time(axes, curves, budget_s)
        _scale_accuracy(axes, curves, majority_accuracy)
        axes.axhline(100 * majority_accuracy, color=PALE, linewidth=1.2)
        if budget_s is not None:
            axes.axvline(budget_s, color=PALE, linewidth=0.9)
            axes.annotate(
                f"budget {budget_s:,g} s", (budget_s, 1), (0, 4), ("data", "axes fraction"), "offset points", ha="right"
            )
        for number, (curve, label) in enumerate(zip(curves, labels, strict=True)):
            _draw_curve(axes, curve, number, label)
        _draw_labels(figure, axes, [*labels, majority])
        return save(figure, folder, "curves")


@dataclass(frozen=True, kw_only=True)
class _Label:
    """What stands in the right margin: a name, behind that plan's marker, at the height of what it names."""

    text: str
    accuracy: float  # at the end of the line
    colour: str
    marker: str

    @property
    def height_px(self) -> float:
        return LINE_PX * (self.text.count("\n") + 1)


def _label(curve: LearningCurve, number: int) -> _Label:
    accuracies = [point.val_accuracy for point in curve.points]
    best = f"{'best ' if len(accuracies) > 1 else ''}{max(accuracies):.1%}"
    name = "\n".join(textwrap.wrap(printable(curve.name), LETTERS))
    return _Label(
        text=f"{name}  {best}",
        accuracy=accuracies[-1],
        colour=COLOURS[number % len(COLOURS)],
        marker=MARKERS[number % len(MARKERS)],
    )


def _scale_time(axes: Axes, curves: Sequence[LearningCurve], budget_s: float | None) -> None:
    last = max(*(curve.points[-1].seconds for curve in curves), budget_s or 0.0) or 1.0
    axes.set_xlim(-0.01 * last, 1.03 * last)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:,g}"))
    axes.set_xlabel("wall-clock time since each plan began (seconds)")


def _scale_accuracy(axes: Axes, curves: Sequence[LearningCurve], majority_accuracy: float) -> None:
    shown = [majority_accuracy, *(point.val_accuracy for curve in curves for point in curve.points)]
    low, high = 100 * min(shown), 100 * max(shown)
    room = max(0.05 * (high - low), 2.0)
    axes.set_ylim(max(low - room, -0.5), min(high + room, 100.5))  # half a point keeps the markers at 0 and 100 whole
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=(1, 2, 5, 10), integer=True))
    axes.set_ylabel("accuracy on val (percent)")


def _draw_curve(axes: Axes, curve: LearningCurve, number: int, label: _Label) -> None:
    seconds = [point.seconds for point in curve.points]
    percents = [100 * point.val_accuracy for point in curve.points]
    axes.plot(
        seconds,
        percents,
        color=label.colour,
        linestyle=DASHES[number % len(DASHES)],
        linewidth=2,
        marker=label.marker,
        **MARKER,
        markevery=0.05 if len(seconds) > 1 else None,  # at equal distances along the line, or sixty epochs would be one smear
    )
    axes.plot([seconds[-1], axes.get_xlim()[1]], [percents[-1]] * 2, color=label.colour, linestyle=DOTS, linewidth=1.2)


def _draw_labels(figure: Figure, axes: Axes, labels: Sequence[_Label]) -> None:
    """Beside the axes, which give way to the widest; dots lead to each from where its curve leaves them."""
    width_px, height_px = figure.bbox.width, figure.bbox.height
    texts = [figure.text(0, 0, label.text, verticalalignment="center") for label in labels]
    column_px = width_px - max(text.get_window_extent().width for text in texts) - 20
    box = axes.get_position()
    right = (column_px - LEADER_PX) / width_px
    axes.set_position((box.x0, box.y0, right - box.x0, box.height))
    low, high = axes.get_ylim()
    ends = [box.y0 + box.height * (100 * label.accuracy - low) / (high - low) for label in labels]
    centres_px = spread(
        [end * height_px for end in ends], [label.height_px for label in labels], low=10, high=box.y1 * height_px
    )
    for label, text, end, centre_px in zip(labels, texts, ends, centres_px, strict=True):
        centre = centre_px / height_px
        text.set_position((column_px / width_px, centre))
        beside = (column_px - 12) / width_px
        dashes: LineStyleType = DOTS if label.marker else "-"
        figure.add_artist(Line2D([right, beside], [end, centre], color=label.colour, linestyle=dashes, linewidth=1.2))
        if label.marker:
            figure.add_artist(Line2D([beside], [centre], color=label.colour, marker=label.marker, **MARKER))
