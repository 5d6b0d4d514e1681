"""A heat-map over its picture, and the training pictures most like it."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from warmstart.report.canvas import INK, PALE, WIDTH_PX, new_page, save, style, tile, write
from warmstart.report.drawing import Axes, ListedColormap, Rectangle
from warmstart.report.overlay import Window, colours, overlay

MARGIN_PX, HEAD_PX, GAP_PX = 30.0, 70.0, 24.0
BAR_PX = 90.0
HIGHEST_PX, NARROWEST_PX = 640.0, 700.0


def draw_heat_map(picture: np.ndarray, heat: np.ndarray, window: Window, *, title: str, folder: Path) -> tuple[Path, Path]:
    """Write folder/heat-map.png and .svg: the picture, and beside it the heat-map laid over it. What the network did not see is pale."""
    height, width = picture.shape[:2]
    room = (WIDTH_PX - 2 * MARGIN_PX - GAP_PX - BAR_PX) / 2
    scale = min(room / width, HIGHEST_PX / height)
    shown_width, shown_height = width * scale, height * scale
    second = MARGIN_PX + shown_width + GAP_PX
    page_width = max(second + shown_width + BAR_PX + MARGIN_PX, NARROWEST_PX)
    with style():
        figure = new_page(page_width, HEAD_PX + shown_height + MARGIN_PX)
        write(figure, MARGIN_PX, 38, textwrap.shorten(title, int(page_width / 11), placeholder=" …"), size=15)
        for left, image in ((MARGIN_PX, picture), (second, overlay(picture, heat, window))):
            axes = tile(figure, left, HEAD_PX, shown_width, shown_height)
            axes.imshow(image, interpolation="bilinear", aspect="auto")
            _frame(axes, window, (width, height))
        bar = tile(figure, second + shown_width + 16, HEAD_PX, 14, min(shown_height, 220))
        bar.imshow(np.linspace(1, 0, 256)[:, None], cmap=_colours(), interpolation="bilinear", aspect="auto")
        beside = second + shown_width + 38
        write(figure, beside, HEAD_PX + 11, "most", size=11)
        write(figure, beside, HEAD_PX + min(shown_height, 220), "none", size=11)
        return save(figure, folder, "heat-map")


def draw_neighbours(
    picture: np.ndarray, predicted: str, neighbours: Sequence[tuple[np.ndarray | None, str, float]], *, folder: Path
) -> tuple[Path, Path]:
    """Write folder/neighbours.png and .svg: the picture, then training pictures with class and distance, nearest first.

    neighbours: (picture uint8 (H, W, 3), or None where it cannot be read; class; distance).
    """
    columns = max(4, min(6, len(neighbours) + 1))
    side = (WIDTH_PX - 2 * MARGIN_PX - (columns - 1) * GAP_PX) / columns
    rows = -(-(len(neighbours) + 1) // columns)
    caption_px = 56.0
    cells = [(picture, predicted, "this picture"), *((p, c, f"distance {d:.2f}") for p, c, d in neighbours)]
    with style():
        figure = new_page(WIDTH_PX, HEAD_PX + rows * (side + caption_px) + 10)
        write(figure, MARGIN_PX, 38, "The nearest training pictures", size=15)
        for number, (image, class_name, note) in enumerate(cells):
            row, column = divmod(number, columns)
            left, top = MARGIN_PX + column * (side + GAP_PX), HEAD_PX + row * (side + caption_px)
            axes = tile(figure, left, top, side, side)
            if image is None:
                axes.text(0.5, 0.5, "cannot be read", ha="center", va="center", color=PALE)
            else:
                axes.imshow(_square(image), interpolation="bilinear", aspect="auto")
            if number == 0:
                axes.add_patch(Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=INK, linewidth=4))
            write(figure, left, top + side + 22, textwrap.shorten(class_name, 20, placeholder=" …"), size=13, weight="bold")
            write(figure, left, top + side + 42, note, size=11, color=PALE)
        return save(figure, folder, "neighbours")


def _colours() -> ListedColormap:
    return ListedColormap(colours(np.linspace(0, 1, 256)) / 255)


def _frame(axes: Axes, window: Window, size: tuple[int, int]) -> None:
    """The border of what the network saw, where that is not the whole picture: readable on light and dark."""
    left, top, right, bottom = window
    if (left, top, right, bottom) == (0, 0, *size):
        return
    for colour, dashes in (("white", "-"), (INK, (0, (4, 4)))):
        box = Rectangle(
            (left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.4, linestyle=dashes
        )
        axes.add_patch(box)


def _square(image: np.ndarray) -> np.ndarray:
    """The whole picture on a white square."""
    height, width = image.shape[:2]
    side = max(height, width)
    page = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    page[top : top + height, left : left + width] = image
    return page
