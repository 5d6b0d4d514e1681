"""Pictures of numbers as tiles: nothing is smoothed, a tile shows the values that there are, one square a position."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from warmstart.explain.filters import Filters
from warmstart.report.canvas import PALE, WIDTH_PX, new_page, save, style, tile, write
from warmstart.report.drawing import Figure

COLOURS = "viridis"  # perceptually even, and in order for every kind of colour blindness
MARGIN_PX, HEAD_PX = 30.0, 92.0


def draw_filters(filters: Filters, *, title: str, folder: Path) -> tuple[Path, Path]:
    """Write folder/filters.png and .svg."""
    tiles = filters.tiles()
    count, height, width = tiles.shape[:3]
    note = f"{count} filters of {height}×{width}, each scaled by its largest weight; grey is 0"
    return grid(list(tiles), [str(n) for n in range(count)], title, note, folder, "filters", columns=_columns(count))


def grid(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str,
    note: str,
    folder: Path,
    name: str,
    *,
    columns: int,
) -> tuple[Path, Path]:
    """Write folder/name.png and .svg: images in rows, each with its caption."""
    gap, caption_px = 14.0, 24.0
    side = (WIDTH_PX - 2 * MARGIN_PX - (columns - 1) * gap) / columns
    rows = -(-len(images) // columns)
    with style():
        figure = new_page(WIDTH_PX, HEAD_PX + rows * (side + caption_px) + 14)
        heading(figure, title, note)
        for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
            row, column = divmod(number, columns)
            left, top = MARGIN_PX + column * (side + gap), HEAD_PX + row * (side + caption_px)
            tile(figure, left, top, side, side).imshow(image, cmap=COLOURS, interpolation="nearest", aspect="auto")
            write(figure, left, top + side + 16, caption, size=10, color=PALE)
        return save(figure, folder, name)


def heading(figure: Figure, title: str, note: str) -> None:
    """At the top of a page."""
    write(figure, MARGIN_PX, 38, title, size=15)
    write(figure, MARGIN_PX, 64, note, size=11, color=PALE)


def _columns(count: int) -> int:
    """8 for 32 filters, 12 for 96: about three rows to four columns."""
    return int(np.clip(np.ceil(np.sqrt(2 * count)), 4, 16))
