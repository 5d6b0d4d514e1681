"""show: some pictures of a data set as the network sees them, the window that is cut drawn onto each, and the views it learns from.

N pictures, V views, S image side.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from warmstart.backbones.catalog import find
from warmstart.data.augmentation import view_names
from warmstart.data.depth import range_of
from warmstart.data.hashing import keyed_hash
from warmstart.data.views import VIEW_POLICIES, mode_of, seen_share, seen_window
from warmstart.errors import DataError, PictureError
from warmstart.extraction.rendering import render_views, upright
from warmstart.extraction.scanning import scan_given
from warmstart.extraction.workspace import Workspace
from warmstart.plan import Plan
from warmstart.records import Picture, Preprocessing
from warmstart.report.cards import card
from warmstart.report.thumbnails import as_jpeg
from warmstart.session.listed import listed
from warmstart.session.progress import NullProgress
from warmstart.session.settings import TrainSettings

SHOWN_PX = 112  # longer side of a picture and of its views
COLOUR = (230, 120, 0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Pictures as the network sees them."""

    source: str
    paths: tuple[str, ...]  # N
    views: tuple[str, ...]  # V
    pixels: np.ndarray  # uint8 (N, V, 3, S, S)
    share: tuple[float, ...]  # N: how much of each picture's area is seen
    drawn: tuple[Image.Image, ...]  # N: the whole picture, small, with the window that is cut

    def _repr_html_(self) -> str:
        """What a notebook shows: a picture, then its views."""
        cells: list[tuple[str | None, str]] = []
        for path, share, drawn, views in zip(self.paths, self.share, self.drawn, self.pixels, strict=True):
            cells.append((as_jpeg(drawn), f"{Path(path).name}: {share:.0%} of it is seen"))
            for name, view in zip(self.views, views, strict=True):
                small = Image.fromarray(view.transpose(1, 2, 0)).resize((SHOWN_PX, SHOWN_PX), Image.Resampling.BICUBIC)
                cells.append((as_jpeg(small), name))
        size_px = self.pixels.shape[-1]
        return card(
            Path(self.source).name,
            kind=f"{len(self.paths)} pictures as the network sees them, at {size_px} × {size_px} px",
            pictures=cells,
            in_a_row=1 + len(self.views),
        )


def show(data: Any, plan: Plan, settings: TrainSettings, *, n: int = 6) -> Batch:
    """Of ``n`` pictures, drawn under the plan's seed, in the views that are averaged or, with an augmentation, learnt from.

    A resize that is left open is the centre crop here. Raises what `train` raises for data, and DataError where none of the pictures can
    be read.
    """
    listing, _ = listed(data, settings, plan, NullProgress())
    with Workspace.opened(settings.store_bytes) as workspace:
        found = scan_given([(e.path, e.content) for e in listing.examples], workspace.store)
    there = [picture for picture in found.pictures if picture is not None]
    there.sort(key=lambda picture: keyed_hash(picture.digest, plan.seed))
    averaged = VIEW_POLICIES[plan.views]
    views = averaged if plan.augment == "none" else view_names(plan.augment, min(4, plan.augment_views))
    how = Preprocessing(
        size_px=plan.image_size_px or find(plan.backbone).input_size_px,
        resize=mode_of(plan.resize),
        values=range_of(picture.facts.depth for picture in there if picture.facts),
        keep_damaged=plan.keep_damaged,
    )
    shown: list[tuple[Picture, np.ndarray, Image.Image]] = []
    reasons = [problem.message for problem in found.problems]
    for picture in there:
        if len(shown) == n:
            break
        try:
            shown.append((picture, np.stack(render_views(picture, views, how)), _with_window(picture, how.resize)))
        except PictureError as reason:
            reasons.append(str(reason))
    if not shown:
        raise DataError(f"{listing.source}: none of {len(listing.examples)} pictures can be read. {reasons[0]}")
    return Batch(
        source=listing.source,
        paths=tuple(picture.path for picture, _, _ in shown),
        views=tuple(views),
        pixels=np.stack([pixels for _, pixels, _ in shown]),
        share=tuple(seen_share(_size(picture, drawn), mode=how.resize) for picture, _, drawn in shown),
        drawn=tuple(drawn for _, _, drawn in shown),
    )


def _size(picture: Picture, drawn: Image.Image) -> tuple[int, int]:
    return (picture.facts.width, picture.facts.height) if picture.facts else drawn.size


def _with_window(picture: Picture, mode: str) -> Image.Image:
    small = upright(picture.source, SHOWN_PX).copy()
    left, top, right, bottom = seen_window(small.size, mode=mode)
    ImageDraw.Draw(small).rectangle((round(left), round(top), round(right) - 1, round(bottom) - 1), outline=COLOUR, width=2)
    return small
