"""Small copies of pictures, to be embedded in a page: nothing is fetched when it is opened, from disk or from anywhere."""

import base64
import io
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from warmstart import machine
from warmstart.data.decoding import decode
from warmstart.data.memory import in_memory
from warmstart.errors import PictureError

SIDE_PX = 112  # of a report's, the longer side; shown at most at that size
HEIGHT_PX = 120  # of one that stands in a row
WIDEST = 2.0  # times that height: a panorama is not to fill the page
QUALITY = 70  # about 4 kB a photograph
BUDGET_BYTES = 9_000_000  # of base64, about 3,000 thumbnails; the page around them takes less than 2 MB


def thumbnail(path: str | Path, *, height_px: int = HEIGHT_PX) -> str | None:
    """A data: URI of at most ``height_px`` × 2 · ``height_px``, upright; None for a picture that cannot be decoded."""
    encoded = _encoded(path, width_px=round(WIDEST * height_px), height_px=height_px)
    return None if encoded is None else f"data:image/jpeg;base64,{encoded}"


def jpeg(path: str | Path, *, side_px: int, max_pixels: int) -> bytes:
    """A JPEG whose longer side has at most ``side_px``, upright, without metadata. Raises PictureError."""
    return _jpeg(decode(Path(path), shorter_side_px=side_px // 2, max_pixels=max_pixels), side_px, side_px)


@dataclass(kw_only=True)
class Thumbnails:
    """Fills up as pictures are asked for; what no longer fits and what cannot be read has none, and is counted."""

    budget_bytes: int = BUDGET_BYTES
    images: dict[str, str] = field(default_factory=dict)  # path → base64
    locate: Callable[[str], Any] = str  # path → where the file lies, or the picture itself where it is in memory
    unreadable: set[str] = field(default_factory=set)  # asked for, and the file is gone or broken by now
    without_room: set[str] = field(default_factory=set)

    @property
    def size_bytes(self) -> int:
        """Of all thumbnails, as they stand in the page."""
        return self._size

    def add(self, paths: Iterable[str]) -> None:
        """Thumbnails of these pictures, the first ones first where not all fit."""
        wanted = [p for p in dict.fromkeys(paths) if p not in self.images and p not in self.unreadable | self.without_room]
        with ThreadPoolExecutor(machine.cores()) as threads:
            for start in range(0, len(wanted), _AT_ONCE):
                block = wanted[start : start + _AT_ONCE]
                for path, encoded in zip(block, threads.map(_square, map(self.locate, block)), strict=True):
                    if encoded is None:
                        self.unreadable.add(path)
                    elif self._size + len(encoded) > self.budget_bytes:
                        self.without_room.add(path)
                    else:
                        self.images[path] = encoded
                        self._size += len(encoded)
                if self.without_room.intersection(block):  # nothing that follows is more important
                    self.without_room.update(wanted[start + len(block) :])
                    return

    _size: int = 0


_AT_ONCE = 256


def _square(source: Any) -> str | None:
    return _encoded(source, width_px=SIDE_PX, height_px=SIDE_PX)


def _encoded(source: Any, *, width_px: int, height_px: int) -> str | None:
    """JPEG as base64, within this box."""
    try:
        picture = in_memory(source, shorter_side_px=height_px // 2)
    except PictureError:
        return None
    return base64.b64encode(_jpeg(picture, width_px, height_px)).decode("ascii")


def as_jpeg(picture: Image.Image) -> str:
    """As base64."""
    return base64.b64encode(_saved(picture)).decode("ascii")


def _jpeg(picture: Image.Image, width_px: int, height_px: int) -> bytes:
    picture.thumbnail((width_px, height_px), Image.Resampling.BICUBIC)
    return _saved(picture)


def _saved(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()
