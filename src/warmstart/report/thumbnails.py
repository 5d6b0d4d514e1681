"""A picture as a small JPEG inside a page: nothing is fetched when it is opened, from disk or from anywhere."""

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image

from warmstart.data.decoding import decode
from warmstart.errors import PictureError

HEIGHT_PX = 120
WIDEST = 2.0  # times the height: a panorama is not to fill the page
QUALITY = 70  # about 4 kB a photograph at this height


def thumbnail(path: str | Path, *, height_px: int = HEIGHT_PX) -> str | None:
    """A data: URI of at most ``height_px`` × 2 · ``height_px``, upright; None for a picture that cannot be decoded."""
    try:
        picture = decode(Path(path), shorter_side_px=height_px // 2)
    except PictureError:
        return None
    picture.thumbnail((round(WIDEST * height_px), height_px), Image.Resampling.BICUBIC)
    content = BytesIO()
    picture.save(content, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode("ascii")
