"""Small copies of pictures, to be embedded in a page: JPEG as base64, each picture once, within a budget of bytes."""

import base64
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from PIL import Image

from warmstart import machine
from warmstart.data.decoding import decode
from warmstart.errors import PictureError

SIDE_PX = 112  # the longer side; shown at most at that size
QUALITY = 70
BUDGET_BYTES = 9_000_000  # of base64, about 3,000 thumbnails; the page around them takes less than 2 MB


@dataclass(kw_only=True)
class Thumbnails:
    """Fills up as pictures are asked for; what no longer fits and what cannot be read has none, and is counted."""

    budget_bytes: int = BUDGET_BYTES
    images: dict[str, str] = field(default_factory=dict)  # path → base64
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
                for path, encoded in zip(block, threads.map(_thumbnail, block), strict=True):
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


def _thumbnail(path: str) -> str | None:
    try:
        picture = decode(path, shorter_side_px=SIDE_PX // 2)
    except PictureError:
        return None
    picture.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
