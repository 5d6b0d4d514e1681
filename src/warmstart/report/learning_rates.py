"""The picture of `warmstart lr-find`: loss over learning rate, and the suggestion."""

from collections.abc import Sequence
from pathlib import Path

from warmstart.report.canvas import INK, new_figure, save, style
from warmstart.report.drawing import FuncFormatter


def draw_learning_rates(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float, folder: Path
) -> tuple[Path, Path]:
    """Write folder/lr-find.png and folder/lr-find.svg of `training.lr_find.LearningRateCurve`'s numbers.

    The scale follows the smoothed loss; single steps beyond it are not shown.
    """
    with style():
        figure, axes = new_figure()
        axes.set_title("Loss while the learning rate grows from step to step")
        axes.set_xlabel("learning rate (logarithmic)")
        axes.set_ylabel("training loss (dots: each step; line: smoothed)")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        axes.plot(rates, losses, linestyle="none", marker="o", markersize=4, color="#b5b5b5", markeredgewidth=0)
        axes.plot(rates, smoothed, color=INK, linewidth=2.2)
        low, high = min(*smoothed, *losses), max(smoothed)
        room = 0.06 * (high - low) or 0.5
        axes.set_ylim(low - room, high + room)
        axes.axvline(suggestion, color="#D55E00", linewidth=1.8, linestyle=(0, (7, 2)))
        left, right = axes.get_xlim()
        on_the_left = suggestion * suggestion > left * right  # the label stands where there is more room
        axes.annotate(
            f"suggestion {suggestion:.2g}",
            (suggestion, 0.95),
            xycoords=("data", "axes fraction"),
            xytext=(-10 if on_the_left else 10, 0),
            textcoords="offset points",
            ha="right" if on_the_left else "left",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
        )
        return save(figure, folder, "lr-find")
