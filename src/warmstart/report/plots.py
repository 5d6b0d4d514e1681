"""`run.plot()`: one picture of how a run went, as a figure of matplotlib's to go on with.

a network was trained → what was measured on val, epoch by epoch; otherwise what the task draws of its test pictures (`shown.plot`)
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from warmstart.report.canvas import DPI, INK, PALE, style
from warmstart.report.drawing import Axes, Figure, FigureCanvasAgg, MaxNLocator
from warmstart.report.printable import printable
from warmstart.report.run_record import HistoryRow, RunRecord
from warmstart.report.shown import shown_by
from warmstart.task_registry import find_task

WIDTH_PX, HEIGHT_PX = 1080, 480
MOST_CURVES = 3
OURS, OTHER = "#0072B2", "#D55E00"  # Okabe and Ito's, told apart by all


class Plot(Figure):
    """A figure that a notebook shows, whether or not pyplot was ever imported there."""

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def plot(record: RunRecord, rows: Sequence[Mapping[str, str]]) -> Plot:
    """Of a run. ``rows``: of predictions.csv."""
    epochs = record.training.epochs if record.training else ()
    name = Path(record.data.source or "run").name
    with style():
        figure = Plot(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        if len(epochs) > 1:
            names = [None, *epochs[0].val][:MOST_CURVES]
            for axes, measured in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
                _curve(axes, epochs, measured)
            cuts = list(dict.fromkeys(row.cut for row in epochs))
            figure.suptitle(printable(f"{name}: {record.plan.backbone}, trained right of {', '.join(cuts)}"), x=0.01, ha="left")
        else:
            axes = figure.subplots()
            axes.set_title(printable(name))
            shown_by(find_task(record.task)).plot(record, rows, axes)
    return figure


def _curve(axes: Axes, epochs: Sequence[HistoryRow], measured: str | None) -> None:
    """What was measured on val, over evaluations; None: the loss, with that of train."""
    at = list(range(len(epochs)))
    values = [row.val_loss if measured is None else row.val[measured] for row in epochs]
    if measured is None:
        train = [(i, row.train_loss) for i, row in enumerate(epochs) if row.train_loss is not None]
        axes.plot(*zip(*train, strict=True), color=OTHER, marker="o", markersize=4, label="train")
    axes.plot(at, values, color=OURS, marker="o", markersize=4, label="val")
    best = max((i for i, row in enumerate(epochs) if row.best), default=None)
    if best is not None:
        axes.plot([best], [values[best]], linestyle="none", marker="o", markersize=11, markerfacecolor="none", color=INK)
        axes.annotate("kept", (best, values[best]), xytext=(0, 10), textcoords="offset points", ha="center", color=PALE)
    axes.set_xlabel("epochs")
    axes.set_title("loss" if measured is None else f"{measured.replace('_', ' ')} on val", pad=12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.08, y=0.15)
    if measured is None:
        axes.legend(frameon=False)
