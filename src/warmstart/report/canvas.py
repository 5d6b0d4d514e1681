"""One look for every picture: an empty figure, and how it becomes a PNG and an SVG.

    with style():
        figure, axes = new_figure()
        axes.plot(…)
        save(figure, folder, "curves")

Matplotlib's objects are used directly, never pyplot: nothing is left in global state, no window system is looked for, and
the user's own matplotlib settings change nothing. The same numbers give the same bytes.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from warmstart.atomic import replaced
from warmstart.report.drawing import Axes, Figure, FigureCanvasAgg
from warmstart.report.drawing import style as _styles
from warmstart.report.printable import printable

DPI = 100
WIDTH_PX, HEIGHT_PX = 1200, 700  # an SVG says the same in points: 864 × 504

INK, PALE = "#222222", "#767676"  # the paler one still has a contrast of 4.5 against white (WCAG 2.1, 1.4.3)

STYLE: dict[str, Any] = {
    "font.size": 12,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.titlepad": 24,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.labelpad": 8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "svg.hashsalt": "warmstart",  # ids are random without one
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's defaults and ours on top, until the end of the block."""
    with _styles.context(["default", STYLE]), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes in the PNG; in the SVG it is right.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def new_figure(*, height_px: int = HEIGHT_PX) -> tuple[Figure, Axes]:
    """An empty figure, `WIDTH_PX` wide, whose axes leave room for a title and labels."""
    figure = new_page(WIDTH_PX, height_px)
    left, right, bottom, top = 90, 40, 75, 85  # px; two lines of title
    box = (left / WIDTH_PX, bottom / height_px, 1 - (left + right) / WIDTH_PX, 1 - (bottom + top) / height_px)
    return figure, figure.add_axes(box)


def new_page(width_px: float, height_px: float) -> Figure:
    """An empty figure without axes."""
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def write(figure: Figure, left_px: float, top_px: float, text: str, *, size: float, **look: Any) -> None:
    """A line of text at this place of the page, counted from its upper left corner; names may hold anything."""
    page_width, page_height = figure.get_size_inches() * DPI
    figure.text(left_px / page_width, 1 - top_px / page_height, printable(text), size=size, **look)


def tile(figure: Figure, left_px: float, top_px: float, width_px: float, height_px: float) -> Axes:
    """Axes for a picture at this place of the page, counted from its upper left corner: no ticks, no frame, no grid."""
    page_width, page_height = figure.get_size_inches() * DPI
    box = (left_px / page_width, 1 - (top_px + height_px) / page_height, width_px / page_width, height_px / page_height)
    axes = figure.add_axes(box)
    axes.axis("off")
    return axes


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """folder/name.png and folder/name.svg, without the date and version that would make two of them differ. Raises MachineError."""
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    with replaced(png) as fresh:
        figure.savefig(fresh, format="png", metadata={"Software": None})
    with replaced(svg) as fresh:
        figure.savefig(fresh, format="svg", metadata={"Date": None, "Creator": None})
    return png, svg
