"""Feature maps as tiles.

`draw_feature_maps`   the strongest channels of one stage
`draw_depth`          the strongest channels of every stage, from left to right

Nothing is smoothed: a tile shows the values that there are, one square a position.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from warmstart.report.canvas import PALE, WIDTH_PX, new_page, save, style, tile, write
from warmstart.report.tiles import COLOURS, HEAD_PX, MARGIN_PX, grid, heading
from warmstart.tasks.classify.explain.feature_maps import FeatureMaps

SHOWN_CHANNELS, DEPTH_CHANNELS = 16, 4


def draw_feature_maps(maps: FeatureMaps, *, folder: Path) -> tuple[Path, Path]:
    """Write folder/feature-maps.png and .svg: the 16 channels with the largest mean absolute activation."""
    channels = maps.strongest[:SHOWN_CHANNELS]
    count, height, width = maps.activations.shape
    return grid(
        [maps.activations[c] for c in channels],
        [f"channel {c}" for c in channels],
        f"What {maps.layer} says: its strongest channels",
        f"{len(channels)} of {count} channels, {height}×{width} positions, each from its least (dark) to its most (bright)",
        folder,
        "feature-maps",
        columns=min(8, max(4, len(channels))),
    )


def draw_depth(picture: np.ndarray, stages: Sequence[FeatureMaps], *, folder: Path) -> tuple[Path, Path]:
    """Write folder/depth.png and .svg: a column a stage, the picture as the network sees it first.

    picture: uint8 (S, S, 3).
    """
    gap, captions = 10.0, 46.0
    columns = len(stages) + 1
    side = (WIDTH_PX - 2 * MARGIN_PX - (columns - 1) * gap) / columns
    with style():
        figure = new_page(WIDTH_PX, HEAD_PX + captions + DEPTH_CHANNELS * (side + gap) + 10)
        heading(
            figure,
            "Along the depth: the strongest channels of each stage",
            "each map from its least (dark) to its most (bright)",
        )
        for column, maps in enumerate((None, *stages)):
            left = MARGIN_PX + column * (side + gap)
            name = "picture" if maps is None else maps.layer
            shape = f"{picture.shape[0]}×{picture.shape[1]}" if maps is None else "×".join(map(str, maps.activations.shape))
            write(figure, left, HEAD_PX + 14, name, size=12, weight="bold")
            write(figure, left, HEAD_PX + 31, shape, size=9, color=PALE)
            images = [picture] if maps is None else list(maps.top(DEPTH_CHANNELS))
            for row, image in enumerate(images):
                axes = tile(figure, left, HEAD_PX + captions + row * (side + gap), side, side)
                axes.imshow(image, cmap=COLOURS, interpolation="nearest", aspect="auto")
        return save(figure, folder, "depth")
